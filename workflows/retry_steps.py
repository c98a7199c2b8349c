"""The steps of one payment retry: take over, charge, look again; and what is parked of them."""

from collections.abc import Coroutine
from datetime import datetime
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from domain.parked import pause_after
    from domain.retries import (
        CLOSED,
        AttemptTrigger,
        ChargeResult,
        Recovery,
        RetryStatus,
        after_charge,
        with_request,
    )
    from domain.retry_messages import ChargeOrder, ChargeOutcome, LastResortOrder, RetryStart
    from workflows.canceling import StepInterruptedError
    from workflows.owed_steps import parked_step
    from workflows.retry_board import RetryBoard
    from workflows.retry_desk import RetryDesk

Answer = TypeVar("Answer")

_CHARGED = frozenset({ChargeResult.SUCCEEDED, ChargeResult.FAILED})


class RetrySteps:
    """State of one payment retry, and the steps that change it; one at a time."""

    def __init__(
        self,
        start: RetryStart,
        desk: RetryDesk,
        board: RetryBoard,
    ) -> None:
        self.recovery = start.recovery or _fresh(start)
        self.attempt = start.attempt
        self.charge = start.charge
        self.offered_card_id = start.offered_card_id
        self.is_opened = start.recovery is not None
        self.is_refresh_owed = start.is_refresh_owed
        self.rests_until: datetime | None = None
        self._start, self._desk, self._board = start, desk, board
        self._try_count = 0
        self._last_outcome: ChargeOutcome | None = None

    def move(self, **changes: object) -> None:
        """Change what is known."""
        self.recovery = self.recovery.model_copy(update=changes)

    def is_closed(self) -> bool:
        """Whether there is nothing more to collect, as far as is known."""
        is_reopening = self.is_refresh_owed or not self.is_opened
        return self.recovery.retry_status in CLOSED and not is_reopening

    def is_owing(self) -> bool:
        """Whether a step is to be taken before anything else."""
        return not self.is_opened or self.is_refresh_owed or self.charge is not None

    def wake(self) -> None:
        """Take a parked step again at once."""
        self.rests_until = None

    def owe_charge(self, trigger: AttemptTrigger, card_id: str | None = None) -> None:
        """Owe one charge; another card goes before a charge that could not be made."""
        if self.charge is not None and trigger is not AttemptTrigger.NEW_CARD:
            return
        self.attempt += 1
        self.charge = ChargeOrder(
            payment_retry_id=self._start.payment_retry_id,
            stripe_subscription_id=self._start.stripe_subscription_id,
            stripe_invoice_id=self._start.stripe_invoice_id,
            attempt=self.attempt,
            trigger=trigger,
            attempted_at=workflow.now(),
            stripe_payment_method_id=card_id,
        )

    async def run_owed(self) -> None:
        """Take the step that is owed."""
        if not self.is_opened:
            await self._open()
        elif self.is_refresh_owed:
            await self._refresh()
        elif self.charge is not None:
            await self._pay(self.charge)

    def stop(self) -> None:
        """End without another charge."""
        self.charge, self.is_refresh_owed, self.is_opened = None, False, True
        self.move(retry_status=RetryStatus.CANCELED)

    def resume(self) -> None:
        """Go on where it was suspended; with another card, if one was set meanwhile."""
        card_id, self.offered_card_id = self.offered_card_id, None
        self.move(retry_status=RetryStatus.WAITING, asked_at=None)
        self.recovery = with_request(self.recovery, workflow.now())
        if card_id is not None:
            self.owe_charge(AttemptTrigger.NEW_CARD, card_id)

    async def report_end(self, last_resort: LastResortOrder | None) -> None:
        """Tell the mailbox how it ended, and what is asked of it now."""
        outcome, self._last_outcome = self._last_outcome, None
        await self._report(outcome, last_resort)

    async def _open(self) -> None:
        opened = await self._perform("open", self._desk.open(self._try_count > 0))
        if opened is None:
            return
        self.is_opened = True
        self.recovery, self.attempt = opened.recovery, opened.attempt
        self._board.link = opened.link or self._board.link
        self._board.amount_paid_cents = opened.amount_paid_cents
        if opened.offered_card_id is not None:
            self.try_card(opened.offered_card_id)

    def try_card(self, card_id: str | None) -> None:
        """Charge another card at once; or, while a newer invoice goes first, after that."""
        if self.recovery.retry_status is RetryStatus.PAUSED:
            self.offered_card_id = card_id
        elif not self.is_closed():
            self.owe_charge(AttemptTrigger.NEW_CARD, card_id)

    async def _refresh(self) -> None:
        outcome = await self._perform("refresh", self._desk.refresh())
        if outcome is None:
            return
        self.is_refresh_owed = False
        self._board.amount_paid_cents = outcome.amount_paid_cents
        is_owed = outcome.result is ChargeResult.FAILED
        if not is_owed:
            self.charge = None
            self._take(outcome, AttemptTrigger.INITIAL)
        elif self.recovery.retry_status in CLOSED:
            self.is_opened = False  # its end did not settle the invoice: begin again
            self.move(retry_status=RetryStatus.WAITING)

    async def _pay(self, order: ChargeOrder) -> None:
        self._board.show_charging(order.attempt, order.trigger)
        repeated = order.model_copy(update={"is_repeated": self._try_count > 0})
        outcome = await self._perform("charge", self._desk.charge(repeated))
        if outcome is None or self.charge is not order:
            return
        self.charge = None
        self._board.link = outcome.next_action_url or self._board.link
        self._board.amount_paid_cents = outcome.amount_paid_cents
        self._take(outcome, order.trigger)
        if outcome.result not in _CHARGED:
            self.attempt = order.attempt - 1  # nothing was charged
        if self.recovery.retry_status in CLOSED:
            self._last_outcome = outcome
        else:
            await self._report(outcome)

    def _take(self, outcome: ChargeOutcome, trigger: AttemptTrigger) -> None:
        decline = (outcome.decline_code, outcome.advice_code)
        self.recovery = after_charge(
            self.recovery,
            trigger,
            outcome.result,
            decline,
            workflow.now(),
        )

    async def _report(
        self,
        outcome: ChargeOutcome | None,
        last_resort: LastResortOrder | None = None,
    ) -> None:
        attempt = self.attempt if outcome else None
        await self._desk.report(self.recovery.retry_status, attempt, outcome, last_resort)

    async def _perform(self, name: str, call: Coroutine[Any, Any, Answer]) -> Answer | None:
        """Take a step; one that cannot be taken is parked, and rests.

        Returns:
            What it answers; None if it was called off or parked.
        """
        try:
            answer = await call
        except StepInterruptedError:
            self._try_count += 1
            return None
        except ActivityError as error:
            await self._park(name, error)
            return None
        self._try_count, self.rests_until = 0, None
        if self._board.parked is not None:
            await self._board.show_parked(None, None)
        return answer

    async def _park(self, name: str, error: ActivityError) -> None:
        known, now = self._board.parked, workflow.now()
        self._try_count += 1
        self.rests_until = now + pause_after(self._try_count)
        is_same = known is not None and known.step == name
        parked = parked_step(name, error, known.since if known and is_same else now)
        workflow.logger.error("step parked", extra={"step": name, "code": parked.code})
        await self._board.show_parked(parked, self.recovery)


def _fresh(start: RetryStart) -> Recovery:
    status = RetryStatus.PAUSED if start.is_suspended else RetryStatus.WAITING
    return Recovery(
        retry_status=status,
        waits_from=workflow.now(),
        grace_ends_at=start.grace_ends_at,
    )
