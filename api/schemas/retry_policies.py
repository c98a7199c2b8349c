"""Schemas of retry policies."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints

from api.schemas.common import (
    NO_CARD,
)
from domain.base import Duration
from domain.payment_retries.policy import RetryPolicy, VersionedPolicy

PolicyName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"), NO_CARD
]
# Name of a decline code, of a class of decline codes, or `default`.
DeclineName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,64}$"), NO_CARD]
_POLICY: dict[str, Any] = {
    "schedules": {"default": ["1d", "3d", "5d", "7d"], "insufficient_funds": ["3d", "7d"]},
    "grace": "14d",
    "time_to_respond": "3d",
    "last_resort": "cancel",
}


class RetryPolicyIn(RetryPolicy):
    """A new version of a retry policy."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_POLICY]})

    schedules: dict[DeclineName, tuple[Duration, ...]] = Field(
        default=RetryPolicy().schedules,
        max_length=100,
    )


class RetryPolicyOut(RetryPolicy):
    """One version of a retry policy."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "default", "version": 1, **_POLICY}]},
    )

    name: str
    version: int

    @classmethod
    def of(cls, versioned: VersionedPolicy) -> "RetryPolicyOut":
        """Render a version of a retry policy."""
        facts = {name: getattr(versioned.policy, name) for name in RetryPolicy.model_fields}
        return cls(name=versioned.name, version=versioned.version, **facts)


POLICY_EXAMPLES = {"patient": {"summary": "Two weeks of grace", "value": _POLICY}}
