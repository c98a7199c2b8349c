"""Runs the steps of a payment retry: take over the invoice, charge it, read it again."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.parked_steps import ParkedStep
    from domain.payment_retries.lifecycle import (
        CLOSED,
        AttemptTrigger,
        ChargeResult,
        RetryStatus,
        facts_after_charge,
    )
    from domain.payment_retries.messages import ChargeInput, ChargeOutcome, LastResortRequest
    from workflows.payment_retries.activity_calls import RetryActivityCalls
    from workflows.payment_retries.progress import RetryProgress
    from workflows.payment_retries.state import RetryState
    from workflows.step_attempts import StepAttempts


class RetrySteps:
    """Runs the owed steps of a payment retry, one at a time."""

    def __init__(
        self, state: RetryState, calls: RetryActivityCalls, progress: RetryProgress
    ) -> None:
        self.attempts = StepAttempts(self._show_parked)
        self._state, self._calls, self._progress = state, calls, progress
        self._last_outcome: ChargeOutcome | None = None

    async def run_owed(self) -> None:
        """Run the first owed step."""
        state = self._state
        if not state.is_opened:
            await self._open()
        elif state.is_refresh_owed:
            await self._refresh()
        elif state.charge is not None:
            await self._pay(state.charge)

    def stop(self) -> None:
        """End the payment retry without another charge; nothing stays parked."""
        self._state.stop()
        self.attempts.drop_parked()
        self._progress.parked = None

    async def report_end(self, last_resort: LastResortRequest | None) -> None:
        """Report how the payment retry ended, and the last resort to execute."""
        outcome, self._last_outcome = self._last_outcome, None
        await self._report(outcome, last_resort)

    async def _open(self) -> None:
        state = self._state
        calls = self._calls.open(self.attempts.is_repeated, state.facts.is_imported)
        opened = await self.attempts.take("open", calls)
        if opened is None:
            return
        state.is_opened = True
        state.facts, state.attempt = opened.facts, opened.attempt
        self._progress.link = opened.link or self._progress.link
        self._progress.amount_paid_cents = opened.amount_paid_cents
        if opened.offered_card_id is not None:
            state.try_card(opened.offered_card_id)
        if state.released_at is not None:
            # Reason: the schedule begins when an administrator has started it, not in the past.
            state.move(waits_from=state.released_at)
            state.released_at = None
            self._progress.show_anew()
            await self._report(None)

    async def _refresh(self) -> None:
        state = self._state
        outcome = await self.attempts.take("refresh", self._calls.refresh())
        if outcome is None:
            return
        state.is_refresh_owed = False
        self._progress.amount_paid_cents = outcome.amount_paid_cents
        if outcome.result is not ChargeResult.FAILED:
            state.charge = None
            self._apply_outcome(outcome, AttemptTrigger.INITIAL)
        elif state.facts.retry_status in CLOSED:
            state.is_opened = False  # the invoice is still owed: begin again
            state.move(retry_status=RetryStatus.WAITING)

    async def _pay(self, charge_input: ChargeInput) -> None:
        state = self._state
        self._progress.show_charging(charge_input.attempt, charge_input.trigger)
        repeated = charge_input.model_copy(update={"is_repeated": self.attempts.is_repeated})
        outcome = await self.attempts.take("charge", self._calls.charge(repeated))
        if outcome is None:
            return
        state.charge = None
        self._progress.link = outcome.next_action_url or self._progress.link
        self._progress.amount_paid_cents = outcome.amount_paid_cents
        self._apply_outcome(outcome, charge_input.trigger)
        if state.facts.retry_status in CLOSED:
            self._last_outcome = outcome
        else:
            await self._report(outcome)

    def _apply_outcome(self, outcome: ChargeOutcome, trigger: AttemptTrigger) -> None:
        self._state.facts = facts_after_charge(
            self._state.facts,
            trigger,
            outcome.result,
            (outcome.decline_code, outcome.advice_code),
            workflow.now(),
        )

    async def _report(
        self,
        outcome: ChargeOutcome | None,
        last_resort: LastResortRequest | None = None,
    ) -> None:
        attempt = self._state.attempt if outcome else None
        facts = self._state.facts
        await self._calls.report(
            facts.retry_status, attempt, outcome, last_resort, facts.is_imported
        )

    async def _show_parked(self, parked: ParkedStep | None) -> None:
        await self._progress.show_parked(parked, self._state.facts)
