"""The limits of one extraction; the child process sets them for itself before it reads a file."""

from typing import NamedTuple

MIB = 1_024 * 1_024


class Limits(NamedTuple):
    """Limits of one child process.

    Args:
        text_bytes: Largest text that is returned.
        page_count: Most pages of a PDF.
        cpu_seconds: CPU time, without that of the start.
        wall_seconds: Time until the child ends itself, also if its parent is gone.
        memory_bytes: Address space, including that of the interpreter.
    """

    text_bytes: int = 1_000_000
    page_count: int = 2_000
    cpu_seconds: int = 15
    wall_seconds: int = 20
    memory_bytes: int = 640 * MIB


class UnreadableError(Exception):
    """The file cannot be read; the code says why."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.message, self.code = message, code


def check_size(text_bytes: int, limits: Limits) -> None:
    """Refuse a text that is too large, before more of it is read.

    Raises:
        UnreadableError: The text is too large.
    """
    if text_bytes > limits.text_bytes:
        message = f"the text of the document is larger than {limits.text_bytes} bytes"
        raise UnreadableError(message, "document_too_large")
