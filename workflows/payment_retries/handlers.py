"""Handles a payment retry's commands and its schedule."""

from collections import deque
from datetime import datetime
from uuid import UUID

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.payment_retries.lifecycle import AttemptTrigger, NextStep, RetryStatus, next_step
    from domain.payment_retries.messages import (
        LastResortRequest,
        RetryCommand,
        RetryCommandKind,
        RetrySnapshot,
        RetryStart,
    )
    from workflows.payment_retries.activity_calls import RetryActivityCalls
    from workflows.payment_retries.progress import RetryEmails, RetryProgress
    from workflows.payment_retries.state import RetryState
    from workflows.payment_retries.steps import RetrySteps


class RetryHandlers:
    """Handles one thing at a time: commands first, then owed steps, then the schedule."""

    def __init__(self, start: RetryStart, emails: RetryEmails) -> None:
        self.commands: deque[RetryCommand] = deque()
        self.answered: set[UUID] = set()
        self._start = start
        calls = RetryActivityCalls(start, self._is_stopped)
        self._progress = RetryProgress(start, calls, emails)
        self._state = RetryState(start)
        self._steps = RetrySteps(self._state, calls, self._progress)
        self._unanswered: set[UUID] = set()
        self._last_resort: LastResortRequest | None = None

    @property
    def retry_status(self) -> RetryStatus:
        """The payment retry's status."""
        return self._state.facts.retry_status

    def put(self, command: RetryCommand) -> None:
        """Put a command into the mailbox, once; a stop goes before all other commands."""
        if command.kind is RetryCommandKind.STOP:
            self.commands.appendleft(command)
        elif command not in self.commands:
            self.commands.append(command)

    def is_closed(self) -> bool:
        """Return whether there is nothing more to do."""
        return not self.commands and self._state.is_closed()

    async def handle_next(self) -> datetime | None:
        """Handle the next command, owed step or scheduled charge.

        Returns:
            When to call this again; None if only a command can cause more work.
        """
        if self.commands:
            self._execute(self.commands.popleft())
            return workflow.now()
        now, rests_until = workflow.now(), self._steps.attempts.rests_until
        if rests_until is not None and rests_until > now:
            self._mark_answered()
            return rests_until
        if self._state.is_owing():
            await self._steps.run_owed()
            self._mark_answered()
            return workflow.now()
        return await self._follow_schedule(now)

    async def close(self) -> None:
        """Show and report how the payment retry ended."""
        step = NextStep(retry_status=self.retry_status)
        await self._progress.show(step, self._state.facts, self._state.attempt)
        last_resort, self._last_resort = self._last_resort, None
        await self._steps.report_end(last_resort)
        self._mark_answered()

    def snapshot(self) -> RetrySnapshot:
        """Return the state that the row shows."""
        return self._progress.snapshot(self._state.facts)

    def to_start_input(self, mailed_keys: tuple[str, ...]) -> RetryStart:
        """Return the input of the next run of the workflow."""
        return self._state.to_start_input(self._progress.link, mailed_keys)

    async def _follow_schedule(self, now: datetime) -> datetime | None:
        state = self._state
        step = next_step(self._start.policy.policy, state.facts)
        if step.at is None or step.at > now:
            state.move(retry_status=step.retry_status)
            await self._progress.show(step, state.facts, state.attempt)
            self._mark_answered()
            return step.at
        if step.action is NextStep.Action.CHARGE:
            state.owe_charge(AttemptTrigger.SCHEDULED)
        else:
            self._exhaust()
        return now

    def _exhaust(self) -> None:
        """End the payment retry as exhausted, and request the policy's last resort."""
        policy = self._start.policy.policy
        self._last_resort = LastResortRequest(
            stripe_invoice_id=self._start.stripe_invoice_id,
            last_resort=policy.last_resort,
            after_uncollectible=policy.after_uncollectible,
        )
        self._state.move(retry_status=RetryStatus.EXHAUSTED)

    def _execute(self, command: RetryCommand) -> None:
        """Execute a command, or owe its step."""
        state, kind = self._state, command.kind
        is_paused = self.retry_status is RetryStatus.PAUSED
        self._steps.attempts.wake()
        if command.command_id is not None:
            self._unanswered.add(command.command_id)
        if kind is RetryCommandKind.REFRESH:
            state.is_refresh_owed = True
        elif state.is_closed():
            return  # even for a stop, because a charge in flight may have succeeded
        elif kind is RetryCommandKind.STOP:
            self._steps.stop()
        elif kind is RetryCommandKind.SUSPEND:
            state.move(retry_status=RetryStatus.PAUSED)
        elif kind is RetryCommandKind.RELEASE:
            state.release()
        elif kind is RetryCommandKind.RESUME and is_paused and not state.facts.is_imported:
            state.resume()
        elif kind is RetryCommandKind.TRY_CARD:
            state.try_card(command.stripe_payment_method_id)
        elif kind is RetryCommandKind.RETRY_NOW and not is_paused:
            state.owe_charge(AttemptTrigger.MANUAL)

    def _mark_answered(self) -> None:
        self.answered |= self._unanswered
        self._unanswered.clear()

    def _is_stopped(self) -> bool:
        return any(command.kind is RetryCommandKind.STOP for command in self.commands)
