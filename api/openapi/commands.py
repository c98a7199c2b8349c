"""Tells in which statuses a command is allowed, from the table that the workflow obeys."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from domain.subscriptions.lifecycle import (
    COMMANDS,
    CommandKind,
    Effect,
    RefusalCode,
    SubscriptionStatus,
    decide,
    follow,
)


class CommandRoute(NamedTuple):
    """The route of a command.

    Args:
        operation_id: Name of the route's function.
        action: Last part of the path.
        body: Field of the body by which commands of one route differ.
    """

    operation_id: str
    action: str
    body: str = ""

    @property
    def label(self) -> str:
        """The command as the docs name it."""
        return f"{self.action} {{{self.body}}}" if self.body else self.action


# Routes of all commands that can be given.
COMMAND_ROUTES: Mapping[CommandKind, CommandRoute] = {
    CommandKind.CANCEL_NOW: CommandRoute("cancel_subscription", "cancel", "mode: now"),
    CommandKind.CANCEL_AT_PERIOD_END: CommandRoute(
        "cancel_subscription", "cancel", "mode: at_period_end"
    ),
    CommandKind.UNCANCEL: CommandRoute("uncancel_subscription", "uncancel"),
    CommandKind.PAUSE: CommandRoute("pause_subscription", "pause"),
    CommandKind.RESUME: CommandRoute("resume_subscription", "resume"),
    CommandKind.CHANGE_PLAN: CommandRoute("change_subscription_plan", "change-plan", "when: now"),
    CommandKind.SCHEDULE_CHANGE: CommandRoute(
        "change_subscription_plan", "change-plan", "when: at_period_end"
    ),
    CommandKind.CANCEL_SCHEDULED_CHANGE: CommandRoute(
        "cancel_scheduled_change", "cancel-scheduled-change"
    ),
    CommandKind.APPLY_DISCOUNT: CommandRoute("apply_subscription_discount", "discount"),
    CommandKind.REMOVE_DISCOUNT: CommandRoute("remove_subscription_discount", "remove-discount"),
    CommandKind.CHANGE_PAYMENT_METHOD: CommandRoute(
        "change_subscription_payment_method", "payment-method"
    ),
    CommandKind.CONFIRM: CommandRoute("confirm_subscription", "confirm"),
    CommandKind.EXTEND_TRIAL: CommandRoute("extend_subscription_trial", "extend-trial"),
    CommandKind.END_TRIAL: CommandRoute("end_subscription_trial", "end-trial"),
    CommandKind.REACTIVATE: CommandRoute("reactivate_subscription", "reactivate"),
    CommandKind.RETRY_PARKED: CommandRoute("retry_parked_subscription", "retry-parked"),
}
_EFFECTS = {
    Effect.START_GRACE: "grace begins",
    Effect.CLEAR_GRACE: "grace ends",
    Effect.CANCEL_AT_STRIPE: "canceled at Stripe, if we ended it",
    Effect.STOP_PAYMENT_RETRIES: "stops payment retries",
    Effect.RELEASE_SCHEDULE: "a change that waits is given up",
    Effect.TRY_CARD: "an unpaid invoice is tried on the card",
    Effect.START_REPLACEMENT: "a new subscription begins",
}
_PAGE = """# Commands to a subscription

Written by `make openapi` from `domain/subscriptions/lifecycle.py`, the table that workflow and
API obey. A command is `POST /api/v1/subscriptions/{{subscription_id}}/…`; [billing](billing.md)
tells what each of them does.

## In which status a command is allowed

{commands}
- `409 illegal_command`: the status, in `details`, does not allow it.
- `409 payment_due`: the unpaid invoice has to be paid first.
- `409 period_not_paid`: the invoice of the present period was given up, and the change at once
  would credit a part of it.
- `409 managed_at_stripe`: a schedule that was made at Stripe (in the Dashboard, say) manages the
  subscription. Then only {managed} are allowed,
  in the statuses of the table.

## What a command leads to

{effects}
## What follows from a status that is read at Stripe

Each row is the status that we know, each column the one that Stripe shows. A subscription that has
ended is never revived.

{statuses}"""


def allowed_text(kind: CommandKind) -> str:
    """Return sentences that name the statuses in which a command is allowed."""
    allowed = [each for each in SubscriptionStatus if decide(each, kind).refusal is None]
    if len(allowed) == len(SubscriptionStatus):
        return "Allowed in every status."
    due = COMMANDS[kind].payment_due
    sentences = [f"Allowed in the statuses {_names(allowed)}."]
    if due:
        sentences.append(f"In {_names(sorted(due))} the answer is 409 `payment_due`.")
    sentences.append("In any other the answer is 409 `illegal_command`.")
    return " ".join(sentences)


def describe_commands(operations: Mapping[str, dict[str, object]]) -> None:
    """Add to the description of each command route in which statuses it is allowed."""
    for kind, route in COMMAND_ROUTES.items():
        operation = operations[route.operation_id]
        of_body = f"With `{route.body}`: " if route.body else ""
        operation["description"] = f"{operation['description']}\n\n{of_body}{allowed_text(kind)}"


def commands_page() -> str:
    """Return the page about commands, in Markdown."""
    managed = [kind for kind in COMMAND_ROUTES if COMMANDS[kind].is_allowed_if_managed]
    return _PAGE.format(
        commands="\n".join(_command_rows()) + "\n",
        managed=_names(_label(kind) for kind in managed),
        effects="\n".join(_effect_rows()) + "\n",
        statuses="\n".join(_status_rows()) + "\n",
    )


def _command_rows() -> Iterator[str]:
    yield "| command | " + " | ".join(f"`{status}`" for status in SubscriptionStatus) + " |"
    yield "| --- |" + " --- |" * len(SubscriptionStatus)
    for kind in COMMAND_ROUTES:
        cells = (_command_cell(status, kind) for status in SubscriptionStatus)
        yield f"| `{_label(kind)}` | " + " | ".join(cells) + " |"


def _effect_rows() -> Iterator[str]:
    yield "| command | event | besides |"
    yield "| --- | --- | --- |"
    for kind in COMMAND_ROUTES:
        effects = "; ".join(_EFFECTS[effect] for effect in COMMANDS[kind].effects)
        yield f"| `{_label(kind)}` | {COMMANDS[kind].summary} | {effects} |"


def _status_rows() -> Iterator[str]:
    yield "| known | " + " | ".join(f"`{status}`" for status in SubscriptionStatus) + " |"
    yield "| --- |" + " --- |" * len(SubscriptionStatus)
    for known in SubscriptionStatus:
        cells = (_status_cell(known, seen) for seen in SubscriptionStatus)
        yield f"| `{known}` | " + " | ".join(cells) + " |"


def _command_cell(status: SubscriptionStatus, kind: CommandKind) -> str:
    decision = decide(status, kind)
    if decision.refusal_code is not None:
        is_usual = decision.refusal_code is RefusalCode.ILLEGAL_COMMAND
        return "no" if is_usual else f"`{decision.refusal_code}`"
    return "yes" if decision.next_status is status else f"then `{decision.next_status}`"


def _status_cell(known: SubscriptionStatus, seen: SubscriptionStatus) -> str:
    decision = follow(known, seen, is_ended_by_us=True)
    is_same = decision.next_status is known
    parts = ["stays" if is_same else f"`{decision.next_status}`"]
    parts += [_EFFECTS[effect] for effect in decision.effects]
    return "; ".join(parts)


def _label(kind: CommandKind) -> str:
    return COMMAND_ROUTES[kind].label


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
