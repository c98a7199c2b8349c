"""Who may decide what, when, and about which arguments."""

import json
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.agents.approvals import (
    OWNER,
    ApprovalCommand,
    ApprovalSnapshot,
    ApprovalStatus,
    DecidedVia,
    Decision,
    args_digest,
    decide_approval,
    decider_role,
    may_decide,
    status_while_waiting,
)
from domain.agents.approvals import STRANGER as STRANGER_ROLE
from domain.agents.runs import RunStatus
from domain.errors import ConflictError, ForbiddenError

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SHOWN, OTHER = "shown", "other"
TIMES = {
    "long before": NOW - timedelta(days=1),
    "just before": NOW - timedelta(microseconds=1),
    "the very moment": NOW,
    "after": NOW + timedelta(seconds=1),
}
IN_TIME = ("long before", "just before")
APPROVE, REJECT = Decision
PENDING, APPROVED, REJECTED, EXPIRED = ApprovalStatus


def seen(status: ApprovalStatus) -> ApprovalSnapshot:
    return ApprovalSnapshot(
        tool="refund_payment",
        approval_status=status,
        args_sha256=SHOWN,
        approver_role="admin",
        expires_at=NOW,
    )


def says(decision: Decision, role: str = "admin", digest: str = SHOWN) -> ApprovalCommand:
    return ApprovalCommand(
        command_id=UUID(int=1),
        agent_run_id=UUID(int=2),
        call_id=UUID(int=3),
        args_sha256=digest,
        decision=decision,
        decided_by=UUID(int=4),
        role=role,
    )


def outcome(
    found: ApprovalSnapshot | None,
    command: ApprovalCommand,
    at: datetime,
) -> tuple[str, str | None]:
    """Return a status, `same`, or the code of a refusal and the state."""
    try:
        decided = decide_approval(found, command, at)
    except (ForbiddenError, ConflictError) as error:
        return error.error_code, error.details.get("approval_status")
    return "same" if decided is None else str(decided), None


# What comes of the right role and the right digest: (status, decision, in time) -> outcome.
RIGHTFUL = {
    (PENDING, APPROVE, True): ("approved", None),
    (PENDING, REJECT, True): ("rejected", None),
    (PENDING, APPROVE, False): ("approval_closed", "expired"),
    (PENDING, REJECT, False): ("approval_closed", "expired"),
    (APPROVED, APPROVE, True): ("same", None),
    (APPROVED, APPROVE, False): ("same", None),
    (APPROVED, REJECT, True): ("approval_closed", "approved"),
    (APPROVED, REJECT, False): ("approval_closed", "approved"),
    (REJECTED, APPROVE, True): ("approval_closed", "rejected"),
    (REJECTED, APPROVE, False): ("approval_closed", "rejected"),
    (REJECTED, REJECT, True): ("same", None),
    (REJECTED, REJECT, False): ("same", None),
    (EXPIRED, APPROVE, True): ("approval_closed", "expired"),
    (EXPIRED, APPROVE, False): ("approval_closed", "expired"),
    (EXPIRED, REJECT, True): ("approval_closed", "expired"),
    (EXPIRED, REJECT, False): ("approval_closed", "expired"),
}


@pytest.mark.parametrize(
    ("status", "decision", "role", "digest", "when"),
    list(product(ApprovalStatus, Decision, ["admin", "user", ""], [SHOWN, OTHER], TIMES)),
)
def test_every_combination(
    status: ApprovalStatus,
    decision: Decision,
    role: str,
    digest: str,
    when: str,
) -> None:
    expected: tuple[str, str | None] = RIGHTFUL[status, decision, when in IN_TIME]
    if digest != SHOWN:
        expected = ("args_digest_mismatch", None)
    if role != "admin":
        # Reason: who may not decide learns nothing about the arguments either.
        expected = ("approver_required", None)
    assert outcome(seen(status), says(decision, role, digest), TIMES[when]) == expected


@pytest.mark.parametrize(("decision", "role"), list(product(Decision, ["admin", "user"])))
def test_a_call_that_waits_for_nobody_is_unknown(decision: Decision, role: str) -> None:
    assert outcome(None, says(decision, role), NOW) == ("unknown_call", None)


def test_it_says_who_has_to_decide() -> None:
    with pytest.raises(ForbiddenError) as refused:
        decide_approval(seen(PENDING), says(APPROVE, "user"), NOW - timedelta(hours=1))
    assert refused.value.details == {"approver_role": "admin"}


DELEGATE, STRANGER = UUID(int=4), UUID(int=5)


@pytest.mark.parametrize(("delegated_to", "code"), [(DELEGATE, "approved"), (STRANGER, None)])
def test_whom_it_is_delegated_to_may_decide(delegated_to: UUID, code: str | None) -> None:
    snapshot = seen(PENDING).model_copy(update={"delegated_to": delegated_to})
    decided = outcome(snapshot, says(APPROVE, "user"), NOW - timedelta(hours=1))
    assert decided[0] == (code or "approver_required")


EDITED = {"amount_cents": 500}
NEW = args_digest("refund_payment", EDITED)


@pytest.mark.parametrize(
    ("status", "stored", "seen_digest", "arguments", "expected"),
    [
        (PENDING, SHOWN, SHOWN, EDITED, "approved"),
        (PENDING, SHOWN, OTHER, EDITED, "args_digest_mismatch"),
        (APPROVED, NEW, SHOWN, EDITED, "same"),
        (APPROVED, NEW, NEW, None, "same"),
        (APPROVED, NEW, SHOWN, None, "args_digest_mismatch"),
        (APPROVED, NEW, SHOWN, {"amount_cents": 600}, "args_digest_mismatch"),
        (APPROVED, SHOWN, SHOWN, EDITED, "approval_closed"),
        (EXPIRED, SHOWN, SHOWN, EDITED, "approval_closed"),
    ],
)
def test_edited_arguments_have_a_digest_of_their_own(
    status: ApprovalStatus,
    stored: str,
    seen_digest: str,
    arguments: dict[str, Any] | None,
    expected: str,
) -> None:
    snapshot = seen(status).model_copy(update={"args_sha256": stored})
    command = says(APPROVE, digest=seen_digest).model_copy(update={"arguments": arguments})
    assert outcome(snapshot, command, NOW - timedelta(hours=1))[0] == expected


@pytest.mark.parametrize(
    ("roles", "status"),
    [
        ((), RunStatus.RUNNING),
        (("owner",), RunStatus.WAITING_INPUT),
        (("owner", "owner"), RunStatus.WAITING_INPUT),
        (("owner", "admin"), RunStatus.WAITING_APPROVAL),
        (("admin",), RunStatus.WAITING_APPROVAL),
    ],
)
def test_a_run_says_what_it_waits_for(roles: tuple[str, ...], status: RunStatus) -> None:
    assert status_while_waiting(roles) is status


TEXTS = st.text(max_size=8)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
ARGUMENTS = st.dictionaries(TEXTS, VALUES, max_size=5)


def reordered(value: Any) -> Any:
    """Return the same document with its keys, at every depth, the other way round."""
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    if isinstance(value, list):
        return [reordered(each) for each in value]
    return value


def written(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


@given(TEXTS, ARGUMENTS)
def test_the_order_of_keys_does_not_matter(tool: str, arguments: dict[str, Any]) -> None:
    digest = args_digest(tool, arguments)
    assert args_digest(tool, reordered(arguments)) == digest
    assert len(digest) == 64
    assert set(digest) <= set("0123456789abcdef")


@given(TEXTS, TEXTS, ARGUMENTS)
def test_another_tool_has_another_digest(one: str, other: str, arguments: dict[str, Any]) -> None:
    assume(one != other)
    assert args_digest(one, arguments) != args_digest(other, arguments)


@given(ARGUMENTS.filter(bool), st.data())
def test_any_change_of_a_value_a_key_or_their_number_is_another_digest(
    arguments: dict[str, Any],
    data: st.DataObject,
) -> None:
    digest = args_digest("refund_payment", arguments)
    key = data.draw(st.sampled_from(sorted(arguments)))
    without = {name: value for name, value in arguments.items() if name != key}
    assert args_digest("refund_payment", without) != digest

    value = data.draw(VALUES)
    assume(written(value) != written(arguments[key]))
    assert args_digest("refund_payment", {**arguments, key: value}) != digest

    name = data.draw(TEXTS)
    assume(name not in arguments)
    assert args_digest("refund_payment", {**without, name: arguments[key]}) != digest
    assert args_digest("refund_payment", {**arguments, name: value}) != digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"amount_cents": 100}, {"amount_cents": 1000}),
        ({"amount_cents": 100}, {"amount_cents": "100"}),
        ({"amount_cents": None}, {}),
        ({"is_all": True}, {"is_all": 1}),
        ({"ids": [1, 2]}, {"ids": [2, 1]}),
        ({"a": {"b": 1}}, {"a": 1, "b": 1}),
        ({"a": 'x","b":"y'}, {"a": "x", "b": "y"}),
        ({"reason": "é"}, {"reason": "e\u0301"}),
    ],
)
def test_what_looks_alike_is_not_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert args_digest("refund_payment", one) != args_digest("refund_payment", other)


def test_half_of_a_surrogate_pair_has_a_digest_too() -> None:
    """Models do write them, in names of tools as well."""
    assert args_digest("\ud800", {}) != args_digest("\ud801", {}) != args_digest("?", {})


def test_the_digest_stays_what_it_was() -> None:
    """Approvals that are under way were asked for with it, and clients may reckon it."""
    arguments = {"reason": "für mich", "payment_id": "p", "amount_cents": None}
    digest = args_digest("refund_payment", arguments)
    assert digest == "96062b8efc9bbe19a67d82f6df6ea41372bb137c0311707adc0f95a675ed1455"


@pytest.mark.parametrize(
    ("role", "is_owner", "approver_role", "expected"),
    [
        ("admin", False, "admin", "admin"),
        ("admin", True, "admin", "admin"),
        ("user", True, "admin", "user"),
        ("user", False, "admin", STRANGER_ROLE),
        ("user", True, "user", "user"),
        ("user", False, "user", STRANGER_ROLE),
        ("user", True, OWNER, OWNER),
        ("admin", True, OWNER, OWNER),
        ("admin", False, OWNER, "admin"),
        ("user", False, OWNER, STRANGER_ROLE),
    ],
)
def test_the_role_of_who_decides_by_a_link(
    role: str, is_owner: bool, approver_role: str, expected: str
) -> None:
    """As over the API, where a user sees no runs of others, and an administrator all."""
    user_id, owner_id = UUID(int=4), UUID(int=4) if is_owner else UUID(int=5)
    found = decider_role(user_id, role, owner_id, approver_role)
    assert found == expected
    assert may_decide(approver_role, None, user_id, found) is (expected == approver_role)
    assert may_decide(approver_role, user_id, user_id, found)
    assert decider_role(user_id, "user", None, approver_role) == STRANGER_ROLE


def test_a_decision_knows_where_it_was_made() -> None:
    said = says(APPROVE)
    assert said.decided_via is DecidedVia.API
    by_link = said.model_copy(update={"approval_link_id": UUID(int=6)})
    assert by_link.decided_via is DecidedVia.MAIL_LINK
