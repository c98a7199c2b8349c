"""Settings of a Django site that has dj-stripe and nothing else."""

import os

ALLOWED_HOSTS = ["127.0.0.1"]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SITE_DATABASE"]}
}
DEBUG = True
DJSTRIPE_FOREIGN_KEY_TO_FIELD = "id"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "djstripe"]
# Reason: the history of its tables takes minutes to build, and says nothing about Stripe.
MIGRATION_MODULES = {"auth": None, "contenttypes": None, "djstripe": None}
ROOT_URLCONF = "tests.clients.djstripe.urls"
SECRET_KEY = "of no use to anybody"
STRIPE_API_HOST = os.environ["SITE_STRIPE"]
STRIPE_LIVE_MODE = False
STRIPE_TEST_SECRET_KEY = "sk_test_of0the0tests0of0djstripe"
USE_TZ = True
