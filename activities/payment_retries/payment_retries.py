"""The activities that open a payment retry and save its progress."""

from temporalio import activity

from adapters.stripe.cards import StripeCards
from adapters.stripe.invoices import StripeInvoices
from database.notifications.due_mails import add_due_mail
from database.payment_retries.card_offers import CardOfferRepository
from database.payment_retries.models import PaymentRetry
from database.payment_retries.payment_attempts import PaymentAttemptRepository
from database.payment_retries.payment_retries import PaymentRetryRepository
from database.session import Sessions
from domain.errors import NotFoundError, ProviderRejectedError
from domain.ids import payment_retry_workflow_id
from domain.notifications import SaveRetryInput, retry_mail
from domain.payment_retries.declines import NO_CARD
from domain.payment_retries.lifecycle import (
    CLOSED,
    AttemptTrigger,
    ChargeResult,
    PausedReason,
    RetryFacts,
    RetryStatus,
    status_of_invoice,
    with_asked_at,
)
from domain.payment_retries.messages import (
    OpenRetryInput,
    OpenRetryResult,
    RetryStart,
)
from domain.payment_retries.snapshots import UnpaidInvoice
from services.stripe_idempotency import post_once


class RetryActivities:
    """The activities that take over an unpaid invoice and write its payment retry's row."""

    def __init__(
        self,
        invoices: StripeInvoices,
        cards: StripeCards,
        sessions: Sessions,
    ) -> None:
        self._invoices = invoices
        self._cards = cards
        self._sessions = sessions

    @activity.defn
    async def open_retry(self, open_input: OpenRetryInput) -> OpenRetryResult:
        """Take over an invoice's collection from Stripe, and record Stripe's own first charge.

        The row is written first, so that it shows the payment retry even while Stripe is down.

        Args:
            open_input: The invoice, and how to collect it.

        Returns:
            The payment retry's state; closed if there is nothing to collect.

        Raises:
            ApplicationError: Stripe does not know the invoice, or is down.
        """
        start = open_input.start
        async with self._sessions.begin() as session:
            columns = _columns_of(start, is_imported=open_input.is_imported)
            row = await PaymentRetryRepository(session).open(columns)
            last_scheduled_at = await PaymentAttemptRepository(session).last_scheduled_at(
                start.payment_retry_id,
            )
        invoice = await self._invoices.read(start.stripe_invoice_id)
        is_auto_charged = invoice.invoice_status == "open" and invoice.is_charged_automatically
        if is_auto_charged and not open_input.is_imported:
            await self._stop_collection(open_input)
        facts = _facts_of(open_input, row, invoice)
        if last_scheduled_at is not None:
            facts = facts.model_copy(update={"waits_from": last_scheduled_at})
        fingerprint = await self._fingerprint(invoice.failed_card_id or invoice.card_id)
        attempt, offered_card_id = await self._record(start, facts, invoice, fingerprint)
        return OpenRetryResult(
            facts=facts,
            attempt=attempt,
            link=invoice.hosted_invoice_url,
            offered_card_id=offered_card_id,
            amount_paid_cents=invoice.amount_paid_cents,
        )

    @activity.defn
    async def save_retry(self, save_input: SaveRetryInput) -> None:
        """Write a payment retry's current state into its row, and the mail that tells it.

        Args:
            save_input: State to write, and the news for the customer, if any.
        """
        news = save_input.news
        mail = retry_mail(news, save_input.payment_retry_id) if news is not None else None
        async with self._sessions.begin() as session:
            await PaymentRetryRepository(session).save(save_input)
            if mail is not None:
                await add_due_mail(session, mail)

    async def _stop_collection(self, open_input: OpenRetryInput) -> None:
        stripe_invoice_id = open_input.start.stripe_invoice_id
        key = f"{payment_retry_workflow_id(stripe_invoice_id)}:auto_advance"

        async def post(numbered_key: str) -> bool:
            await self._invoices.stop_collection(stripe_invoice_id, numbered_key)
            return True

        async def find() -> bool | None:
            return None if await self._invoices.is_auto_charged(stripe_invoice_id) else True

        try:
            await post_once(key, post, find, is_repeated=open_input.is_repeated)
        except (ProviderRejectedError, NotFoundError):
            # Reason: the invoice may have been paid or closed since it was read.
            if await self._invoices.status(stripe_invoice_id) == "open":
                raise

    async def _fingerprint(self, stripe_payment_method_id: str | None) -> str | None:
        if stripe_payment_method_id is None:
            return None
        try:
            return (await self._cards.chargeable(stripe_payment_method_id)).fingerprint
        except (NotFoundError, ProviderRejectedError):
            return stripe_payment_method_id

    async def _record(
        self,
        start: RetryStart,
        facts: RetryFacts,
        invoice: UnpaidInvoice,
        fingerprint: str | None,
    ) -> tuple[int, str | None]:
        """Record Stripe's first charge; return the latest attempt's number and an offered card."""
        async with self._sessions.begin() as session:
            attempts = PaymentAttemptRepository(session)
            # Reason: without a card Stripe tried to collect, but made no charge.
            if invoice.latest_charge_id is not None:
                await attempts.reserve(
                    payment_retry_id=start.payment_retry_id,
                    attempt=0,
                    trigger=AttemptTrigger.INITIAL,
                    outcome=ChargeResult.FAILED,
                    decline_code=facts.decline_code,
                    advice_code=facts.advice_code,
                    stripe_payment_method_id=invoice.failed_card_id or invoice.card_id,
                    card_fingerprint=fingerprint,
                    stripe_payment_intent_id=invoice.stripe_payment_intent_id,
                    attempted_at=facts.waits_from,
                )
            offer = await CardOfferRepository(session).offered(start.stripe_invoice_id)
            is_untried = offer is not None and offer.tried_at is None
            card_id = offer.stripe_payment_method_id if offer and is_untried else None
            return await attempts.last_attempt(start.payment_retry_id), card_id


def _columns_of(start: RetryStart, *, is_imported: bool) -> dict[str, object]:
    is_paused = start.is_suspended or is_imported
    return {
        "payment_retry_id": start.payment_retry_id,
        "subscription_id": start.subscription_id,
        "user_id": start.user_id,
        "stripe_invoice_id": start.stripe_invoice_id,
        "retry_status": RetryStatus.PAUSED if is_paused else RetryStatus.WAITING,
        "paused_reason": PausedReason.IMPORTED if is_imported else None,
        "policy_name": start.policy.name,
        "policy_version": start.policy.version,
        "workflow_id": payment_retry_workflow_id(start.stripe_invoice_id),
    }


def _facts_of(open_input: OpenRetryInput, row: PaymentRetry, invoice: UnpaidInvoice) -> RetryFacts:
    """Return the state of a payment retry, which may also begin again."""
    status = status_of_invoice(invoice.invoice_status)
    if status not in CLOSED and not invoice.is_charged_automatically:
        status = RetryStatus.CANCELED
    elif status not in CLOSED and (open_input.start.is_suspended or open_input.is_imported):
        status = RetryStatus.PAUSED
    decline_code, advice_code = invoice.decline_code, invoice.advice_code
    if decline_code is None and invoice.card_id is None:
        decline_code = NO_CARD
    facts = RetryFacts(
        retry_status=status,
        is_imported=open_input.is_imported and status is RetryStatus.PAUSED,
        attempt_count=row.attempt_count,
        waits_from=open_input.at,
        grace_ends_at=open_input.start.grace_ends_at,
        decline_code=decline_code,
        advice_code=advice_code,
    )
    return with_asked_at(facts, open_input.at)
