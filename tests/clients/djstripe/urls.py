"""The one address of the site: dj-stripe's own webhook view."""

from django.urls import include, path

urlpatterns = [path("stripe/", include("djstripe.urls", namespace="djstripe"))]
