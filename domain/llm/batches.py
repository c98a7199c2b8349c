"""Calls of models by a provider's batch endpoint: for runs that may wait, at half price. Pure."""

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from domain.base import Frozen

# What a token of a batch costs, in parts of its usual price.
PRICE_SHARE = Decimal("0.5")
# Providers answer a batch within 24 hours, or let it expire; this is a little more.
GIVE_UP_AFTER = timedelta(hours=25)
# How long the provider is left alone between two looks: a part of the batch's age.
_PAUSE_PART = 0.2
_FIRST_PAUSE_SECONDS = 1.0
_LAST_PAUSE_SECONDS = 300.0


class Urgency(StrEnum):
    """How soon a run needs its answers."""

    NORMAL = "normal"
    BATCH = "batch"


class BatchCall(Frozen):
    """A call by the batch endpoint, stored with its usage record until it is settled.

    Args:
        begun_at: When it was reserved.
        last_seq: Number of the newest message that its request has.
        read_count: Number of messages in it that were added to the run after its input.
        cache_key: Key of its request in the cache; None if the agent has no cache.
        is_cut: Whether the budget lowered the length of its answer.
        batch_id: The provider's id of the batch; None until it is known.
    """

    begun_at: datetime
    last_seq: int
    read_count: int
    cache_key: str | None = None
    is_cut: bool = False
    batch_id: str | None = None


def pause_seconds(age: timedelta) -> float:
    """Return how long to wait before the next look at a batch of this age."""
    wanted = age.total_seconds() * _PAUSE_PART
    return min(max(wanted, _FIRST_PAUSE_SECONDS), _LAST_PAUSE_SECONDS)
