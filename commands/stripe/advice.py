"""What is said of `stripe setup`: a command that runs as it is written, and when not to run it."""

import shlex
from pathlib import Path

from domain.webhooks.endpoints import WEBHOOK_PATH

ANY_URL = f"https://<your API>{WEBHOOK_PATH}"
SENDS_ITSELF = "sends its events to the API by itself"


def setup_command(url: str, stack: Path | None, *, is_old_removed: bool = False) -> str:
    """Write the command.

    Args:
        url: Where Stripe is to send webhooks.
        stack: What was named with --stack, if anything.
        is_old_removed: Whether the endpoints of other API versions go.

    Returns:
        A line for a shell.
    """
    words = ["python", "cli.py", "stripe", "setup", "--url", url]
    words += ["--remove-old"] if is_old_removed else []
    words += [] if stack is None else ["--stack", str(stack)]
    return shlex.join(words)
