"""Passwords, hashed with Argon2id in threads: each takes tens of milliseconds of CPU."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_HASHER = PasswordHasher()
_NOBODY = _HASHER.hash("nobody has this password")


async def hash_password(password: str) -> str:
    """Hash a password for keeping."""
    return await asyncio.to_thread(_HASHER.hash, password)


async def verify_password(password_hash: str | None, password: str) -> bool:
    """Check a password.

    Args:
        password_hash: What was kept; None if there is no such user or they have no password,
            which takes just as long, so that nobody can find out who has an account.
        password: What was typed.

    Returns:
        Whether they belong together.
    """
    try:
        is_match = await asyncio.to_thread(_HASHER.verify, password_hash or _NOBODY, password)
    except (VerificationError, InvalidHashError):
        return False
    return is_match and password_hash is not None
