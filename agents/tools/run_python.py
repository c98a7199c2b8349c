"""Tool `run_python`: runs Python in a sandbox that lacks much of Python; the spec says what."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from agents.tools.spec import Arguments, ToolSpec
from domain.agents.artifacts import NAME_PATTERN

MAX_CODE_LENGTH = 50_000
MAX_FILES = 10
# What the sandbox has and lacks: tests try all of it. The description tells it, so that a model
# does not find it out call by call.
MODULES = (
    *("asyncio", "base64", "binascii", "bisect", "collections", "copy", "csv", "dataclasses"),
    *("datetime", "decimal", "functools", "hashlib", "itertools", "json", "math", "os", "pathlib"),
    *("posixpath", "random", "re", "sys", "time", "tomllib", "typing", "unicodedata"),
)
# Those that models ask for most.
MISSING_MODULES = (
    *("unittest", "pytest", "numpy", "pandas", "requests", "io", "enum", "abc", "contextlib"),
    *("heapq", "operator", "statistics", "string", "logging", "subprocess", "threading", "socket"),
    *("urllib", "sqlite3"),
)
MISSING_FEATURES = (
    "base classes (so no exceptions of your own)",
    "yield",
    "del",
    "import *",
    "@property, @classmethod and @staticmethod",
    "super()",
    "__len__, __lt__ and __bool__ of your own classes",
    "f.__name__",
    "functools.wraps",
    "dataclasses.asdict",
    "typing.NamedTuple",
)

FileName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]


class RunPython(Arguments):
    """Arguments of `run_python`."""

    # Reason: blanks at the beginning of code have a meaning.
    model_config = ConfigDict(str_strip_whitespace=False)

    code: str = Field(min_length=1, max_length=MAX_CODE_LENGTH, description="The script.")
    files: tuple[FileName, ...] = Field(
        default=(),
        max_length=MAX_FILES,
        description="Names of files of this conversation that the script reads, as"
        ' files["name"]; of several files of one name the newest.',
    )
    texts: dict[str, str] = Field(
        default={},
        max_length=MAX_FILES,
        description="Other texts that the script reads as files, by name.",
    )

    @model_validator(mode="after")
    def _check_texts(self) -> Self:
        if twice := sorted(self.texts.keys() & set(self.files)):
            raise ValueError(f"files and texts both have {twice[0][:100]}")
        return self


RUN_PYTHON = ToolSpec(
    name="run_python",
    description=(
        "Run a Python script. You get what it prints; the value of its last line is not printed."
        " Each call starts anew: nothing stays but files. The dict files has the texts (or bytes)"
        ' that you asked for, by name; outputs["name.csv"] = text makes a file for the user, if'
        " the script ends without an error."
        f" The interpreter is a small one. Modules that it has: {', '.join(MODULES)}."
        f" It has no other ones, such as {', '.join(MISSING_MODULES)}."
        f" It has no {', '.join(MISSING_FEATURES)}. Test with assert; an error tells its line."
        " There are no network, no open(), no environment and no packages; clocks stand still,"
        " sleep does not wait. Limits: 10 seconds, 64 MB, 100 kB printed."
    ),
    arguments=RunPython,
    time_limit=timedelta(seconds=60),
    patience=timedelta(seconds=90),
)
