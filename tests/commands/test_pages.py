"""Every command within a sentence of the docs is there, with its options."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from cli import app
from tests.conftest import PROJECT
from tests.support.pages import Inline, blocks, inline_commands

MAKEFILE = (PROJECT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
# Which command the ARGS of a target are for.
PASSED_ON = {"up": ["up"], "demo": ["demo"]}


def check_cli(words: list[str]) -> None:
    """Fail unless the command line has this command, with these options."""
    command = typer.main.get_command(app)
    rest = list(words)
    while isinstance(command, TyperGroup) and rest:
        command = command.commands[rest.pop(0)]
    known = {name for param in command.params for name in param.opts} | {"--help"}
    assert {word.partition("=")[0] for word in rest if word.startswith("--")} <= known


def check_make(words: list[str]) -> None:
    """Fail unless the Makefile has these targets, and takes these arguments."""
    targets = [word for word in words if "=" not in word]
    assert set(targets) <= TARGETS
    for word in words:
        if word.startswith("ARGS=") and targets[0] in PASSED_ON:
            check_cli([*PASSED_ON[targets[0]], *shlex.split(word.removeprefix("ARGS="))])


def check_python(words: list[str]) -> None:
    """Fail unless the module or the file is there."""
    if words[0] == "-m":
        assert importlib.util.find_spec(words[1])
    elif words[0] == "cli.py":
        check_cli(words[1:])
    else:
        text = (PROJECT / words[0]).read_text()
        assert all(word in text for word in words if word.startswith("--"))


def check_stripe(words: list[str]) -> None:
    """Fail unless it is short for `python cli.py stripe …`."""
    check_cli(["stripe", *words])


CHECKS = {"make": check_make, "python": check_python, "stripe": check_stripe}


@pytest.mark.parametrize("inline", inline_commands(), ids=lambda each: f"{each[0]}: {each[1]}")
def test_a_command_in_a_sentence_is_there(inline: Inline) -> None:
    program, *words = shlex.split(inline.command.replace("…", ""))
    if inline.is_marked:
        return
    assert program in CHECKS, "run it by a test, or add <!-- not run: why -->"
    CHECKS[program](words)


@pytest.mark.parametrize(
    "command",
    ["make nonsense", "make up ARGS=--nonsense", "python cli.py up --nonsense", "python no.py"],
)
def test_a_command_that_is_not_there_is_found(command: str) -> None:
    program, *words = shlex.split(command)
    with pytest.raises((AssertionError, FileNotFoundError)):
        CHECKS[program](words)


def test_blocks_are_found(tmp_path: Path) -> None:
    text = "a\n\n    b\n      c\n\n    d\n\ne\n```\nf\n```\n- g\n\n      h\n"
    assert list(blocks(text)) == [["b", "  c", "", "d"], ["f"], ["h"]]
