"""Decides about refresh tokens: each is used once, and a stolen one ends its session. Pure."""

from datetime import datetime, timedelta
from enum import StrEnum

from domain.base import Frozen

# How long the answer to a refresh may be lost and asked for again.
REPEAT_TIME = timedelta(seconds=30)


class RefreshDecision(StrEnum):
    """What is done about a refresh token that was sent.

    ROTATE: It is the session's newest: another one takes its place.
    REPEAT: It was replaced just now, and its successor was not used: the answer was lost.
    REUSED: It was replaced before: somebody else has it too, and the session ends.
    EXPIRED: It is too old, or its session has ended.
    """

    ROTATE = "rotate"
    REPEAT = "repeat"
    REUSED = "reused"
    EXPIRED = "expired"


class RefreshFacts(Frozen):
    """What is known of a refresh token.

    Args:
        expires_at: When it can no longer be used.
        replaced_at: When another token took its place; None for the newest of its session.
        is_parent_of_newest: Whether the session's newest token took its place.
        is_session_over: Whether the session was revoked.
    """

    expires_at: datetime
    replaced_at: datetime | None
    is_parent_of_newest: bool
    is_session_over: bool


def decide_refresh(facts: RefreshFacts, now: datetime) -> RefreshDecision:
    """Decide what is done about a refresh token that was sent."""
    if facts.is_session_over:
        return RefreshDecision.EXPIRED
    if facts.replaced_at is None:
        is_valid = now < facts.expires_at
        return RefreshDecision.ROTATE if is_valid else RefreshDecision.EXPIRED
    if facts.is_parent_of_newest and now - facts.replaced_at <= REPEAT_TIME:
        return RefreshDecision.REPEAT
    return RefreshDecision.REUSED
