"""How `PaymentWorkflow` pays, looks, and calls off."""

import structlog
from temporalio import activity

from activities.customers import ensure_customer
from activities.payment_view import PaymentView, post_once, state_of
from database.models import Payment
from database.payments import PaymentRepository
from database.session import Sessions
from domain.errors import (
    CardDeclinedError,
    IllegalCommandError,
    NotFoundError,
    ProviderRejectedError,
)
from domain.ids import command_key, payment_workflow_id
from domain.payments import (
    OPEN,
    PaymentOrder,
    PaymentRequest,
    PaymentState,
    PaymentStatus,
)
from observability import PAYMENT_AMOUNT_CENTS, PAYMENT_ATTEMPTS

log = structlog.get_logger(__name__)

TRIGGER = "one_off"


class PaymentRowActivities:
    """The first word about a payment."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @activity.defn
    async def open_payment(self, order: PaymentOrder) -> PaymentState | None:
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


class PaymentActivities:
    """A payment at Stripe and its row here, brought to agree."""

    def __init__(self, view: PaymentView) -> None:
        self._view = view

    @activity.defn
    async def pay(self, order: PaymentOrder) -> PaymentState:
        """Charge the card once, however often this is tried.

        Args:
            order: With the request.

        Returns:
            The payment as it is now; a declined card is an outcome, no error.

        Raises:
            ApplicationError: Stripe is down; the outcome is found out later.
        """
        row = await self._view.row(order.payment_id)
        if order.request is None or row.payment_status != PaymentStatus.PENDING:
            return state_of(row)
        intent_id = row.stripe_payment_intent_id
        if activity.info().attempt > 1:
            # Reason: the answer of an earlier try may be lost, and its key may be used up.
            intent_id = await self._view.find(row)
        try:
            intent_id = intent_id or await self._charge(row, order.request)
        except (ProviderRejectedError, NotFoundError, CardDeclinedError) as error:
            log.warning("payment_rejected", **error.details)
            PAYMENT_ATTEMPTS.labels(TRIGGER, PaymentStatus.FAILED).inc()
            facts = error.details
            code = facts.get("decline_code") or facts.get("stripe_code") or error.error_code
            return await self._view.settle(row.payment_id, PaymentStatus.FAILED, code)
        state = await self._view.look(row.payment_id, intent_id)
        PAYMENT_ATTEMPTS.labels(TRIGGER, state.payment_status).inc()
        PAYMENT_AMOUNT_CENTS.labels(row.currency_code, state.payment_status).observe(
            row.amount_cents,
        )
        return state

    @activity.defn
    async def look_at_payment(self, order: PaymentOrder) -> PaymentState:
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
        view, made = self._view, ""
        customer_id = await ensure_customer(row.user_id, view.customers, view.sessions)

        async def post(key: str) -> None:
            nonlocal made
            made = await view.payments.pay(row.payment_id, customer_id, request, key)

        async def is_done() -> bool:
            nonlocal made
            made = await view.payments.find(row.payment_id, customer_id) or ""
            return bool(made)

        await post_once(post, is_done, f"{payment_workflow_id(row.payment_id)}:pay")
        return made


class PaymentCancelActivities:
    """Payments called off, at Stripe first."""

    def __init__(self, view: PaymentView) -> None:
        self._view = view

    @activity.defn
    async def cancel_payment(self, order: PaymentOrder) -> PaymentState:
        """Call a payment off, unless it was made meanwhile.

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
            return await self._view.settle(row.payment_id, PaymentStatus.CANCELED, None)

        async def post(key: str) -> None:
            await self._view.payments.cancel(intent_id, order.is_expired, key)

        async def is_done() -> bool:
            state = await self._view.look(row.payment_id, intent_id)
            return state.payment_status not in OPEN

        workflow_id = payment_workflow_id(order.payment_id)
        key = command_key(workflow_id, "cancel", order.command_id or "expired")
        try:
            await post_once(post, is_done, key)
        except ProviderRejectedError:
            # Reason: it may have been paid, or called off, since we looked last.
            log.info("payment_cancel_rejected")
        state = await self._view.look(row.payment_id, intent_id)
        if state.payment_status in OPEN:
            details = {"payment_status": state.payment_status}
            raise IllegalCommandError("the payment is being made", details=details)
        return state
