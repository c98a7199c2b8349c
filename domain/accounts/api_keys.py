"""API keys: their format, and the digest under which they are stored."""

import hashlib
import secrets

# Reason: secret scanners would take `pk_` for a publishable key of Stripe.
PREFIX = "perdure_"
SHOWN_LENGTH = 14


def make_api_key() -> str:
    """Return a new API key with 32 random bytes."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(api_key: str) -> str:
    """Return the SHA-256 of a key, which is stored in place of the key.

    A slow hash is not needed: a key is random, so guessing it is hopeless.
    """
    return hashlib.sha256(api_key.encode()).hexdigest()


def shown_prefix(api_key: str) -> str:
    """Return the first characters of a key, by which its owner recognises it in a list."""
    return api_key[:SHOWN_LENGTH]
