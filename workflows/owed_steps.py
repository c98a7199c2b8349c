"""The steps that a mailbox still has to take: due ones, and parked ones that rest."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from domain.parked_steps import ParkedStep, pause_after
    from domain.subscriptions.steps import (
        ONLY_WHILE_ALIVE,
        AnyStepInput,
        LastResortInput,
        OwedStep,
        StepKind,
    )
    from workflows.failures import failure_of


class OwedSteps:
    """What is owed, in the order in which it is due."""

    def __init__(self, steps: Iterable[OwedStep] = ()) -> None:
        self._steps = list(steps)

    def __iter__(self) -> Iterator[OwedStep]:
        """Return all steps."""
        return iter(self._steps)

    def add(self, wanted: AnyStepInput) -> None:
        """Owe a step; a second read from Stripe is one with the first, and makes it due."""
        for index, step in enumerate(self._steps):
            if wanted.kind is StepKind.SYNC and step.kind is StepKind.SYNC:
                self._steps[index] = step.merged(wanted)
                return
            if step.is_same(wanted):
                return
        self._steps.append(OwedStep(input=wanted))

    def put_back(self, step: OwedStep) -> None:
        """Owe a step again that was interrupted; it may have been done."""
        changes = {"try_count": step.try_count + 1, "next_try_at": None}
        for index, newer in enumerate(self._steps):
            if step.kind is StepKind.SYNC and newer.kind is step.kind:
                self._steps[index] = step.merged(newer.input).model_copy(update=changes)
                return
        self._steps.insert(0, step.model_copy(update=changes))

    def park(self, step: OwedStep, error: ActivityError, now: datetime) -> ParkedStep:
        """Owe a step that could not be taken, and let it rest for a while."""
        parked = parked_step(step.kind, error, step.parked.since if step.parked else now)
        try_count = step.try_count + 1
        changes = {
            "parked": parked,
            "try_count": try_count,
            "next_try_at": now + pause_after(try_count),
        }
        self._steps.append(step.model_copy(update=changes))
        return parked

    def take_due(self, now: datetime) -> OwedStep | None:
        """Take out the first step that is due; None if there is none."""
        for index, step in enumerate(self._steps):
            if step.next_try_at is None or step.next_try_at <= now:
                return self._steps.pop(index)
        return None

    def wake(self) -> None:
        """Make all steps due that rest."""
        self._steps = [step.model_copy(update={"next_try_at": None}) for step in self._steps]

    def parked(self) -> tuple[OwedStep, ...]:
        """Return the steps that are parked."""
        return tuple(step for step in self._steps if step.parked is not None)

    def next_try_at(self) -> datetime | None:
        """Return when the first step that rests is due; None if none rests."""
        times = [step.next_try_at for step in self._steps if step.next_try_at is not None]
        return min(times, default=None)

    def given_up_invoice_ids(self) -> set[str]:
        """Return the invoices whose last resort is still owed."""
        return {
            step.input.request.stripe_invoice_id
            for step in self._steps
            if isinstance(step.input, LastResortInput)
        }

    def drop_what_has_ended(self) -> None:
        """Owe nothing more that only a living subscription can have."""
        self._steps = [step for step in self._steps if step.kind not in ONLY_WHILE_ALIVE]


def parked_step(step: str, error: ActivityError, since: datetime) -> ParkedStep:
    """Return what is shown of a step that could not be taken."""
    failure = failure_of(error)
    return ParkedStep(
        step=step,
        code=failure.code or "step_failed",
        message=failure.message,
        since=since,
        details=failure.details,
        release=failure.release,
    )
