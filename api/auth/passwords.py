"""Hashes passwords with Argon2id, in threads: each hash takes tens of milliseconds of CPU."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_HASHER = PasswordHasher()
_DUMMY_HASH = _HASHER.hash("no account has this password")


async def hash_password(password: str) -> str:
    """Hash a password for storage."""
    return await asyncio.to_thread(_HASHER.hash, password)


async def verify_password(password_hash: str | None, password: str) -> bool:
    """Check a password against a stored hash.

    Args:
        password_hash: Stored hash; None if the user does not exist or has no password. That takes
            just as long, so that the time of an answer does not reveal who has an account.
        password: Password to check.

    Returns:
        Whether the password matches the hash.
    """
    try:
        is_match = await asyncio.to_thread(_HASHER.verify, password_hash or _DUMMY_HASH, password)
    except (VerificationError, InvalidHashError):
        return False
    return is_match and password_hash is not None
