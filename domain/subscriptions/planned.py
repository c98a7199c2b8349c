"""What a planned end and a change that waits mean for commands."""

from datetime import datetime

from domain.subscriptions.lifecycle import CommandKind


def refusal_by_end(
    command: CommandKind, cancel_at: datetime | None, current_period_end: datetime | None
) -> str | None:
    """Return why the planned end of a subscription forbids a command; None if it does not.

    Args:
        command: Command to decide about.
        cancel_at: When the subscription ends; None if no end is planned.
        current_period_end: When its present period ends.
    """
    if cancel_at is None:
        return None
    if command is CommandKind.PAUSE:
        end = f"{cancel_at:%Y-%m-%d %H:%M} UTC"
        return f"the subscription ends at {end}; to pause it, take that back first (uncancel)"
    is_before_change = current_period_end is not None and cancel_at <= current_period_end
    if command is CommandKind.SCHEDULE_CHANGE and is_before_change:
        return "the subscription ends with this period"
    return None


def is_pointless(command: CommandKind, *, is_end_planned: bool, is_change_waiting: bool) -> bool:
    """Tell whether there is nothing that a command could take back.

    Args:
        command: Command to decide about.
        is_end_planned: Whether the end of the subscription is planned.
        is_change_waiting: Whether a change waits for the end of the period.
    """
    if command is CommandKind.UNCANCEL:
        return not is_end_planned
    return command is CommandKind.CANCEL_SCHEDULED_CHANGE and not is_change_waiting
