"""Disputes at Stripe: whether the bank has taken a payment back."""

import stripe

from adapters.stripe.reading import field, required

PAGE_SIZE = 100
# Reason: an inquiry (`warning_…`) takes no money, and what was won is given back:
# https://docs.stripe.com/api/disputes/object
_TAKEN_BACK = frozenset({"needs_response", "under_review", "lost"})


async def is_taken_back(client: stripe.StripeClient, intent: stripe.PaymentIntent) -> bool:
    """Tell whether the bank has taken a payment back because its customer disputes it.

    Args:
        client: Client of Stripe.
        intent: Payment intent, with its `latest_charge` expanded.

    Raises:
        StripeError: The disputes cannot be read.
    """
    # Reason: a charge stays `disputed` when its dispute is won.
    if not field(intent, "latest_charge.disputed"):
        return False
    page = await client.v1.disputes.list_async(
        {"payment_intent": required(intent, "id"), "limit": PAGE_SIZE},
    )
    return any([field(found, "status") in _TAKEN_BACK async for found in page.auto_paging_iter()])
