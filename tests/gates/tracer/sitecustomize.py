"""Records which functions of the product run in worker and API while a window is open.

Python imports this module at start if its folder is in `PYTHONPATH`; it does nothing unless
`PERDURE_TRACE_FOLDER` names a folder with a file `windows` of two bytes:

- the number of the open window; 0 records nothing;
- the number of the window that `PERDURE_TRACE_TRIGGER` (`path:function`) opens when it is called,
  and closes when it returns; 0 is none.

Each process appends to `<pid>.calls` in that folder: window, file, function and calling function,
each combination once.
"""

import mmap
import os
import sys
import threading
from dis import opmap
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

PRODUCT = frozenset(
    {
        "activities",
        "adapters",
        "agents",
        "api",
        "bootstrap",
        "config.py",
        "database",
        "domain",
        "observability",
        "observability.py",
        "services",
        "worker.py",
        "workflows",
    }
)
CO_OPTIMIZED = 1  # set for functions, not for modules and classes
RETURNS = frozenset({opmap["RETURN_VALUE"], opmap.get("RETURN_CONST")})


class CallTracer:
    """A trace function for `sys.settrace`."""

    def __init__(self, folder: Path, root: Path, trigger: str) -> None:
        with (folder / "windows").open("r+b") as windows:
            self._windows = mmap.mmap(windows.fileno(), 2)
        path = folder / f"{os.getpid()}.calls"
        self._log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._root = f"{root}/"
        self._trigger = trigger
        self._files: dict[str, str | None] = {}
        self._seen: set[tuple[int, str, str, str]] = set()

    def __call__(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        """Record a call; only `call` events arrive here."""
        window, armed = self._windows[0], self._windows[1]
        if not (window or armed):
            return None
        code = frame.f_code
        path = self._product_file(code)
        if path is None:
            return None
        local = None
        if armed and f"{path}:{code.co_name}" == self._trigger:
            self._windows[0] = window = armed
            local = self._end_trigger
        if window:
            self._record(window, path, frame)
        return local

    def _end_trigger(self, frame: FrameType, event: str, _argument: Any) -> Any:
        """Close the window when the triggering function returns; awaiting is no return."""
        if event == "return" and frame.f_code.co_code[frame.f_lasti] in RETURNS:
            self._windows[0] = self._windows[1] = 0
        return self._end_trigger

    def _record(self, window: int, path: str, frame: FrameType) -> None:
        call = (window, path, frame.f_code.co_name, self._caller(frame))
        if call not in self._seen and not _is_import(frame):
            self._seen.add(call)
            os.write(self._log, ("\t".join(map(str, call)) + "\n").encode())

    def _caller(self, frame: FrameType) -> str:
        caller = frame.f_back
        while caller is not None:
            if (path := self._product_file(caller.f_code)) is not None:
                return f"{path}:{caller.f_code.co_name}"
            caller = caller.f_back
        return "-"

    def _product_file(self, code: CodeType) -> str | None:
        """Return the path of a function's file within the project, None for other code."""
        if not code.co_flags & CO_OPTIMIZED:
            return None
        name = code.co_filename
        if name not in self._files:
            path = name.removeprefix(self._root)
            is_product = path != name and path.partition("/")[0] in PRODUCT
            self._files[name] = path if is_product else None
        return self._files[name]


def _is_import(frame: FrameType | None) -> bool:
    """Return whether a function is called by a module that is being imported."""
    while frame is not None:
        code = frame.f_code
        is_main = frame.f_globals.get("__name__") == "__main__"
        # Reason: Temporal's sandbox runs workflow code in a module that has no file.
        if code.co_name == "<module>" and not is_main and not code.co_filename.startswith("<"):
            return True
        frame = frame.f_back
    return False


def _start() -> None:
    folder = os.environ.get("PERDURE_TRACE_FOLDER")
    if folder and {"worker.py", "api"} & set(sys.orig_argv):
        trigger = os.environ.get("PERDURE_TRACE_TRIGGER", "")
        tracer = CallTracer(Path(folder), Path.cwd(), trigger)
        threading.settrace(tracer)
        sys.settrace(tracer)


_start()
