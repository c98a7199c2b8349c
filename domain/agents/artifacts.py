"""Artifacts, the files that runs make: their names, media types and limits. Pure."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from domain.errors import InvalidInputError

MAX_FILE_BYTES = 1_000_000
MAX_RUN_BYTES = 10_000_000
MAX_RUN_FILE_COUNT = 50
# Only what every system takes as the name of a file; a folder is no part of it.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
_NAME = re.compile(NAME_PATTERN.removesuffix("$"))

TEXT = "text/plain"
BINARY = "application/octet-stream"
SVG = "image/svg+xml"
JSON = "application/json"
# Reason: a page that a browser would run, such as HTML, is plain text here.
_BY_ENDING = {"csv": "text/csv", "json": JSON, "md": "text/markdown", "svg": SVG}
MEDIA_TYPES = (*_BY_ENDING.values(), TEXT, BINARY)


class NewArtifact(NamedTuple):
    """A file that a tool has made and that is not stored yet."""

    name: str
    content: bytes

    @property
    def media_type(self) -> str:
        """Media type, by the content and the ending of the name."""
        if text_of(self.content) is None:
            return BINARY
        return _BY_ENDING.get(self.name.rpartition(".")[2].lower(), TEXT)


class ArtifactTotals(NamedTuple):
    """What a run has stored so far."""

    file_count: int
    byte_count: int


class TextPage(NamedTuple):
    """A part of a text.

    Args:
        text: The part.
        next_offset: Where the next part begins; None at the end of the text.
        character_count: Length of the whole text.
    """

    text: str
    next_offset: int | None
    character_count: int


def check_artifacts(files: Sequence[NewArtifact], stored: ArtifactTotals) -> None:
    """Check that a run may store files.

    Args:
        files: The new files.
        stored: What the run has stored already.

    Raises:
        InvalidInputError: A name is not allowed (`artifact_name_invalid`), a file is too large
            (`artifact_too_large`), or the run has too many files (`too_many_artifacts`) or too
            many bytes (`artifacts_too_large`).
    """
    for name, content in files:
        if not _NAME.fullmatch(name):
            raise InvalidInputError(
                "a file's name has at most 100 letters of English, digits, dots, hyphens and "
                "underscores, and begins with a letter or digit",
                "artifact_name_invalid",
            )
        if len(content) > MAX_FILE_BYTES:
            raise InvalidInputError(
                f"{name} has {len(content)} bytes, and a file may have {MAX_FILE_BYTES}",
                "artifact_too_large",
            )
    if stored.file_count + len(files) > MAX_RUN_FILE_COUNT:
        raise InvalidInputError(
            f"a run may make {MAX_RUN_FILE_COUNT} files, and has made {stored.file_count}",
            "too_many_artifacts",
        )
    byte_count = sum(len(content) for _, content in files)
    if stored.byte_count + byte_count > MAX_RUN_BYTES:
        raise InvalidInputError(
            f"the files of a run may have {MAX_RUN_BYTES} bytes, and have {stored.byte_count}; "
            f"{byte_count} more are too many",
            "artifacts_too_large",
        )


def text_of(content: bytes) -> str | None:
    """Return the text of a file; None if the file is no text in UTF-8."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def read_page(text: str, offset: int, length: int) -> TextPage:
    """Return a part of a text.

    Args:
        text: The whole text.
        offset: Number of characters before the part.
        length: Most characters of the part.
    """
    end = offset + length
    return TextPage(text[offset:end], end if end < len(text) else None, len(text))
