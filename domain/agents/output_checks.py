"""Checks what a model wrote before it is stored and shown: images, links, its own prompt. Pure.

A model that obeys an injection can carry data out by an address: a client that renders Markdown
loads an image by itself, and a reader may follow a link.
"""

import html
import re
from collections.abc import Iterator, Set

from domain.base import Frozen

UNKNOWN_IMAGE = "unknown_image"
UNKNOWN_LINK = "unknown_link"
PROMPT_LEAK = "prompt_leak"

# So many consecutive words of the system prompt are no coincidence.
LEAK_WORDS = 12

_ADDRESS = re.compile(
    r"(?i)(?:\bhttps?:|(?<=[(<\"'=])|(?<=\]:)|(?<=\]: ))[/\\]{2,}"
    r"(\[[0-9a-f:.]+\]|[^\s/\\?#<>\"'()\[\]`]+)"
)
_NAMES = re.compile(r"[\w.-]+")
_WORDS = re.compile(r"\w+")
# Reason: all of the address has to be seen, so what is longer or nested deeper is unknown.
_PLACE = re.compile(
    r"\]\(\s*(?:<([^<>\n\\]{0,1000})>"
    r"|((?:[^\s<>()\\]|\([^\s<>()\\]{0,200}\)){1,1000})(?=[\s)]))"
)
# An address without a host: it leads nowhere else.
_RELATIVE = re.compile(r"[\w.-][\w./-]*|data:image/[\w+.-]+[;,][\w;,=+/%.-]*")
_DEFINITION = re.compile(r"(?m)^[ \t>]{0,9}\[[^\]\n]{1,999}\]:")


class CheckedOutput(Frozen):
    """A model's text as it may be shown.

    Args:
        text: The text; images of unknown addresses are plain text.
        suspicions: What was found, in a fixed order.
    """

    text: str
    suspicions: tuple[str, ...] = ()


def check_output(text: str, sources: str, system_prompt: str) -> CheckedOutput:
    """Check a model's text against all that the model had read.

    Args:
        text: What the model wrote.
        sources: What the model had read from others: messages, passages, results of tools.
        system_prompt: The agent's own prompt.

    Returns:
        The text, in which images load only from addresses that stand in the sources as they are;
        and whether it links to hosts that no source names, or repeats the prompt.
    """
    shown = _without_images(text, sources)
    checks = {
        UNKNOWN_IMAGE: shown != text,
        UNKNOWN_LINK: _has_unknown_host(text, sources.casefold()),
        PROMPT_LEAK: not _word_runs(text).isdisjoint(_word_runs(system_prompt)),
    }
    return CheckedOutput(text=shown, suspicions=tuple(name for name in checks if checks[name]))


def _has_unknown_host(text: str, sources: str) -> bool:
    # Reason: Markdown decodes entities in addresses.
    found = set(_ADDRESS.findall(html.unescape(text).casefold()))
    if not found:
        return False
    named = {name.strip(".-") for name in _NAMES.findall(sources)}
    return any(_is_unknown(host.rpartition("@")[2], named, sources) for host in found)


def _is_unknown(host: str, named: Set[str], sources: str) -> bool:
    if host.startswith("["):
        return host not in sources
    return host.partition(":")[0].strip(".-") not in named


def _without_images(text: str, sources: str) -> str:
    """Return a text whose images of unknown addresses are plain text."""
    parts, end = [], 0
    has_references = _DEFINITION.search(text) is not None
    for start, close in sorted(_brackets(text)):
        if start == 0 or text[start - 1] != "!":
            continue
        if not _is_known(text, close, sources, has_references):
            # Reason: a bracket behind a backslash opens nothing.
            parts.append(f"{text[end:start]}\\")
            end = start
    return "".join([*parts, text[end:]])


def _is_known(text: str, close: int, sources: str, has_references: bool) -> bool:
    """Return whether an image, whose description ends here, is none or has a known address."""
    if not text.startswith("](", close):
        return not has_references
    place = _PLACE.match(text, close)
    address = "" if place is None else place[1] or place[2] or ""
    return bool(address) and (address in sources or _RELATIVE.fullmatch(address) is not None)


def _brackets(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of each pair of square brackets."""
    opened: list[int] = []
    for found in re.finditer(r"[\[\]]", text):
        if found[0] == "[":
            opened.append(found.start())
        elif opened:
            yield opened.pop(), found.start()


def _word_runs(text: str) -> set[tuple[str, ...]]:
    words = _WORDS.findall(text.casefold())
    return {tuple(words[at : at + LEAK_WORDS]) for at in range(len(words) - LEAK_WORDS + 1)}
