"""API keys and tokens of links: their format, and the digest under which they are stored."""

import hashlib
import secrets

# Reason: secret scanners would take `pk_` for a publishable key of Stripe.
PREFIX = "perdure_"
SHOWN_LENGTH = 14
# Reason: logs hide whatever begins with `perdure_`, and so do scanners for secrets.
LINK_PREFIX = f"{PREFIX}link_"


def make_api_key() -> str:
    """Return a new API key with 32 random bytes."""
    return PREFIX + secrets.token_urlsafe(32)


def make_link_token() -> str:
    """Return a new token of a link, with 32 random bytes."""
    return LINK_PREFIX + secrets.token_urlsafe(32)


def digest(credential: str) -> str:
    """Return the SHA-256 of a key or token, which is stored in place of it.

    A slow hash is not needed: a key is random, so guessing it is hopeless.
    """
    return hashlib.sha256(credential.encode()).hexdigest()


def shown_prefix(api_key: str) -> str:
    """Return the first characters of a key, by which its owner recognises it in a list."""
    return api_key[:SHOWN_LENGTH]
