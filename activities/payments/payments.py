"""The activities of `PaymentWorkflow`: open, pay, sync, park and cancel a payment."""

import structlog
from temporalio import activity

from database.payments.models import Payment
from database.payments.payments import PaymentRepository
from database.session import Sessions
from domain.errors import (
    CardDeclinedError,
    IllegalCommandError,
    NotFoundError,
    ProviderRejectedError,
)
from domain.ids import command_key, payment_workflow_id
from domain.payments.messages import (
    CancelPaymentInput,
    OpenPaymentInput,
    ParkPaymentInput,
    PayInput,
    PaymentRequest,
    PaymentState,
    RefreshPaymentInput,
)
from domain.payments.rules import OPEN, PaymentStatus
from observability.metrics import PAYMENT_AMOUNT_CENTS, PAYMENT_ATTEMPTS
from services.payments.stripe_sync import PaymentSync, state_of
from services.stripe_idempotency import finish, is_later_attempt, post_once

log = structlog.get_logger(__name__)

TRIGGER = "one_off"
CARD_GONE = "payment_method_unavailable"
# Stripe's codes for a payment that can never be made; no later attempt gets another answer.
_FINAL_STRIPE_CODES = frozenset({"amount_too_large", "amount_too_small", "invalid_charge_amount"})


class PaymentRowActivities:
    """The activities that write a payment's row without calling Stripe."""

    def __init__(self, sessions: Sessions, sync: PaymentSync) -> None:
        self._sessions = sessions
        self._sync = sync

    @activity.defn
    async def open_payment(self, open_input: OpenPaymentInput) -> PaymentState | None:
        """Write a payment's row before Stripe is called, or find the existing row.

        Args:
            open_input: The payment, with the request if it is new.

        Returns:
            The payment's state; None if there is no row and no request.
        """
        workflow_id = payment_workflow_id(open_input.payment_id)
        async with self._sessions.begin() as session:
            repository = PaymentRepository(session)
            if (request := open_input.request) is not None:
                await repository.insert(
                    payment_id=open_input.payment_id,
                    user_id=request.user_id,
                    amount_cents=request.amount_cents,
                    currency_code=request.currency_code,
                    payment_status=PaymentStatus.PENDING,
                    stripe_payment_method_id=request.stripe_payment_method_id,
                    workflow_id=workflow_id,
                )
            row = await repository.lock(open_input.payment_id)
            if row is None:
                return None
            row.workflow_id = workflow_id  # the payment of an invoice had no workflow before
            return state_of(row)

    @activity.defn
    async def park_payment(self, park_input: ParkPaymentInput) -> PaymentState:
        """Show the parked step in the payment's row.

        Args:
            park_input: The payment and its parked step, if there is one.

        Returns:
            The payment's current state.

        Raises:
            NotFoundError: There is no such payment.
        """
        return await self._sync.park(park_input.payment_id, park_input.parked)


class PaymentActivities:
    """The activities that charge and sync a payment."""

    def __init__(self, sync: PaymentSync) -> None:
        self._sync = sync

    @activity.defn
    async def pay(self, pay_input: PayInput) -> PaymentState:
        """Charge the card once, however often the activity is retried.

        Args:
            pay_input: The payment and its request.

        Returns:
            The payment's current state; a declined card is an outcome, not an error.

        Raises:
            CancelledError: The activity was cancelled; a charge that was sent has ended.
            ApplicationError: Stripe is down; a later call finds out the outcome.
        """
        row = await self._sync.row(pay_input.payment_id)
        if row.payment_status != PaymentStatus.PENDING:
            return state_of(row)
        intent_id = row.stripe_payment_intent_id
        if intent_id is None and (pay_input.is_repeated or is_later_attempt()):
            # Reason: the answer to an earlier attempt may be lost, and its key forgotten.
            intent_id = await self._sync.find(row)
        try:
            if intent_id is None:
                intent_id = await finish(self._charge(row, pay_input.request), is_last=True)
        except CardDeclinedError as error:
            return await self._fail(row, error.details["decline_code"])
        except (ProviderRejectedError, NotFoundError) as error:
            reason = await self._final_reason(row, pay_input.request, error)
            if reason is None:
                raise
            return await self._fail(row, reason)
        state = await self._sync.sync(row.payment_id, intent_id)
        PAYMENT_ATTEMPTS.labels(TRIGGER, state.payment_status).inc()
        PAYMENT_AMOUNT_CENTS.labels(row.currency_code, state.payment_status).observe(
            row.amount_cents,
        )
        return state

    @activity.defn
    async def refresh_payment(self, refresh_input: RefreshPaymentInput) -> PaymentState:
        """Sync a payment's row from Stripe.

        Args:
            refresh_input: The payment.

        Returns:
            The payment's current state.

        Raises:
            ApplicationError: Stripe does not know the payment, or is down.
        """
        row = await self._sync.row(refresh_input.payment_id)
        intent_id = await self._sync.find(row)
        return await self._sync.sync(row.payment_id, intent_id) if intent_id else state_of(row)

    async def _charge(self, row: Payment, request: PaymentRequest) -> str:
        sync = self._sync

        async def charge(stripe_customer_id: str) -> str:
            async def post(key: str) -> str:
                return await sync.payments.pay(row.payment_id, stripe_customer_id, request, key)

            async def find() -> str | None:
                return await sync.payments.find(row.payment_id, stripe_customer_id)

            key = f"{payment_workflow_id(row.payment_id)}:pay:{stripe_customer_id}"
            return await post_once(key, post, find)

        return await sync.owner(row).use(charge)

    async def _final_reason(
        self,
        row: Payment,
        request: PaymentRequest,
        error: ProviderRejectedError | NotFoundError,
    ) -> str | None:
        """Return why a payment can never be made; None if a later attempt may succeed."""
        code = error.details.get("stripe_code")
        if code in _FINAL_STRIPE_CODES:
            return str(code)
        try:
            card = await self._sync.cards.chargeable(request.stripe_payment_method_id)
        except NotFoundError:
            return CARD_GONE
        customer_id = await self._sync.owner(row).known()
        return CARD_GONE if card.stripe_customer_id != customer_id else None

    async def _fail(self, row: Payment, code: str | None) -> PaymentState:
        log.warning("payment_failed", payment_id=str(row.payment_id), code=code)
        PAYMENT_ATTEMPTS.labels(TRIGGER, PaymentStatus.FAILED).inc()
        return await self._sync.settle(row.payment_id, PaymentStatus.FAILED, code)


class PaymentCancelActivities:
    """The activity that cancels a payment, at Stripe first."""

    def __init__(self, sync: PaymentSync) -> None:
        self._sync = sync

    @activity.defn
    async def cancel_payment(self, cancel_input: CancelPaymentInput) -> PaymentState:
        """Cancel a payment, unless it has succeeded meanwhile.

        Args:
            cancel_input: The payment, and the command or expiry that cancels it.

        Returns:
            The payment's current state.

        Raises:
            IllegalCommandError: Stripe has to wait for the card's network first.
            ApplicationError: Stripe is down.
        """
        row = await self._sync.row(cancel_input.payment_id)
        intent_id = await self._sync.find(row)
        if intent_id is None:
            return await self._sync.settle(
                row.payment_id,
                PaymentStatus.CANCELED,
                None,
                canceled_at=cancel_input.at,
            )

        async def post(key: str) -> bool:
            await self._sync.payments.cancel(intent_id, cancel_input.is_expired, key)
            return True

        async def find() -> bool | None:
            state = await self._sync.sync(row.payment_id, intent_id)
            return None if state.payment_status in OPEN else True

        workflow_id = payment_workflow_id(cancel_input.payment_id)
        key = command_key(workflow_id, "cancel", cancel_input.cause)
        try:
            await post_once(key, post, find)
        except (ProviderRejectedError, NotFoundError):
            # Reason: the payment may have succeeded, or been canceled, since it was read.
            log.info("payment_cancel_rejected")
        state = await self._sync.sync(row.payment_id, intent_id)
        if state.payment_status in OPEN:
            details = {"payment_status": state.payment_status}
            raise IllegalCommandError("the payment is in progress", details=details)
        return state
