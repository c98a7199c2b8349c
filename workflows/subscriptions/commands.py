"""Decides about commands to a subscription, and maps each to its activity and input."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.subscriptions.changes import SubscriptionChangeActivities as Changes
    from activities.subscriptions.commands import SubscriptionCommandActivities as Commands
    from activities.subscriptions.ends import SubscriptionEndActivities as Ends
    from activities.subscriptions.pauses import PauseActivities as Pauses
    from activities.subscriptions.trials import TrialActivities as Trials
    from domain.subscriptions.lifecycle import CommandKind, RefusalCode, decide
    from domain.subscriptions.messages import SubscriptionCommand
    from domain.subscriptions.state import CommandAnswer, SubscriptionState
    from domain.subscriptions.steps import (
        ONLY_WHILE_ALIVE,
        CancelInput,
        ChangeCardInput,
        CommandInput,
        ResumeInput,
        SubscriptionInput,
    )
    from workflows.subscriptions.state import Step

Facts = Mapping[str, Any]


class CommandCall(NamedTuple):
    """How a command is carried out.

    Args:
        activity: Activity that executes the command at Stripe.
        make_input: Builds the activity's input from the command and the common fields.
    """

    activity: Step
    make_input: Callable[[SubscriptionCommand, Facts], SubscriptionInput]


def _cancel(command: SubscriptionCommand, facts: Facts) -> SubscriptionInput:
    # Reason: some steps make no sense once the subscription has ended.
    parked = [step for step in facts["parked"] if step.kind not in ONLY_WHILE_ALIVE]
    return CancelInput(**{**facts, "parked": parked}, cause=str(command.command_id))


def _change_card(command: SubscriptionCommand, facts: Facts) -> SubscriptionInput:
    return ChangeCardInput(
        **facts,
        command_id=command.command_id,
        stripe_payment_method_id=command.stripe_payment_method_id or "",
    )


def _command(command: SubscriptionCommand, facts: Facts) -> SubscriptionInput:
    return CommandInput(**facts, command=command)


def _resume(command: SubscriptionCommand, facts: Facts) -> SubscriptionInput:
    return ResumeInput(**facts, cause=str(command.command_id))


# One entry for each command that calls Stripe.
CALLS: Mapping[CommandKind, CommandCall] = {
    CommandKind.CANCEL_NOW: CommandCall(Commands.cancel_subscription, _cancel),
    CommandKind.CANCEL_AT_PERIOD_END: CommandCall(Ends.cancel_at_period_end, _command),
    CommandKind.UNCANCEL: CommandCall(Ends.uncancel_subscription, _command),
    CommandKind.PAUSE: CommandCall(Pauses.pause_subscription, _command),
    CommandKind.RESUME: CommandCall(Pauses.resume_subscription, _resume),
    CommandKind.CONFIRM: CommandCall(Trials.confirm_subscription, _command),
    CommandKind.EXTEND_TRIAL: CommandCall(Trials.extend_trial, _command),
    CommandKind.END_TRIAL: CommandCall(Trials.end_trial, _command),
    CommandKind.CHANGE_PAYMENT_METHOD: CommandCall(Commands.change_payment_method, _change_card),
    CommandKind.CHANGE_PLAN: CommandCall(Changes.change_subscription_plan, _command),
    CommandKind.SCHEDULE_CHANGE: CommandCall(Changes.schedule_change, _command),
    CommandKind.CANCEL_SCHEDULED_CHANGE: CommandCall(Changes.cancel_scheduled_change, _command),
    CommandKind.APPLY_DISCOUNT: CommandCall(Changes.change_discount, _command),
    CommandKind.REMOVE_DISCOUNT: CommandCall(Changes.change_discount, _command),
}


def refuse(state: SubscriptionState | None, command: SubscriptionCommand) -> CommandAnswer | None:
    """Return the refusal of a command; None if the command is allowed.

    Args:
        state: State of the subscription; None before the first step, when a command is taken in
            and decided about in its turn.
        command: Command to decide about.
    """
    if state is None:
        return None
    decision = decide(
        state.subscription_status, command.kind, is_managed_at_stripe=state.is_managed_at_stripe
    )
    code, message = decision.refusal_code, decision.refusal
    if code is None and command.kind not in CALLS and command.kind is not CommandKind.RETRY_PARKED:
        # Reason: not every command of the table is one for the workflow, or exists already.
        code, message = RefusalCode.ILLEGAL_COMMAND, "the workflow does not know this command"
    if code is None:
        return None
    details = {"subscription_status": state.subscription_status}
    return CommandAnswer(error_code=code, message=message, details=details)
