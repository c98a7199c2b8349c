"""What a payment retry does when a command comes, or when its time has come."""

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
    """One thing after the other: commands, what is owed, and what the schedule says."""

    def __init__(self, start: RetryStart, emails: RetryEmails) -> None:
        self.commands: deque[RetryCommand] = deque()
        self.answered: set[UUID] = set()
        self._start = start
        calls = RetryActivityCalls(start, self._is_stopped)
        self._progress = RetryProgress(start, calls, emails)
        self._state = RetryState(start)
        self._steps = RetrySteps(self._state, calls, self._progress)
        self._waiting: set[UUID] = set()
        self._last_resort: LastResortRequest | None = None

    @property
    def retry_status(self) -> RetryStatus:
        """Where the payment retry stands."""
        return self._state.facts.retry_status

    def put(self, command: RetryCommand) -> None:
        """Put a command into the mailbox, once; to stop goes before all others."""
        if command.kind is RetryCommandKind.STOP:
            self.commands.appendleft(command)
        elif command not in self.commands:
            self.commands.append(command)

    def is_closed(self) -> bool:
        """Whether there is nothing more to do."""
        return not self.commands and self._state.is_closed()

    async def handle_next(self) -> datetime | None:
        """Do what is due.

        Returns:
            When there is something to do again; None if somebody must ask first.
        """
        if self.commands:
            self._execute(self.commands.popleft())
            return workflow.now()
        now, rests_until = workflow.now(), self._steps.attempts.rests_until
        if rests_until is not None and rests_until > now:
            self._answer()
            return rests_until
        if self._state.is_owing():
            await self._steps.run_owed()
            self._answer()
            return workflow.now()
        return await self._follow_schedule(now)

    async def close(self) -> None:
        """Show and report how it ended."""
        step = NextStep(retry_status=self.retry_status)
        await self._progress.show(step, self._state.facts, self._state.attempt)
        last_resort, self._last_resort = self._last_resort, None
        await self._steps.report_end(last_resort)
        self._answer()

    def snapshot(self) -> RetrySnapshot:
        """Return what the row shows."""
        return self._progress.snapshot(self._state.facts)

    def to_start_input(self, mailed_keys: tuple[str, ...]) -> RetryStart:
        """Return what the next run needs of this one."""
        return self._state.to_start_input(self._progress.link, mailed_keys)

    async def _follow_schedule(self, now: datetime) -> datetime | None:
        state = self._state
        step = next_step(self._start.policy.policy, state.facts)
        if step.at is None or step.at > now:
            state.move(retry_status=step.retry_status)
            await self._progress.show(step, state.facts, state.attempt)
            self._answer()
            return step.at
        if step.action is NextStep.Action.CHARGE:
            state.owe_charge(AttemptTrigger.SCHEDULED)
        else:
            self._exhaust()
        return now

    def _exhaust(self) -> None:
        """End, and ask the mailbox for the policy's last resort."""
        policy = self._start.policy.policy
        self._last_resort = LastResortRequest(
            stripe_invoice_id=self._start.stripe_invoice_id,
            last_resort=policy.last_resort,
            after_uncollectible=policy.after_uncollectible,
        )
        self._state.move(retry_status=RetryStatus.EXHAUSTED)

    def _execute(self, command: RetryCommand) -> None:
        """Do what a command asks, or owe it."""
        state, kind = self._state, command.kind
        is_paused = self.retry_status is RetryStatus.PAUSED
        self._steps.attempts.wake()
        if command.command_id is not None:
            self._waiting.add(command.command_id)
        if kind is RetryCommandKind.REFRESH:
            state.is_refresh_owed = True
        elif state.is_closed():
            return  # also to a stop: a charge that was in flight may have been paid
        elif kind is RetryCommandKind.STOP:
            state.stop()
        elif kind is RetryCommandKind.SUSPEND:
            state.move(retry_status=RetryStatus.PAUSED)
        elif kind is RetryCommandKind.RESUME and is_paused:
            state.resume()
        elif kind is RetryCommandKind.TRY_CARD:
            state.try_card(command.stripe_payment_method_id)
        elif kind is RetryCommandKind.RETRY_NOW and not is_paused:
            state.owe_charge(AttemptTrigger.MANUAL)

    def _answer(self) -> None:
        self.answered |= self._waiting
        self._waiting.clear()

    def _is_stopped(self) -> bool:
        return any(command.kind is RetryCommandKind.STOP for command in self.commands)
