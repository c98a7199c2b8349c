"""What is done about a refresh token that was sent."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.accounts.sessions import (
    REPEAT_TIME,
    RefreshDecision,
    RefreshFacts,
    decide_refresh,
)

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NEWEST = RefreshFacts(
    expires_at=NOW + SECOND, replaced_at=None, is_parent_of_newest=False, is_session_over=False
)
REPLACED = NEWEST.model_copy(update={"replaced_at": NOW - SECOND, "is_parent_of_newest": True})
D = RefreshDecision


@pytest.mark.parametrize(
    ("facts", "changes", "decision"),
    [
        (NEWEST, {}, D.ROTATE),
        (NEWEST, {"expires_at": NOW}, D.EXPIRED),
        (NEWEST, {"is_session_over": True}, D.EXPIRED),
        (REPLACED, {}, D.REPEAT),
        (REPLACED, {"replaced_at": NOW - REPEAT_TIME}, D.REPEAT),
        (REPLACED, {"replaced_at": NOW - REPEAT_TIME - SECOND}, D.REUSED),
        (REPLACED, {"is_parent_of_newest": False}, D.REUSED),
        (REPLACED, {"is_session_over": True}, D.EXPIRED),
    ],
)
def test_what_is_done(
    facts: RefreshFacts, changes: dict[str, object], decision: RefreshDecision
) -> None:
    assert decide_refresh(facts.model_copy(update=changes), NOW) is decision
