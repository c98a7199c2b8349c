"""Types that all schemas share."""

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

# The largest integer that every JSON parser reads without loss.
COUNT_MAX = 2**53
# The largest sequence number of an event.
SEQ_MAX = 2**63 - 1

# For free text that must not be blank, and is kept as it is.
NOT_BLANK = r"\S"
# For free text: card numbers in it are masked before it is stored or sent anywhere.
MASKED = AfterValidator(masked)
# For names and ids: a value with a card number is refused.
NO_CARD = AfterValidator(refuse_card_number)


def _without_card_number(address: HttpUrl) -> HttpUrl:
    refuse_card_number(str(address))
    return address


# NUL and lone surrogates need no pattern here: `api/http/routing.py` checks all text.
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
        # As in HTML's `<input type="email">`: one plain address, without comments and quotes.
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
    # Reason: pydantic would read `true` as 1, and `"5"` as 5; the schema allows neither.
    if isinstance(value, bool | str):
        raise ValueError("a whole number is required")  # noqa: TRY004 - only this becomes a 422
    return value


WHOLE = BeforeValidator(_whole)
Amount = Annotated[int, Field(gt=0, le=AMOUNT_MAX), WHOLE]
Count = Annotated[int, Field(gt=0, le=COUNT_MAX), WHOLE]


Item = TypeVar("Item")


class Input(BaseModel):
    """Base class of request bodies; unknown fields are refused, not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Output(BaseModel):
    """Base class of responses; reads the attributes of rows."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class Listing(Output, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next_cursor: str | None = Field(
        default=None,
        description="Send it as `cursor` to get the next page; null on the last page.",
    )

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """Return the name of a list's schema: `PlanListOut` for a list of `PlanOut`."""
        return f"{params[0].__name__.removesuffix('Out')}ListOut"

    @classmethod
    def of(cls, page: Page[Any], read: Callable[[Any], Item]) -> Self:
        """Render a page of rows."""
        return cls(items=[read(row) for row in page.items], next_cursor=page.next_cursor)


class Problem(Output):
    """An error, as a problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str = Field(description="Explanation for people.")
    code: str = Field(description="Stable name of the error, for programs.")
    details: dict[str, Any]
