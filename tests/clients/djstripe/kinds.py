"""Print the names of all kinds of objects that dj-stripe syncs, one a line."""

import django
from django.apps import apps


def kinds() -> list[str]:
    """Return the models that `djstripe_sync_models` does not skip by itself."""
    from djstripe.management.commands.djstripe_sync_models import (  # noqa: PLC0415 - after set-up
        Command,
    )

    models = apps.get_app_config("djstripe").get_models()
    command = Command()
    return [model.__name__ for model in models if command._should_sync_model(model)[0]]


if __name__ == "__main__":
    django.setup()
    print("\n".join(kinds()))  # noqa: T201
