"""Guards against prompt injection: marks and fences suspicious text. Pure; refuses nothing."""

import base64
import binascii
import codecs
import contextlib
import hashlib
import re
from collections.abc import Iterator
from typing import Any

from agents.injection_patterns import PATTERNS, SQUEEZED, fold

# Characters that a reader does not see: zero-width, direction overrides, tags. The joiners of emoji
# and of some scripts are not suspicious; they are only removed before patterns are matched.
_HIDDEN = re.compile(r"[\u200b\u2060-\u2064\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")
_INVISIBLE = re.compile(
    r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]|[\U000e0000-\U000e007f]"
)
_SPACES = re.compile(r"\s+")

# Invisible copies of the ASCII characters.
_TAGS = {0xE0000 + code: code for code in range(0x20, 0x7F)}
# Letters of other alphabets that look like Latin ones, and digits and signs that stand for letters.
_LOOK_ALIKES = str.maketrans("авекмнорстухіѕјαβεικνορτυχ", "abekmhopctyxisjabeikvoptux")
_LEET = str.maketrans("013457!@$", "oieastias")
_NOT_LATIN = re.compile("[\u0370-\u04ff]")
# Letters with one sign between each two; two spaces or more part words.
_SPELLED = re.compile(r"(?<!\w)\w(?:([ ._*-])\w(?:\1\w){2,})(?!\w)")
_NOT_LETTERS = re.compile(r"[\W\d_]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){20,}")
_HIDDEN_CHARACTERS = "hidden_characters"
_SQUEEZED_NAME = "ignore_instructions"
_LABEL = re.compile(r"[^a-z0-9_-]+")
# Reason: normalization can make 18 characters of one, and a single call of the standard library
# blocks all other threads, so a long text is searched in pieces.
_PIECE_LENGTH = 4_000
_OVERLAP = 500


def screen(text: str) -> tuple[str, ...]:
    """Return the names of patterns in a text that look like instructions to a model.

    Args:
        text: Text from a document, a tool or a user.

    Returns:
        Names of patterns, in a fixed order; empty if nothing is suspicious.
    """
    shown = text.translate(_TAGS)
    # Reason: long padding between two words must not put them into different pieces.
    visible = _SPACES.sub(" ", _INVISIBLE.sub("", _SPELLED.sub(_joined, shown)))
    found = {_HIDDEN_CHARACTERS} if _HIDDEN.search(text) else set()
    for readable in (visible, *_decoded(visible)):
        for start in range(0, len(readable), _PIECE_LENGTH):
            found |= _matching_names(readable[max(0, start - _OVERLAP) : start + _PIECE_LENGTH])
    return tuple(name for name in (*PATTERNS, _HIDDEN_CHARACTERS) if name in found)


def find_document_suspicions(document: Any) -> tuple[str, ...]:
    """Return the names of suspicious patterns in the texts and keys of a JSON document.

    Reason: in rendered JSON a line break is two characters, which would hide words from patterns.
    """
    return screen("\n".join(_texts(document)))


def warning(suspicions: tuple[str, ...]) -> str:
    """Return the warning to a model about a suspicious text; empty without suspicions."""
    return f"(marked: {', '.join(suspicions)})" if suspicions else ""


def fence(text: str, label: str) -> str:
    """Enclose a text in marks that it cannot contain, so that it cannot close its own fence.

    Args:
        text: Untrusted text.
        label: Kind of the text, for the model.

    Returns:
        The text between two marks; identical for identical input.
    """
    name = _LABEL.sub("-", label.casefold()).strip("-") or "text"
    # Reason: a text cannot contain its own digest, so it cannot close this fence.
    mark = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:32]
    return f"<{name}-{mark}>\n{text}\n</{name}-{mark}>"


def fence_titled(title: str, text: str, label: str) -> str:
    """Enclose an untrusted text and its title, put on one line, in marks."""
    return fence(f"# {' '.join(title.split())}\n\n{text}", label)


def _matching_names(piece: str) -> set[str]:
    # Reason: normalization can turn other characters into spaces.
    plain = _SPACES.sub(" ", fold(piece))
    found = {name for name, pattern in PATTERNS.items() if pattern.search(plain)}
    latin = plain
    if _NOT_LATIN.search(plain):
        latin = plain.translate(_LOOK_ALIKES)
        found |= {name for name, pattern in PATTERNS.items() if pattern.search(latin)}
    letters = _NOT_LETTERS.sub("", latin.translate(_LEET))
    if any(
        SQUEEZED.search(way) for way in (letters, letters[::-1], codecs.encode(letters, "rot13"))
    ):
        found.add(_SQUEEZED_NAME)
    return found


def _joined(spelled: re.Match[str]) -> str:
    """Return the word that was written letter by letter."""
    return spelled[0].replace(spelled[1], "")


def _decoded(text: str) -> Iterator[str]:
    """Yield the texts that parts of a text are encodings of, in base64 or hexadecimal digits."""
    for found in _HEX.finditer(text):
        yield from _readable(bytes.fromhex(found[0]))
    for found in _BASE64.finditer(text):
        digits = found[0].rstrip("=").replace("-", "+").replace("_", "/")
        with contextlib.suppress(binascii.Error):
            yield from _readable(base64.b64decode(digits + "=" * (-len(digits) % 4)))


def _readable(content: bytes) -> Iterator[str]:
    with contextlib.suppress(UnicodeDecodeError):
        yield content.decode()


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts and keys of a JSON document."""
    match value:
        case str():
            yield value
        case dict():
            for key, each in value.items():
                yield str(key)
                yield from _texts(each)
        case list() | tuple():
            for each in value:
                yield from _texts(each)
