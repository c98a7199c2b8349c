"""The turns of one recovery: what `PaymentRetryWorkflow` does when its box or its clock says so."""

import asyncio
from collections import deque
from contextlib import suppress

from temporalio import workflow
from temporalio.exceptions import ActivityError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities.charges import ChargeActivities
    from activities.mail import MailActivities
    from activities.retries import RetryActivities
    from domain.errors import ProviderRejectedError
    from domain.ids import subscription_workflow_id
    from domain.retries import (
        CLOSED,
        AttemptTrigger,
        ChargeResult,
        NextStep,
        Recovery,
        RetryStatus,
        after_charge,
    )
    from domain.retry_messages import (
        ChargeOrder,
        ChargeOutcome,
        LastResortOrder,
        MailOrder,
        RetryReport,
        RetrySnapshot,
        RetryStart,
        RetryWish,
        WishKind,
    )
    from workflows.search_attributes import STATUS
    from workflows.signals import REPORT
    from workflows.timeouts import MAIL, RECORD, STRIPE_CALL


class RetryTurns:
    """State of one recovery, and the steps that change it; one at a time."""

    def __init__(self, start: RetryStart) -> None:
        self.wishes: deque[RetryWish] = deque()
        self.recovery = start.recovery or Recovery(
            waits_from=workflow.now(),
            grace_ends_at=start.grace_ends_at,
        )
        self._start = start
        self._attempt = start.attempt
        self._step: NextStep | None = None
        self._last = RetryReport(
            stripe_invoice_id=start.stripe_invoice_id,
            retry_status=self.recovery.retry_status,
            older_invoices=start.policy.policy.older_invoices,
        )
        self._mails = MailBag(start)

    async def open(self) -> None:
        """Take the invoice over from Stripe, unless an earlier run did."""
        if self._start.recovery is not None:
            return
        opened = await workflow.execute_activity_method(
            RetryActivities.open_retry,
            self._start.model_copy(update={"recovery": self.recovery}),
            **STRIPE_CALL,
            summary="take over from Stripe",
        )
        self.recovery, self._attempt = opened.recovery, opened.attempt
        self._mails.link = opened.link

    async def grant(self, wish: RetryWish) -> None:
        """Do what somebody asked for."""
        is_paused = self.recovery.retry_status is RetryStatus.PAUSED
        if wish.kind is WishKind.STOP:
            self._move(retry_status=RetryStatus.CANCELED)
        elif wish.kind is WishKind.STEP_BACK:
            self._move(retry_status=RetryStatus.PAUSED)
        elif wish.kind is WishKind.GO_ON:
            self._move(retry_status=RetryStatus.WAITING)
        elif wish.kind is WishKind.LOOK:
            await self._look()
        elif wish.kind is WishKind.OFFER_CARD and is_paused:
            # Reason: a newer invoice goes first; ours finds the new card when it goes on.
            self._move(decline_code=None, advice_code=None)
        elif wish.kind is WishKind.OFFER_CARD:
            await self._charge(AttemptTrigger.NEW_CARD, wish.stripe_payment_method_id)
        elif not is_paused:
            await self._charge(AttemptTrigger.MANUAL)

    async def charge_on_schedule(self) -> None:
        """Make the scheduled try that is due."""
        await self._charge(AttemptTrigger.SCHEDULED)

    def give_up(self) -> None:
        """End, and ask the mailbox for the policy's last resort."""
        policy = self._start.policy.policy
        order = LastResortOrder(
            stripe_invoice_id=self._start.stripe_invoice_id,
            last_resort=policy.last_resort,
            after_uncollectible=policy.after_uncollectible,
        )
        self._last = self._last.model_copy(update={"last_resort": order})
        self._move(retry_status=RetryStatus.EXHAUSTED)

    async def show(self, step: NextStep) -> None:
        """Let the row, the Web UI and the customer know what comes next, if that is new."""
        self._move(retry_status=step.retry_status)
        if step == self._step:
            return
        is_news = self._step is None or step.retry_status is not self._step.retry_status
        self._step = step
        snapshot = self.snapshot()
        await workflow.execute_activity_method(
            RetryActivities.save_retry,
            snapshot,
            **RECORD,
            summary=f"show {snapshot.retry_status}",
        )
        workflow.set_current_details(self._told(snapshot))
        if is_news:
            workflow.upsert_search_attributes([STATUS.value_set(snapshot.retry_status)])
            self._mails.send(snapshot, self._attempt)

    async def close(self) -> None:
        """Show and report how it ended."""
        await self.show(NextStep(retry_status=self.recovery.retry_status))
        await self._report()

    async def finish_mails(self) -> None:
        """Wait until all mails are sent or given up."""
        await self._mails.finish()

    def snapshot(self) -> RetrySnapshot:
        """Return what the row shows."""
        is_charge = self._step is not None and self._step.action is NextStep.Action.CHARGE
        return RetrySnapshot(
            payment_retry_id=self._start.payment_retry_id,
            retry_status=self.recovery.retry_status,
            attempt_count=self.recovery.attempt_count,
            next_attempt_at=self._step.at if self._step and is_charge else None,
        )

    def carried(self) -> RetryStart:
        """Return what the next run needs of this one."""
        return self._start.model_copy(
            update={"recovery": self.recovery, "attempt": self._attempt},
        )

    async def _charge(self, trigger: AttemptTrigger, card: str | None = None) -> None:
        self._attempt += 1
        order = ChargeOrder(
            payment_retry_id=self._start.payment_retry_id,
            stripe_subscription_id=self._start.stripe_subscription_id,
            stripe_invoice_id=self._start.stripe_invoice_id,
            attempt=self._attempt,
            trigger=trigger,
            attempted_at=workflow.now(),
            stripe_payment_method_id=card,
        )
        self._step = None  # the row shows `charging` until the next step is shown
        workflow.set_current_details(f"Charging now: attempt {self._attempt}, {trigger}.")
        outcome = await _to_its_end(order)
        now, decline = workflow.now(), (outcome.decline_code, outcome.advice_code)
        self.recovery = after_charge(self.recovery, trigger, outcome.result, decline, now)
        self._mails.link = outcome.next_action_url or self._mails.link
        self._last = self._last.model_copy(update={"attempt": self._attempt, "outcome": outcome})
        if self.recovery.retry_status not in CLOSED:
            await self._report()

    async def _look(self) -> None:
        outcome = await workflow.execute_activity_method(
            ChargeActivities.look_at_invoice,
            self._start.stripe_invoice_id,
            **STRIPE_CALL,
            summary="look at the invoice",
        )
        if outcome.result is ChargeResult.SUCCEEDED:
            self._move(retry_status=RetryStatus.RECOVERED)
        elif outcome.result is ChargeResult.GONE:
            self._move(retry_status=RetryStatus.CANCELED)

    async def _report(self) -> None:
        report = self._last.model_copy(update={"retry_status": self.recovery.retry_status})
        self._last = self._last.model_copy(update={"attempt": None, "outcome": None})
        mailbox = workflow.get_external_workflow_handle(
            subscription_workflow_id(self._start.subscription_id),
        )
        # Reason: a mailbox that has ended needs no report; its subscription is final.
        with suppress(FailureError):
            await mailbox.signal(REPORT, report)

    def _move(self, **changes: object) -> None:
        self.recovery = self.recovery.model_copy(update=changes)

    def _told(self, snapshot: RetrySnapshot) -> str:
        told = f"**{snapshot.retry_status}** after {snapshot.attempt_count} scheduled tries."
        if snapshot.next_attempt_at:
            told += f" Next charge at {snapshot.next_attempt_at:%Y-%m-%d %H:%M:%S} UTC."
        if self.recovery.decline_code:
            told += f" Last decline: `{self.recovery.decline_code}`."
        return told


class MailBag:
    """News for the customer: sent beside the work, which never waits for a mail server."""

    def __init__(self, start: RetryStart) -> None:
        self.link: str | None = None
        self._start = start
        self._sending: list[asyncio.Task[None]] = []

    def send(self, snapshot: RetrySnapshot, attempt: int) -> None:
        """Send the news of a new status."""
        invoice = self._start.stripe_invoice_id
        order = MailOrder(
            message_key=f"{invoice}-{attempt}-{snapshot.retry_status}",
            user_id=self._start.user_id,
            retry_status=snapshot.retry_status,
            next_attempt_at=snapshot.next_attempt_at,
            link=self.link,
        )
        self._sending.append(asyncio.create_task(_send(order)))

    async def finish(self) -> None:
        """Wait until all mails are sent or given up."""
        await asyncio.gather(*self._sending)
        self._sending.clear()


async def _send(order: MailOrder) -> None:
    try:
        await workflow.execute_activity_method(
            MailActivities.send_mail,
            order,
            **MAIL,
            summary=f"mail: {order.retry_status}",
        )
    except ActivityError:
        workflow.logger.warning("a mail was given up", extra={"key": order.message_key})


async def _to_its_end(order: ChargeOrder) -> ChargeOutcome:
    charge = asyncio.ensure_future(
        workflow.execute_activity_method(
            ChargeActivities.charge_invoice,
            order,
            **STRIPE_CALL,
            summary=f"attempt {order.attempt}, {order.trigger}",
        ),
    )
    try:
        # Reason: whoever cancels this workflow must not leave a charge without its record.
        return await asyncio.shield(charge)
    except asyncio.CancelledError:
        await charge
        raise
    except ActivityError as error:
        # Reason: Stripe refused for good; a person or another card can help, a retry cannot.
        workflow.logger.error("charge refused", extra={"cause": str(error.cause)})
        code = ProviderRejectedError.code
        return ChargeOutcome(result=ChargeResult.FAILED, decline_code=code)
