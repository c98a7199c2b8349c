"""What all bodies have in common."""

from collections.abc import Callable
from typing import Annotated, Any, Generic, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    HttpUrl,
    StringConstraints,
)

from api.http.card_guard import masked, refuse_card_number
from database.paging import Page
from domain.payments.money import AMOUNT_MAX

# The largest whole number that JSON carries everywhere without loss.
COUNT_MAX = 2**53
# What a number of an event can be.
SEQ_MAX = 2**63 - 1

# For what people write: card numbers in it are masked before it goes anywhere.
MASKED = AfterValidator(masked)
# For names and ids: a card number in one is refused.
NO_CARD = AfterValidator(refuse_card_number)


def _without_card_number(address: HttpUrl) -> HttpUrl:
    refuse_card_number(str(address))
    return address


# NUL and half surrogates need no pattern here: `api/http/routing.py` looks at all text.
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, strip_whitespace=True),
    NO_CARD,
]
Title = Annotated[
    str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True), MASKED
]
Email = Annotated[
    str,
    StringConstraints(
        max_length=254,
        to_lower=True,
        strip_whitespace=True,
        # As HTML's input of type "email" has it: one plain address, without comments and quotes.
        pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@"
        r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
        r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$",
    ),
    NO_CARD,
]
PaymentMethodId = Annotated[
    str,
    StringConstraints(pattern=r"^pm_[A-Za-z0-9_]{1,100}$"),
    NO_CARD,
]
WebAddress = Annotated[HttpUrl, AfterValidator(_without_card_number)]


def _whole(value: Any) -> Any:
    # Reason: pydantic would read `true` as 1, and `"5"` as 5; the description says neither.
    if isinstance(value, bool | str):
        raise ValueError("a whole number is needed")  # noqa: TRY004 - only this becomes a 422
    return value


WHOLE = BeforeValidator(_whole)
Amount = Annotated[int, Field(gt=0, le=AMOUNT_MAX), WHOLE]
Count = Annotated[int, Field(gt=0, le=COUNT_MAX), WHOLE]


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
