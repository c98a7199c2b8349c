"""Texts about `stripe setup` that several commands print."""

import shlex
from pathlib import Path

from domain.webhooks.endpoints import WEBHOOK_PATH

ANY_URL = f"https://<your API>{WEBHOOK_PATH}"
SENDS_ITSELF = "sends its events to the API by itself"


def setup_command(url: str, stack: Path | None, *, is_old_removed: bool = False) -> str:
    """Return the shell command that runs `stripe setup`.

    Args:
        url: Address that Stripe sends webhooks to.
        stack: Value of the option --stack; None leaves the option out.
        is_old_removed: Whether to remove the endpoints of other API versions.
    """
    arguments = ["python", "cli.py", "stripe", "setup", "--url", url]
    arguments += ["--remove-old"] if is_old_removed else []
    arguments += [] if stack is None else ["--stack", str(stack)]
    return shlex.join(arguments)
