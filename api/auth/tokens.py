"""Bearer tokens: signed, short-lived, and naming nothing but a user."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

import jwt

from domain.errors import UnauthorizedError

# How far the clocks of two machines may be apart.
LEEWAY_SECONDS = 30
_ALGORITHM = "HS256"
_MARK_LENGTH = 16


class TokenFacts(NamedTuple):
    """What a token says.

    Args:
        user_id: Whose it is.
        password_mark: Which password it was got with; None if with none.
    """

    user_id: UUID
    password_mark: str | None


def make_token(
    user_id: UUID,
    secret: str,
    ttl_seconds: int,
    password_hash: str | None = None,
) -> str:
    """Make a token for a user; it ends with the password that it was got with, if there is one."""
    now = datetime.now(UTC)
    claims = {
        "sub": str(user_id),
        "iat": now,
        "exp": now + timedelta(seconds=ttl_seconds),
        "pwd": password_mark(password_hash),
    }
    return jwt.encode(claims, secret, algorithm=_ALGORITHM)


def password_mark(password_hash: str | None) -> str | None:
    """Return what tells one password of a user from the next, and nothing else."""
    return sha256(password_hash.encode()).hexdigest()[:_MARK_LENGTH] if password_hash else None


def read_token(token: str, secret: str) -> TokenFacts:
    """Return what a token says.

    Raises:
        UnauthorizedError: It has run out, or we did not sign it.
    """
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=[_ALGORITHM],
            leeway=LEEWAY_SECONDS,
            options={"require": ["sub", "exp"]},
        )
        return TokenFacts(UUID(claims["sub"]), claims.get("pwd"))
    except (jwt.InvalidTokenError, ValueError) as error:
        raise UnauthorizedError("the token is not valid, or no longer") from error
