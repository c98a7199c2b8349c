"""How `PaymentWorkflow` pays, looks, and cancels."""

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
from observability import PAYMENT_AMOUNT_CENTS, PAYMENT_ATTEMPTS
from services.payments.stripe_sync import PaymentSync, state_of
from services.stripe_idempotency import finish, is_later_try, post_once

log = structlog.get_logger(__name__)

TRIGGER = "one_off"
CARD_GONE = "payment_method_unavailable"
# What Stripe says of the payment itself; no later try can be answered otherwise.
_FINAL_CODES = frozenset({"amount_too_large", "amount_too_small", "invalid_charge_amount"})


class PaymentRowActivities:
    """Creates a payment's row, and shows its parked step there."""

    def __init__(self, sessions: Sessions, view: PaymentSync) -> None:
        self._sessions = sessions
        self._view = view

    @activity.defn
    async def open_payment(self, order: OpenPaymentInput) -> PaymentState | None:
        """Write the row before anything is asked of Stripe, or find the one that is there.

        Args:
            order: With the request, if this is to be a new payment.

        Returns:
            What the row says; None if there is none and nothing was requested.
        """
        workflow_id = payment_workflow_id(order.payment_id)
        async with self._sessions.begin() as session:
            repository = PaymentRepository(session)
            if (request := order.request) is not None:
                await repository.insert(
                    payment_id=order.payment_id,
                    user_id=request.user_id,
                    amount_cents=request.amount_cents,
                    currency_code=request.currency_code,
                    payment_status=PaymentStatus.PENDING,
                    stripe_payment_method_id=request.stripe_payment_method_id,
                    workflow_id=workflow_id,
                )
            row = await repository.lock(order.payment_id)
            if row is None:
                return None
            row.workflow_id = workflow_id  # an invoice's payment had none before
            return state_of(row)

    @activity.defn
    async def park_payment(self, order: ParkPaymentInput) -> PaymentState:
        """Show which step is parked.

        Args:
            order: With the parked step; none if all is well again.

        Returns:
            The payment as it is now.

        Raises:
            NotFoundError: There is no such payment.
        """
        return await self._view.park(order.payment_id, order.parked)


class PaymentActivities:
    """A payment at Stripe and its row here, brought to agree."""

    def __init__(self, view: PaymentSync) -> None:
        self._view = view

    @activity.defn
    async def pay(self, order: PayInput) -> PaymentState:
        """Charge the card once, however often this is tried.

        Args:
            order: With the request.

        Returns:
            The payment as it is now; a declined card is an outcome, no error.

        Raises:
            CancelledError: It was called off; what was sent has come to its end.
            ApplicationError: Stripe is down; the outcome is found out later.
        """
        row = await self._view.row(order.payment_id)
        if row.payment_status != PaymentStatus.PENDING:
            return state_of(row)
        intent_id = row.stripe_payment_intent_id
        if intent_id is None and (order.is_repeated or is_later_try()):
            # Reason: the answer of an earlier try may be lost, and its key may be used up.
            intent_id = await self._view.find(row)
        try:
            if intent_id is None:
                intent_id = await finish(self._charge(row, order.request), is_last=True)
        except CardDeclinedError as error:
            return await self._fail(row, error.details["decline_code"])
        except (ProviderRejectedError, NotFoundError) as error:
            reason = await self._why_final(row, order.request, error)
            if reason is None:
                raise
            return await self._fail(row, reason)
        state = await self._view.look(row.payment_id, intent_id)
        PAYMENT_ATTEMPTS.labels(TRIGGER, state.payment_status).inc()
        PAYMENT_AMOUNT_CENTS.labels(row.currency_code, state.payment_status).observe(
            row.amount_cents,
        )
        return state

    @activity.defn
    async def refresh_payment(self, order: RefreshPaymentInput) -> PaymentState:
        """Bring the row up to what Stripe says.

        Args:
            order: Which payment.

        Returns:
            The payment as it is now.

        Raises:
            ApplicationError: Stripe does not know it, or is down.
        """
        row = await self._view.row(order.payment_id)
        intent_id = await self._view.find(row)
        return await self._view.look(row.payment_id, intent_id) if intent_id else state_of(row)

    async def _charge(self, row: Payment, request: PaymentRequest) -> str:
        view = self._view

        async def charge(stripe_customer_id: str) -> str:
            async def post(key: str) -> str:
                return await view.payments.pay(row.payment_id, stripe_customer_id, request, key)

            async def find() -> str | None:
                return await view.payments.find(row.payment_id, stripe_customer_id)

            key = f"{payment_workflow_id(row.payment_id)}:pay:{stripe_customer_id}"
            return await post_once(key, post, find)

        return await view.owner(row).use(charge)

    async def _why_final(
        self,
        row: Payment,
        request: PaymentRequest,
        error: ProviderRejectedError | NotFoundError,
    ) -> str | None:
        """Return why a payment can never be made, if Stripe's refusal can be explained."""
        code = error.details.get("stripe_code")
        if code in _FINAL_CODES:
            return str(code)
        try:
            card = await self._view.cards.chargeable(request.stripe_payment_method_id)
        except NotFoundError:
            return CARD_GONE
        customer_id = await self._view.owner(row).known()
        return CARD_GONE if card.stripe_customer_id != customer_id else None

    async def _fail(self, row: Payment, code: str | None) -> PaymentState:
        log.warning("payment_failed", payment_id=str(row.payment_id), code=code)
        PAYMENT_ATTEMPTS.labels(TRIGGER, PaymentStatus.FAILED).inc()
        return await self._view.settle(row.payment_id, PaymentStatus.FAILED, code)


class PaymentCancelActivities:
    """Payments canceled, at Stripe first."""

    def __init__(self, view: PaymentSync) -> None:
        self._view = view

    @activity.defn
    async def cancel_payment(self, order: CancelPaymentInput) -> PaymentState:
        """Cancel a payment, unless it was made meanwhile.

        Args:
            order: With the command, or with the news that the customer's time is up.

        Returns:
            The payment as it is now.

        Raises:
            IllegalCommandError: Stripe has to wait for the card's network first.
            ApplicationError: Stripe is down.
        """
        row = await self._view.row(order.payment_id)
        intent_id = await self._view.find(row)
        if intent_id is None:
            return await self._view.settle(
                row.payment_id,
                PaymentStatus.CANCELED,
                None,
                canceled_at=order.at,
            )

        async def post(key: str) -> bool:
            await self._view.payments.cancel(intent_id, order.is_expired, key)
            return True

        async def find() -> bool | None:
            state = await self._view.look(row.payment_id, intent_id)
            return None if state.payment_status in OPEN else True

        workflow_id = payment_workflow_id(order.payment_id)
        key = command_key(workflow_id, "cancel", order.cause)
        try:
            await post_once(key, post, find)
        except (ProviderRejectedError, NotFoundError):
            # Reason: it may have been paid, or canceled, since we looked last.
            log.info("payment_cancel_rejected")
        state = await self._view.look(row.payment_id, intent_id)
        if state.payment_status in OPEN:
            details = {"payment_status": state.payment_status}
            raise IllegalCommandError("the payment is being made", details=details)
        return state
