"""Verifies the signatures of Stripe's webhooks."""

from collections.abc import Sequence

import stripe

from domain.errors import BadRequestError

TOLERANCE_SECONDS = 300


def verify_webhook(body: bytes, signature_header: str, secrets: Sequence[str]) -> None:
    """Check the signature and the age of an event, on its raw bytes.

    Args:
        body: Body of the request, exactly as received.
        signature_header: Value of `Stripe-Signature`; empty if the header is missing.
        secrets: The current secret and, while it is being replaced, the previous one.

    Raises:
        BadRequestError: The signature matches no secret, or is too old (`invalid_signature`).
    """
    for secret in secrets:
        try:
            # Reason: `construct_event` would build the whole object, which costs 100 times as much.
            stripe.WebhookSignature.verify_header(body, signature_header, secret, TOLERANCE_SECONDS)
        except (stripe.SignatureVerificationError, ValueError, TypeError):
            # Reason: bytes that are not UTF-8, or a header that is not ASCII, fail inside the SDK.
            continue
        return
    raise BadRequestError("the signature is missing, wrong or too old", "invalid_signature")
