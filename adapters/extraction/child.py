"""Reads one file in a process of its own: the file from standard input, JSON to standard output.

Run by `adapters/extraction/extractor.py`. The packages that read hostile files are imported here,
and then the process gives up what it does not need: memory, time, and files to write.
"""

import importlib
import json
import logging
import os
import resource
import signal
import sys
import warnings
from contextlib import suppress
from typing import Any

from adapters.extraction.limits import Limits, UnreadableError
from domain.knowledge.files import FileKind, clean_title

# Module and function that read each kind of file.
_READERS = {FileKind.PDF: ("pdf", "read_pdf"), FileKind.HTML: ("html", "read_html")}


def main() -> None:
    """Read the file, and write its text, or why it cannot be read."""
    order = json.loads(sys.argv[1])
    limits = Limits(**order["limits"])
    module, function = _READERS[FileKind(order["kind"])]
    read = getattr(importlib.import_module(f"adapters.extraction.{module}"), function)
    _silence()
    _limit(limits)
    answer = _answer(read, order["charset"], limits)
    sys.stdout.buffer.write(json.dumps(answer).encode())
    sys.stdout.flush()
    # Reason: to take down deeply nested objects may need more than the limits allow.
    os._exit(0)


def _silence() -> None:
    """Discard messages of the packages, which a hostile file could make endless."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _limit(limits: Limits) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_seconds = int(used.ru_utime + used.ru_stime) + 1 + limits.cpu_seconds
    for kind, most in (
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        # Reason: macOS knows no limit of the address space.
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, most + 1 if kind == resource.RLIMIT_CPU else most))
    # Reason: its default action ends the process, whatever it is doing.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(limits.wall_seconds)


def _answer(read: Any, charset: str | None, limits: Limits) -> dict[str, str | None]:
    try:
        found = read(sys.stdin.buffer.read(), charset, limits)
    except UnreadableError as error:
        return {"code": error.code, "message": error.message}
    except (MemoryError, RecursionError):
        return {"code": "document_too_complex", "message": "the file is too complex to be read"}
    except Exception:  # noqa: BLE001 - whatever a damaged file makes of the packages
        return {"code": "document_damaged", "message": "the file is damaged"}
    return {"text": found.text, "title": clean_title(found.title)}


if __name__ == "__main__":
    main()
