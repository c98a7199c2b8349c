"""Maps each command to a subscription to its activity and the activity's input."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.subscriptions.commands import SubscriptionCommandActivities as Commands
    from domain.subscriptions.lifecycle import CommandKind
    from domain.subscriptions.messages import SubscriptionCommand
    from domain.subscriptions.steps import (
        ONLY_WHILE_ALIVE,
        CancelInput,
        ChangeCardInput,
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


# One entry for each command that calls Stripe.
CALLS: Mapping[CommandKind, CommandCall] = {
    CommandKind.CANCEL_NOW: CommandCall(Commands.cancel_subscription, _cancel),
    CommandKind.CHANGE_PAYMENT_METHOD: CommandCall(Commands.change_payment_method, _change_card),
}
