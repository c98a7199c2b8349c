"""Hashes passwords with Argon2id, in threads, and refuses those that are guessed first.

Each hash takes tens of milliseconds of CPU.
"""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from domain.errors import InvalidInputError

# The most frequent passwords of known breaches, in lower case.
_COMMON = frozenset(FREQUENCY_LISTS["passwords"])
_FEWEST_CHARACTERS = 4
_ADDED = "0123456789!?."
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


def needs_rehash(password_hash: str) -> bool:
    """Tell whether a stored hash was made with weaker parameters than today's."""
    return _HASHER.check_needs_rehash(password_hash)


def check_password(password: str, email: str) -> None:
    """Check that a new password is not one of those that are tried first.

    Args:
        password: The new password.
        email: Email address of the user, of which it must not be a part.

    Raises:
        InvalidInputError: The password is too common (`password_too_common`).
    """
    plain, own_name = password.lower(), email.lower().partition("@")[0]
    # Reason: who adds a year or an exclamation mark to a word that is guessed is guessed as well.
    stem = plain.rstrip(_ADDED)
    is_common = not {plain, stem}.isdisjoint(_COMMON) or len(set(plain)) < _FEWEST_CHARACTERS
    if is_common or plain in email.lower() or stem == own_name.rstrip(_ADDED):
        raise InvalidInputError(
            "the password is too common, or is part of the email address",
            "password_too_common",
            {"errors": [{"field": "body.password", "message": "choose another password"}]},
        )
