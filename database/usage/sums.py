"""Sums of usage records, as columns of a statement and as totals."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import case, func
from sqlalchemy.sql.elements import ColumnElement

from database.usage.models import UsageRecord
from domain.usage.amounts import Allowance, WindowUsage

RESERVED = "reserved"
SETTLED = "settled"
AGENT_RUN = "agent_run"
MODEL_CALL = "model_call"

_IS_OPEN = UsageRecord.usage_status == RESERVED
_USED_TOKENS = UsageRecord.prompt_token_count + UsageRecord.completion_token_count
_RESERVED_TOKENS = (
    UsageRecord.reserved_prompt_token_count + UsageRecord.reserved_completion_token_count
)
HELD_TOKENS = case((_IS_OPEN, _RESERVED_TOKENS), else_=_USED_TOKENS)
HELD_CENTS = case((_IS_OPEN, UsageRecord.reserved_cost_cents), else_=UsageRecord.cost_cents)
_IS_RUN = UsageRecord.usage_kind == AGENT_RUN
# Reason: an open record has no usage yet, so these sums count settled records only.
_SUMMED: Mapping[str, Any] = {
    "agent_run_count": case((_IS_RUN, 1), else_=0),
    "prompt_token_count": UsageRecord.prompt_token_count,
    "completion_token_count": UsageRecord.completion_token_count,
    "cached_prompt_token_count": UsageRecord.cached_prompt_token_count,
    "cache_write_token_count": UsageRecord.cache_write_token_count,
    "reasoning_token_count": UsageRecord.reasoning_token_count,
    "cost_cents": UsageRecord.cost_cents,
    "held_token_count": HELD_TOKENS,
    "held_cost_cents": HELD_CENTS,
}


def usage_sums(
    prefix: str = "", condition: ColumnElement[bool] | None = None
) -> tuple[ColumnElement[Any], ...]:
    """Return the sums over usage records as columns.

    Args:
        prefix: Beginning of the columns' names.
        condition: Which records count; None for all of the statement.
    """
    sums = []
    for name, expression in _SUMMED.items():
        total: Any = func.sum(expression)
        if condition is not None:
            total = total.filter(condition)
        sums.append(total.label(f"{prefix}{name}"))
    return tuple(sums)


def read_sums(row: Any, prefix: str = "") -> WindowUsage:
    """Return the totals in a row that has the columns of `usage_sums`."""
    found = {name: getattr(row, f"{prefix}{name}") for name in _SUMMED}
    return WindowUsage(**{name: value for name, value in found.items() if value is not None})


def allowance_of(tokens: Decimal | None, cents: Decimal | None) -> Allowance:
    """Return used and reserved amounts."""
    return Allowance(token_count=int(tokens or 0), cost_cents=Decimal(cents or 0))
