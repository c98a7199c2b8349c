"""What is known of one lifecycle, read from outside."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.campaign.phases import Phase

Json = dict[str, Any]


@dataclass(frozen=True)
class Word:
    """A command that somebody gave, and what it was answered.

    Attributes:
        name: What was asked, e.g. `cancel`.
        asked_at: When, in wall time.
        answered_at: When the last answer came.
        status: The last answer; None if there was none in time.
        target: The id of what it was about.
    """

    name: str
    asked_at: float
    answered_at: float
    status: int | None
    target: str = ""


@dataclass(frozen=True)
class Policy:
    """What the retry policy of the plan says."""

    waits: int = 2
    last_resort: str = "cancel"
    after_uncollectible: str = "cancel"


@dataclass(frozen=True)
class Change:
    """A change at once, and what was previewed for it.

    Attributes:
        subscription_id: Which subscription was changed, by our id.
        previewed_cents: What it was to cost at once; None without a preview.
        status: What it was answered.
    """

    subscription_id: str
    previewed_cents: int | None
    status: int | None


@dataclass
class Told:
    """What the driver itself did, with times.

    Attributes:
        marks: When each phase began.
        words: Commands to the product.
        cards: Cards that the customer gave, by Stripe's id, with when.
        by_hand: What was done at Stripe by somebody else: names of actions.
        hosted: Invoices that the customer paid on Stripe's page.
        changes: Changes of plan at once.
        terms: Plan and quantity that the last acknowledged change is to bring, by name.
    """

    marks: list[tuple[float, Phase]] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)
    cards: list[tuple[float, str]] = field(default_factory=list)
    by_hand: list[str] = field(default_factory=list)
    hosted: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    terms: Json = field(default_factory=dict)


@dataclass
class Evidence:
    """One lifecycle at one moment.

    Attributes:
        email: Whose it is.
        policy: What the retries go by.
        told: What the driver did.
        ledger: The stand-in's movements of money, oldest first.
        log: The stand-in's requests about this customer, oldest first.
        customer: Stripe's customer, None if there is none.
        subscriptions: Stripe's subscriptions, newest first.
        invoices: Stripe's invoices, newest first.
        intents: Stripe's payment intents, newest first.
        charges: Stripe's charges, newest first.
        cards: Stripe's cards of the customer.
        views: The product's subscriptions.
        view_invoices: The product's invoices.
        payments: The product's payments.
        retries: The product's payment retries, newest first.
        view_cards: The product's cards.
        entitlements: The product's entitlements.
        mails: Mails to the customer, oldest first.
        workflows: Status by workflow id.
        command_times: When a workflow took its commands, by workflow id.
        problems: What the API answered that it must not.
        pending_webhooks: Events about the customer that are not delivered.
        is_over: Whether the lifecycle has ended with a cancel.
        now: When all this was read.
    """

    email: str
    policy: Policy
    told: Told
    ledger: list[Json] = field(default_factory=list)
    log: list[Json] = field(default_factory=list)
    customer: Json | None = None
    subscriptions: list[Json] = field(default_factory=list)
    invoices: list[Json] = field(default_factory=list)
    intents: list[Json] = field(default_factory=list)
    charges: list[Json] = field(default_factory=list)
    cards: list[Json] = field(default_factory=list)
    views: list[Json] = field(default_factory=list)
    view_invoices: list[Json] = field(default_factory=list)
    payments: list[Json] = field(default_factory=list)
    retries: list[Json] = field(default_factory=list)
    view_cards: list[Json] = field(default_factory=list)
    entitlements: Json = field(default_factory=dict)
    mails: list[Json] = field(default_factory=list)
    workflows: dict[str, str] = field(default_factory=dict)
    command_times: dict[str, list[float]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    pending_webhooks: int = 0
    is_over: bool = False
    now: float = 0.0

    def tried(self, **match: Any) -> list[Json]:
        """Return the charges tried whose fields equal `match`, oldest first."""
        return [
            row for row in self.ledger if row["kind"] == "charge" and match.items() <= row.items()
        ]

    def refunded(self, payment_intent: str | None) -> int:
        """Return what was given back of one payment."""
        return sum(
            int(row["amount"])
            for row in self.ledger
            if row["kind"] == "refund"
            and row["outcome"] == "succeeded"
            and row["payment_intent"] == payment_intent
        )

    def view_of(self, stripe_subscription_id: str) -> Json | None:
        """Return the product's view of a subscription at Stripe."""
        for view in self.views:
            if view["stripe_subscription_id"] == stripe_subscription_id:
                return view
        return None

    def retry_of(self, stripe_invoice_id: str) -> Json | None:
        """Return the product's payment retry of an invoice."""
        for retry in self.retries:
            if retry["stripe_invoice_id"] == stripe_invoice_id:
                return retry
        return None

    def owed(self) -> Iterator[Json]:
        """Yield the invoices that the product has to collect."""
        for invoice in self.invoices:
            if (
                invoice["status"] == "open"
                and invoice["attempted"]
                and invoice["collection_method"] == "charge_automatically"
                and invoice["billing_reason"] != "subscription_create"
                and subscription_of(invoice) is not None
                and invoice["amount_remaining"] > 0
            ):
                yield invoice


def subscription_of(invoice: Json) -> str | None:
    """Return the id of an invoice's subscription."""
    parent = invoice.get("parent") or {}
    details = parent.get("subscription_details") or {}
    found: str | None = details.get("subscription")
    return found


def is_ours(charge: Json) -> bool:
    """Say whether a row of the ledger is a charge that the product asked for."""
    return charge["idempotency_key"] is not None
