"""What all bodies have in common."""

from collections.abc import Callable
from typing import Annotated, Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from database.paging import Page

# Reason: PostgreSQL stores no NUL in any text.
NO_NUL = r"^[^\x00]*$"
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, strip_whitespace=True, pattern=NO_NUL),
]
Email = Annotated[
    str,
    StringConstraints(
        max_length=254,
        to_lower=True,
        strip_whitespace=True,
        pattern=r"^[^@\s]+@[^@\s]+$",
    ),
]
StripeId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{3,100}$")]

Item = TypeVar("Item")


class Input(BaseModel):
    """Base of what comes in: unknown fields are refused rather than silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Output(BaseModel):
    """Base of what goes out; reads the attributes of rows."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class Listing(Output, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next_cursor: str | None = Field(
        default=None,
        description="Give it back as `cursor` for the next page; null at the end.",
    )

    @classmethod
    def of(cls, page: Page[Any], read: Callable[[Any], Item]) -> Self:
        """Render a page of rows."""
        return cls(items=[read(row) for row in page.items], next_cursor=page.next_cursor)


class Problem(Output):
    """An error, after RFC 9457."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "/errors/illegal_command",
                    "title": "Conflict",
                    "status": 409,
                    "detail": "the subscription is canceled",
                    "code": "illegal_command",
                    "details": {"subscription_status": "canceled"},
                },
            ],
        },
    )

    type: str
    title: str
    status: int
    detail: str = Field(description="A sentence for a person.")
    code: str = Field(description="Stable name for programs.")
    details: dict[str, Any]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Document the problems that a route may answer."""
    return {status: {"model": Problem} for status in statuses}
