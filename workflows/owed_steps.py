"""The steps that a subscription's workflow still has to run: due steps and parked steps."""

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
    """The owed steps, in the order in which they are run."""

    def __init__(self, steps: Iterable[OwedStep] = ()) -> None:
        self._steps = list(steps)

    def __iter__(self) -> Iterator[OwedStep]:
        """Iterate over all owed steps."""
        return iter(self._steps)

    def add(self, step_input: AnyStepInput) -> None:
        """Owe a step; a second sync is merged with the owed one and makes it due."""
        for index, step in enumerate(self._steps):
            if step_input.kind is StepKind.SYNC and step.kind is StepKind.SYNC:
                self._steps[index] = step.merged(step_input)
                return
            if step.is_same(step_input):
                return
        self._steps.append(OwedStep(input=step_input))

    def put_back(self, step: OwedStep) -> None:
        """Owe an interrupted step again; its activity may have taken effect."""
        changes = {"try_count": step.try_count + 1, "next_try_at": None}
        for index, other in enumerate(self._steps):
            if step.kind is StepKind.SYNC and other.kind is step.kind:
                self._steps[index] = step.merged(other.input).model_copy(update=changes)
                return
        self._steps.insert(0, step.model_copy(update=changes))

    def park(self, step: OwedStep, error: ActivityError, now: datetime) -> ParkedStep:
        """Owe a failed step, parked until its next try."""
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
        """Make all parked steps due."""
        self._steps = [step.model_copy(update={"next_try_at": None}) for step in self._steps]

    def parked(self) -> tuple[OwedStep, ...]:
        """Return the steps that are parked."""
        return tuple(step for step in self._steps if step.parked is not None)

    def next_try_at(self) -> datetime | None:
        """Return when the first waiting step is due; None if no step waits."""
        times = [step.next_try_at for step in self._steps if step.next_try_at is not None]
        return min(times, default=None)

    def given_up_invoice_ids(self) -> set[str]:
        """Return the invoices whose last resort is still owed."""
        return {
            step.input.request.stripe_invoice_id
            for step in self._steps
            if isinstance(step.input, LastResortInput)
        }

    def drop_steps_of_living(self) -> None:
        """Drop the steps that make no sense once the subscription has ended."""
        self._steps = [step for step in self._steps if step.kind not in ONLY_WHILE_ALIVE]


def parked_step(step: str, error: ActivityError, since: datetime) -> ParkedStep:
    """Return a failed step as it is shown."""
    failure = failure_of(error)
    return ParkedStep(
        step=step,
        code=failure.code or "step_failed",
        message=failure.message,
        since=since,
        details=failure.details,
        release=failure.release,
    )
