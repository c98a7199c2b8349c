"""Is it really Stripe who sends this event?"""

from collections.abc import Sequence

import stripe

from domain.errors import BadRequestError

TOLERANCE_SECONDS = 300


def verify_webhook(body: bytes, signature_header: str, secrets: Sequence[str]) -> None:
    """Check an event's signature and age on its raw bytes.

    Args:
        body: The request's body, exactly as it came.
        signature_header: Value of `Stripe-Signature`; empty if it was missing.
        secrets: The current secret and, while it is being replaced, the previous one.

    Raises:
        BadRequestError: No secret made this signature, or it is too old (`invalid_signature`).
    """
    for secret in secrets:
        try:
            # Reason: `construct_event` would build the whole object tree, a hundred times dearer.
            stripe.WebhookSignature.verify_header(body, signature_header, secret, TOLERANCE_SECONDS)
        except (stripe.SignatureVerificationError, ValueError, TypeError):
            # Reason: bytes that are no UTF-8, or a header that is no ASCII, fail inside the SDK.
            continue
        return
    raise BadRequestError("the signature is missing, wrong or too old", "invalid_signature")
