"""What the effect of a call is unique by."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domain.agents.tools.tool_calls import ToolCallStatus, refund_business_key

REFUNDS = st.tuples(st.uuids(), st.none() | st.integers(1), st.uuids())


def test_a_key_reads_as_what_it_is() -> None:
    payment, conversation = UUID(int=1), UUID(int=2)
    assert refund_business_key(payment, 500, conversation) == f"refund:{payment}:500:{conversation}"
    assert refund_business_key(payment, None, conversation).split(":")[2] == "rest"


@given(REFUNDS, REFUNDS)
def test_only_the_same_refund_has_the_same_key(
    one: tuple[UUID, int | None, UUID],
    other: tuple[UUID, int | None, UUID],
) -> None:
    assert refund_business_key(*one) == refund_business_key(*one)
    for mixed in ((other[0], *one[1:]), (one[0], other[1], one[2]), (*one[:2], other[2])):
        assert (refund_business_key(*mixed) == refund_business_key(*one)) == (mixed == one)


def test_statuses_are_called_what_clients_know() -> None:
    names = {
        *("requested", "started", "done", "already_done"),
        *("rejected", "expired", "failed", "outcome_unknown"),
    }
    assert {str(status) for status in ToolCallStatus} == names
