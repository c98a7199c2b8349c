"""Bearer tokens: signed, short-lived, and naming nothing but a user."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt

from domain.errors import UnauthorizedError

_ALGORITHM = "HS256"


def make_token(user_id: UUID, secret: str, ttl_seconds: int) -> str:
    """Make a token for a user."""
    now = datetime.now(UTC)
    claims = {"sub": str(user_id), "iat": now, "exp": now + timedelta(seconds=ttl_seconds)}
    return jwt.encode(claims, secret, algorithm=_ALGORITHM)


def read_token(token: str, secret: str) -> UUID:
    """Return whose token this is.

    Raises:
        UnauthorizedError: It has run out, or we did not sign it.
    """
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=[_ALGORITHM],
            options={"require": ["sub", "exp"]},
        )
        return UUID(claims["sub"])
    except (jwt.InvalidTokenError, ValueError) as error:
        raise UnauthorizedError("the token is not valid, or no longer") from error
