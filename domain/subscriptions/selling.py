"""Rules of selling: one subscription per plan, one currency, limits of amount and trial."""

from uuid import UUID

from domain.errors import ConflictError, ForbiddenError, InvalidInputError
from domain.payments.money import AMOUNT_MAX


def already_subscribed(subscription_id: UUID) -> ConflictError:
    """Return the error for a second subscription of a plan that is not stackable."""
    return ConflictError(
        "there is already a subscription of this plan; use it, or cancel it first",
        "already_subscribed",
        {"subscription_id": str(subscription_id)},
    )


def overage_differs() -> ConflictError:
    """Return the error for a change between plans of which one has overage prices."""
    return ConflictError(
        "one of the plans bills usage beyond its limits; cancel, and start the other plan anew",
        "overage_differs",
    )


def check_currency(plan_currency_code: str, billed_in: str | None) -> None:
    """Check that a plan has the customer's currency; Stripe bills a customer in one currency.

    Args:
        plan_currency_code: Currency of the plan.
        billed_in: Currency in which the customer is already billed; None if not billed yet.

    Raises:
        ConflictError: The currencies differ (`currency_mismatch`).
    """
    if billed_in not in {None, plan_currency_code}:
        raise ConflictError(
            "a customer can be billed in one currency only",
            "currency_mismatch",
            {"currency_code": billed_in, "plan_currency_code": plan_currency_code},
        )


def check_total(amount_cents: int, quantity: int) -> None:
    """Check that the total of an order is not above the highest amount of a Stripe charge.

    Args:
        amount_cents: Price of one unit, in minor units.
        quantity: Number of units.

    Raises:
        InvalidInputError: The total is too high.
    """
    if amount_cents * quantity > AMOUNT_MAX:
        most = AMOUNT_MAX // amount_cents
        message = (
            f"at most {most} of this plan fit into one order: Stripe charges at most {AMOUNT_MAX}"
        )
        faults = [{"field": "body.quantity", "message": message}]
        raise InvalidInputError("the input is not valid", details={"errors": faults})


def check_coupon(*, is_admin: bool) -> None:
    """Check that an administrator applies a coupon; customers enter promotion codes.

    Raises:
        ForbiddenError: The caller is no administrator (`admin_required`).
    """
    if not is_admin:
        raise ForbiddenError(
            "only an administrator may apply a coupon; customers enter a promotion code",
            "admin_required",
        )


def check_trial(of_plan: int, requested: int | None, *, is_admin: bool) -> None:
    """Check that a customer does not request a longer trial than the plan has.

    Args:
        of_plan: Days of the plan's trial.
        requested: Requested days; None for the plan's trial.
        is_admin: Whether the caller is an administrator, who may give any trial.

    Raises:
        ForbiddenError: The requested trial is too long (`admin_required`).
    """
    if requested is not None and requested > of_plan and not is_admin:
        raise ForbiddenError(
            "only an administrator can give a longer trial than the plan's",
            "admin_required",
            {"trial_days": of_plan},
        )
