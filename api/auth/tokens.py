"""Bearer tokens: short-lived signed JWTs that identify a user."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

import jwt

from domain.errors import UnauthorizedError

# Tolerated difference between the clocks of two machines.
LEEWAY_SECONDS = 30
_ALGORITHM = "HS256"
_MARK_LENGTH = 16


class TokenClaims(NamedTuple):
    """Claims of a verified token.

    Args:
        user_id: User who owns the token.
        password_fingerprint: Digest of the password that the token was issued with; None without
            one.
        login_session_id: Session that the token belongs to; None for a token without a session.
    """

    user_id: UUID
    password_fingerprint: str | None
    login_session_id: UUID | None


def make_token(
    user_id: UUID,
    secret: str,
    ttl_seconds: int,
    password_hash: str | None = None,
    login_session_id: UUID | None = None,
) -> str:
    """Issue a token for a user.

    Changing the password that it was issued with, or revoking its session, invalidates it.
    """
    now = datetime.now(UTC)
    claims: dict[str, object] = {
        "sub": str(user_id),
        "iat": now,
        "exp": now + timedelta(seconds=ttl_seconds),
        "pwd": password_fingerprint(password_hash),
    }
    if login_session_id is not None:
        claims["sid"] = str(login_session_id)
    return jwt.encode(claims, secret, algorithm=_ALGORITHM)


def password_fingerprint(password_hash: str | None) -> str | None:
    """Return a short digest that changes with the user's password, and does not reveal it."""
    return sha256(password_hash.encode()).hexdigest()[:_MARK_LENGTH] if password_hash else None


def read_token(token: str, secret: str) -> TokenClaims:
    """Verify a token, and return its claims.

    Raises:
        UnauthorizedError: The token has expired, or its signature or a claim is not valid.
    """
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=[_ALGORITHM],
            leeway=LEEWAY_SECONDS,
            options={"require": ["sub", "exp"]},
        )
        session_id = claims.get("sid")
        return TokenClaims(
            UUID(claims["sub"]), claims.get("pwd"), UUID(session_id) if session_id else None
        )
    except (jwt.InvalidTokenError, ValueError) as error:
        raise UnauthorizedError("the token is not valid, or has expired") from error
