"""Guards against prompt injection: marks and fences suspicious text. Pure; refuses nothing."""

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

# Characters that a reader does not see: zero-width, direction overrides, tags. The joiners of emoji
# and of some scripts are not suspicious; they are only removed before patterns are matched.
_HIDDEN = re.compile(r"[\u200b\u2060-\u2064\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")
_INVISIBLE = re.compile(
    r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]|[\U000e0000-\U000e007f]"
)
_SPACES = re.compile(r"\s+")

_EARLIER = (
    r"(?:all |any |the |your |these |my |of )*(?:previous|prior|earlier|above|preceding|former)"
)
_RULES = r"(?:instructions?|prompts?|rules?|messages?|directions?|guidelines?)"
_PATTERNS: Mapping[str, re.Pattern[str]] = {
    name: re.compile(pattern)
    for name, pattern in {
        "ignore_instructions": (
            rf"\b(?:ignore|disregard|forget|override|bypass)\b {_EARLIER}\b.{{0,30}}\b{_RULES}\b"
            rf"|\b(?:ignore|disregard|forget|override|bypass) (?:all |your |the )+{_RULES}\b"
        ),
        "new_role": (
            r"\byou are now\b|\bfrom now on,? you\b|\bact as (?:if you|an? (?:admin|system))"
        ),
        "system_prompt": (
            r"\b(?:system|developer) (?:prompt|message|instructions?)\b"
            r"|<\|?(?:im_start|system)\|?>|\[/?inst\]"
        ),
        "tool_order": (
            r"\b(?:call|use|invoke|run|trigger) (?:the |your |this )(?:\w+ )?(?:tool|function)s?\b"
            r"|\brefund_payment\b"
            r"|\b(?:issue|make|approve|grant|process) (?:a |the |this |an? \w+ )refunds?\b"
        ),
        "exfiltration": (
            r"\bexfiltrat"
            r"|\b(?:send|post|forward|leak|upload|reveal|print)\b.{0,40}"
            r"\b(?:passwords?|secrets?|api keys?|credentials?|access tokens?|chat history)\b"
        ),
    }.items()
}
_HIDDEN_CHARACTERS = "hidden_characters"
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
    # Reason: long padding between two words must not put them into different pieces.
    visible = _SPACES.sub(" ", _INVISIBLE.sub("", text))
    found = {_HIDDEN_CHARACTERS} if _HIDDEN.search(text) else set()
    for start in range(0, len(visible), _PIECE_LENGTH):
        found |= _matching_names(visible[max(0, start - _OVERLAP) : start + _PIECE_LENGTH])
    return tuple(name for name in (*_PATTERNS, _HIDDEN_CHARACTERS) if name in found)


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
    plain = _SPACES.sub(" ", unicodedata.normalize("NFKC", piece).casefold())
    return {name for name, pattern in _PATTERNS.items() if pattern.search(plain)}


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
