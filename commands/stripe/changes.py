"""Tell what is changed at Stripe, or would be."""

from collections.abc import Callable, Sequence
from uuid import uuid4

Say = Callable[[str], None]


class Changes:
    """The changes of one run of the command."""

    def __init__(self, say: Say, *, is_dry_run: bool) -> None:
        self.count = 0
        self.say = say
        self._is_dry_run = is_dry_run
        # Reason: Stripe would answer a key of an earlier run with what may be gone by now.
        self._run_id = uuid4()

    def begin(self, what: str, changes: Sequence[str]) -> bool:
        """Tell of changes to an object.

        Args:
            what: The object.
            changes: What happens to it, such as `enabled`.

        Returns:
            Whether to carry them out.
        """
        self.count += 1
        would = "would be " if self._is_dry_run else ""
        self.say(f"{what}: {would}{'; '.join(changes)}")
        return not self._is_dry_run

    def key(self, purpose: str) -> str:
        """Return the idempotency key of a POST of this run."""
        return f"stripe-setup:{self._run_id}:{purpose}"
