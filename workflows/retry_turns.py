"""The turns of one recovery: what `PaymentRetryWorkflow` does when its box or its clock says so."""

from collections import deque

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
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
        ChargeOutcome,
        LastResortOrder,
        RetrySnapshot,
        RetryStart,
        RetryWish,
        WishKind,
    )
    from workflows.retry_board import RetryBoard
    from workflows.retry_desk import RetryDesk

_MOVES = {
    WishKind.STOP: RetryStatus.CANCELED,
    WishKind.STEP_BACK: RetryStatus.PAUSED,
    WishKind.GO_ON: RetryStatus.WAITING,
}


class RetryTurns:
    """State of one recovery, and the steps that change it; one at a time."""

    def __init__(self, start: RetryStart, desk: RetryDesk, board: RetryBoard) -> None:
        self.wishes: deque[RetryWish] = deque()
        self.recovery = start.recovery or Recovery(
            waits_from=workflow.now(),
            grace_ends_at=start.grace_ends_at,
        )
        self._start, self._desk, self._board = start, desk, board
        self._attempt = start.attempt
        self._outcome: ChargeOutcome | None = None
        self._last_resort: LastResortOrder | None = None

    async def open(self) -> None:
        """Take the invoice over from Stripe, unless an earlier run did."""
        if self._start.recovery is None:
            opened = await self._desk.open(self.recovery)
            self.recovery, self._attempt = opened.recovery, opened.attempt
            self._board.link, card = opened.link, opened.offered_card_id
            if card is not None:
                self.put(RetryWish(kind=WishKind.OFFER_CARD, stripe_payment_method_id=card))

    def put(self, wish: RetryWish) -> None:
        """Put a wish into the box, once; to stop goes before all others."""
        if wish.kind is WishKind.STOP:
            self.wishes.appendleft(wish)
        elif wish not in self.wishes:
            self.wishes.append(wish)

    async def grant(self, wish: RetryWish) -> None:
        """Do what somebody asked for."""
        is_paused = self.recovery.retry_status is RetryStatus.PAUSED
        if (status := _MOVES.get(wish.kind)) is not None:
            self._move(retry_status=status)
        elif wish.kind is WishKind.LOOK:
            await self._look()
        elif not is_paused and wish.kind is WishKind.OFFER_CARD:
            await self.charge(AttemptTrigger.NEW_CARD, wish.stripe_payment_method_id)
        elif not is_paused:
            await self.charge(AttemptTrigger.MANUAL)
        elif wish.kind is WishKind.OFFER_CARD:
            self._move(decline_code=None, advice_code=None)  # tried when ours goes on

    async def charge(self, trigger: AttemptTrigger, card: str | None = None) -> None:
        """Make one charge and take its outcome in."""
        self._attempt += 1
        self._board.show_charging(self._attempt, trigger)
        outcome = await self._desk.charge(self._attempt, trigger, card)
        decline = (outcome.decline_code, outcome.advice_code)
        now = workflow.now()
        self.recovery = after_charge(self.recovery, trigger, outcome.result, decline, now)
        self._board.link = outcome.next_action_url or self._board.link
        self._outcome = outcome
        if self.recovery.retry_status not in CLOSED:
            await self._report()

    def give_up(self) -> None:
        """End, and ask the mailbox for the policy's last resort."""
        policy = self._start.policy.policy
        self._last_resort = LastResortOrder(
            stripe_invoice_id=self._start.stripe_invoice_id,
            last_resort=policy.last_resort,
            after_uncollectible=policy.after_uncollectible,
        )
        self._move(retry_status=RetryStatus.EXHAUSTED)

    async def show(self, step: NextStep) -> None:
        """Let everybody know what comes next, if that is new."""
        self._move(retry_status=step.retry_status)
        await self._board.show(step, self.recovery, self._attempt)

    async def close(self) -> None:
        """Show and report how it ended."""
        await self.show(NextStep(retry_status=self.recovery.retry_status))
        await self._report()

    def snapshot(self) -> RetrySnapshot:
        """Return what the row shows."""
        return self._board.snapshot(self.recovery)

    def carried(self) -> RetryStart:
        """Return what the next run needs of this one."""
        carried = {"recovery": self.recovery, "attempt": self._attempt}
        return self._start.model_copy(update=carried)

    async def _look(self) -> None:
        outcome = await self._desk.look()
        if outcome.result is ChargeResult.SUCCEEDED:
            self._move(retry_status=RetryStatus.RECOVERED)
        elif outcome.result is ChargeResult.GONE:
            self._move(retry_status=RetryStatus.CANCELED)

    async def _report(self) -> None:
        outcome, self._outcome = self._outcome, None
        attempt, status = self._attempt if outcome else None, self.recovery.retry_status
        await self._desk.report(status, attempt, outcome, self._last_resort)

    def _move(self, **changes: object) -> None:
        self.recovery = self.recovery.model_copy(update=changes)
