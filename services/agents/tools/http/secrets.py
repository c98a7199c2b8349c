"""Reads the secrets that files of tools refer to."""

from collections.abc import Iterable, Mapping
from pathlib import Path

_MAX_BYTES = 16_384
# Reason: a shorter text is found in many an answer by chance.
_MIN_HIDDEN_LENGTH = 6


def read_secret(reference: str, environ: Mapping[str, str]) -> str:
    """Return a secret.

    Args:
        reference: `env:NAME` or `file:PATH`.
        environ: Environment variables, with those of `.env`.

    Raises:
        ValueError: There is no such secret; the message never holds its value.
    """
    kind, _, name = reference.partition(":")
    match kind:
        case "env":
            value = environ.get(name, "")
        case "file":
            value = _read_file(name)
        case _:
            raise ValueError(f"${{{reference}}} is neither ${{env:NAME}} nor ${{file:PATH}}")
    if not value:
        what = "the variable" if kind == "env" else "the file"
        raise ValueError(f"{what} {name} is missing or empty")
    if not value.isprintable() or not value.isascii():
        raise ValueError(f"${{{reference}}} has characters that no header can have")
    return value


def _read_file(name: str) -> str:
    try:
        with Path(name).open("rb") as file:
            return file.read(_MAX_BYTES).decode().strip()
    except (OSError, ValueError):
        return ""


def hide_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return a text without the secrets, which a server may send back."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _MIN_HIDDEN_LENGTH:
            text = text.replace(secret, "[secret]")
    return text
