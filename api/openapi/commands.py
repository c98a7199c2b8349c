"""Tells in which statuses a command is allowed, from the table that the workflow obeys."""

from collections.abc import Iterator, Mapping

from domain.subscriptions.lifecycle import COMMANDS, CommandKind, SubscriptionStatus, decide

# Operation id and path of the route of each command.
COMMAND_ROUTES: Mapping[CommandKind, tuple[str, str]] = {
    CommandKind.CANCEL_NOW: ("cancel_subscription", "cancel"),
    CommandKind.CHANGE_PAYMENT_METHOD: ("change_subscription_payment_method", "payment-method"),
    CommandKind.RETRY_PARKED: ("retry_parked_subscription", "retry-parked"),
}


def allowed_text(kind: CommandKind) -> str:
    """Return a sentence that names the statuses in which a command is allowed."""
    allowed = [each for each in SubscriptionStatus if decide(each, kind).refusal is None]
    if len(allowed) == len(SubscriptionStatus):
        return "Allowed in every status."
    names = ", ".join(f"`{status}`" for status in allowed)
    return f"Allowed in the statuses {names}. In any other the answer is 409 `illegal_command`."


def describe_commands(operations: Mapping[str, dict[str, object]]) -> None:
    """Add to the description of each command route in which statuses it is allowed."""
    for kind in COMMANDS:
        operation = operations[COMMAND_ROUTES[kind][0]]
        operation["description"] = f"{operation['description']}\n\n{allowed_text(kind)}"


def commands_table() -> str:
    """Return the table of statuses and commands in Markdown."""
    return "\n".join(_rows()) + "\n"


def _rows() -> Iterator[str]:
    yield "| status | " + " | ".join(f"`{COMMAND_ROUTES[kind][1]}`" for kind in COMMANDS) + " |"
    yield "| --- |" + " --- |" * len(COMMANDS)
    for status in SubscriptionStatus:
        yield f"| `{status}` | " + " | ".join(_cell(status, kind) for kind in COMMANDS) + " |"


def _cell(status: SubscriptionStatus, kind: CommandKind) -> str:
    decision = decide(status, kind)
    if decision.refusal is not None:
        return "409 `illegal_command`"
    return "yes" if decision.next_status is status else f"then `{decision.next_status}`"
