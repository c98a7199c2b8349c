"""Reports the changes that `stripe setup` makes at Stripe, or would make in a dry run."""

from collections.abc import Callable, Sequence
from uuid import uuid4

Say = Callable[[str], None]


class Changes:
    """Counts and prints the changes of one run of `stripe setup`."""

    def __init__(self, say: Say, *, is_dry_run: bool) -> None:
        self.count = 0
        self.say = say
        self._is_dry_run = is_dry_run
        # Reason: Stripe answers an earlier run's key with the earlier object, which may be deleted.
        self._run_id = uuid4()

    def begin(self, what: str, changes: Sequence[str]) -> bool:
        """Print and count the changes to one object.

        Args:
            what: Name of the object.
            changes: Participles of the changes, such as `enabled`.

        Returns:
            Whether to carry out the changes; False in a dry run.
        """
        self.count += 1
        would = "would be " if self._is_dry_run else ""
        self.say(f"{what}: {would}{'; '.join(changes)}")
        return not self._is_dry_run

    def key(self, purpose: str) -> str:
        """Return the idempotency key for a POST of this run."""
        return f"stripe-setup:{self._run_id}:{purpose}"
