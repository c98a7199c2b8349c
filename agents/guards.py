"""Guards against text that gives orders to a model. Pure: they mark and fence, and never refuse."""

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

# What a reader does not see: zero-width, direction overrides, tags. The joiners of emoji and of
# some scripts are left out here; they only do not hide words from the patterns.
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
# Reason: a character may become 18 when it is normalized, and no other thread gets its turn within
# one call of the standard library: a long text is looked through in pieces.
_PIECE_LENGTH = 4_000
_OVERLAP = 500


def screen(text: str) -> tuple[str, ...]:
    """Name what in a text looks like orders to a model.

    Args:
        text: From a document, a tool or a user.

    Returns:
        Names of patterns, in a fixed order; none if there is nothing suspicious.
    """
    # Reason: no padding between two words may bring them into two pieces.
    seen = _SPACES.sub(" ", _INVISIBLE.sub("", text))
    found = {_HIDDEN_CHARACTERS} if _HIDDEN.search(text) else set()
    for start in range(0, len(seen), _PIECE_LENGTH):
        found |= _named(seen[max(0, start - _OVERLAP) : start + _PIECE_LENGTH])
    return tuple(name for name in (*_PATTERNS, _HIDDEN_CHARACTERS) if name in found)


def screen_document(document: Any) -> tuple[str, ...]:
    """Name what in the texts and keys of a JSON document looks like orders to a model.

    Reason: rendered as JSON, the end of a line is two letters, which hide words from the patterns.
    """
    return screen("\n".join(_texts(document)))


def warning(suspicions: tuple[str, ...]) -> str:
    """Return what a model is told of a text that looks like orders; empty if it does not."""
    return f"(marked: {', '.join(suspicions)})" if suspicions else ""


def fence(text: str, label: str) -> str:
    """Put a text between marks that it cannot contain, so that it cannot end its own fence.

    Args:
        text: What nobody vouches for.
        label: What it is, for the model.

    Returns:
        The text between two marks, the same for the same text.
    """
    name = _LABEL.sub("-", label.casefold()).strip("-") or "text"
    # Reason: no text can be found that contains its own digest, so none can close this fence.
    mark = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:32]
    return f"<{name}-{mark}>\n{text}\n</{name}-{mark}>"


def fence_titled(title: str, text: str, label: str) -> str:
    """Put a text and its title, on one line, between marks: both come from the same hand."""
    return fence(f"# {' '.join(title.split())}\n\n{text}", label)


def _named(piece: str) -> set[str]:
    # Reason: what is normalized may hold spaces that were none before.
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
