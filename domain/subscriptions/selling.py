"""The rules of selling, and how they refuse: one of a plan, one currency, one trial."""

from uuid import UUID

from domain.errors import ConflictError, ForbiddenError, InvalidInputError
from domain.payments.money import AMOUNT_MAX


def already_subscribed(subscription_id: UUID) -> ConflictError:
    """Return the error that says that a plan can be had once only."""
    return ConflictError(
        "there is a subscription of this plan already; change or cancel that one",
        "already_subscribed",
        {"subscription_id": str(subscription_id)},
    )


def check_currency(plan_currency_code: str, billed_in: str | None) -> None:
    """Check that a customer is billed in one currency, as Stripe demands.

    Args:
        plan_currency_code: The plan's.
        billed_in: What the customer is billed in already; None if in nothing yet.

    Raises:
        ConflictError: It is another one (`currency_mismatch`).
    """
    if billed_in not in {None, plan_currency_code}:
        raise ConflictError(
            "a customer is billed in one currency",
            "currency_mismatch",
            {"currency_code": billed_in, "plan_currency_code": plan_currency_code},
        )


def check_total(amount_cents: int, quantity: int) -> None:
    """Check that an order costs no more than Stripe charges at once.

    Args:
        amount_cents: Of one, in minor units.
        quantity: How many.

    Raises:
        InvalidInputError: It costs more.
    """
    if amount_cents * quantity > AMOUNT_MAX:
        most = AMOUNT_MAX // amount_cents
        message = f"of this plan {most} fit into one order: Stripe charges {AMOUNT_MAX} at the most"
        faults = [{"field": "body.quantity", "message": message}]
        raise InvalidInputError("the input is not valid", details={"errors": faults})


def check_trial(of_plan: int, wanted: int | None, *, is_admin: bool) -> None:
    """Check that who buys takes no longer trial than the plan gives.

    Args:
        of_plan: Days of the plan's trial.
        wanted: Days that are asked for; None for the plan's.
        is_admin: Whether an administrator asks, who may give any.

    Raises:
        ForbiddenError: It is longer (`admin_required`).
    """
    if wanted is not None and wanted > of_plan and not is_admin:
        raise ForbiddenError(
            "only an administrator gives a longer trial than the plan's",
            "admin_required",
            {"trial_days": of_plan},
        )
