"""Keys of the API: what they look like, and the digest that is kept of them."""

import hashlib
import secrets

# Reason: `pk_` would be taken for a publishable key of Stripe by whoever scans for secrets.
PREFIX = "perdure_"
SHOWN_LENGTH = 14


def make_api_key() -> str:
    """Make a key that nobody can guess: 32 random bytes."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(api_key: str) -> str:
    """Return what is kept of a key.

    A plain SHA-256 is enough: a key is random, so there is nothing to guess slowly.
    """
    return hashlib.sha256(api_key.encode()).hexdigest()


def shown_prefix(api_key: str) -> str:
    """Return the beginning of a key, by which its owner can tell it from others."""
    return api_key[:SHOWN_LENGTH]
