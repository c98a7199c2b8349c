"""Every command and process answers every kind of trouble in one line, without a secret."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from bootstrap.settings import WrongSettingsError, load_settings, misspelled_names
from cli import app
from commands.settings import CommandError
from config import Settings
from tests.conftest import PROJECT
from tests.unit.test_commands import write_stack

SAMPLES = {
    "email": ("--email", "a@example.com"),
    "url": ("--url", "https://a.example/api/v1/webhooks/stripe"),
    "target": ("subscription-x",),
    "method": ("GET",),
    "path": ("plans",),
    "file": ("examples/evals/research.toml",),
    "server": ("shop",),
}
OPTIONAL = {"replay": ["subscription-x"]}
# Nothing listens at port 9. Each secret holds this word, which no line may show.
SECRET = "hidden"
NOWHERE = "127.0.0.1:9"
AWAY = {
    "AUTH__JWT_SECRET": SECRET * 6,
    "DATABASE_URL": f"postgresql://nobody:{SECRET}@{NOWHERE}/nothing",
    "TEMPORAL__ADDRESS": NOWHERE,
    "STRIPE__API_BASE": f"http://{NOWHERE}",
    "STRIPE__API_KEY": f"sk_test_{SECRET}",
    "STRIPE__WEBHOOK_SECRET": f"whsec_{SECRET}",
    "LLM__BASE_URL": f"http://{NOWHERE}/v1",
    "LLM__API_KEY": SECRET,
    "CHROMA_URL": f"http://{NOWHERE}",
    "MAIL__SMTP_HOST": "127.0.0.1",
    "MAIL__SMTP_PORT": "9",
    "PERDURE_ADMIN_API_KEY": SECRET,
}
READ_NO_SETTINGS = {
    "api": "its address and key are in stack.json",
    "watch": "its address and key are in stack.json",
    "explain": "its address and key are in stack.json",
    "reconcile": "its address and key are in stack.json",
    "replay": "it reads those of Temporal only",
    "demo": "it has settings of its own",
    "evals run": "its address and key are in stack.json",
    "agents check": "it reads the files of agents only",
    "tools check": "it reads the files of tools, and the settings that they name",
    "tools agree": "it reads the files of servers, and the settings that they name",
}
OUTLIVE = {
    "python -m api": "it takes webhooks and goes on when the servers are there again",
    "demo": "it starts all of its servers",
    "doctor": "it has a table with a line for each server",
    "agents check": "it needs no server",
    "tools check": "it needs no server of ours",
    "tools agree": "it needs no server of ours",
    "evals run": "it asks for --user-id, since no sandbox runs there",
}


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield each command of the parser with samples of what it requires, and the processes."""

    def walk(group: TyperGroup, path: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
        for name, command in group.commands.items():
            if isinstance(command, TyperGroup):
                yield from walk(command, (*path, name))
                continue
            required = [param.name or "" for param in command.params if param.required]
            words = [word for param in required for word in SAMPLES[param]]
            words += OPTIONAL.get(name, [])
            yield " ".join((*path, name)), ["cli.py", *path, name, *words]

    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    yield from walk(root, ())
    yield "worker.py", ["worker.py"]
    yield "python -m api", ["-m", "api", "--port", "18999"]


ALL = dict(commands())


def run(name: str, folder: Path, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command with these settings only."""
    options = {"up": ["--data", str(folder / "data"), "--ports", "auto"]}.get(name, [])
    if name in {"api", "evals run", "explain", "reconcile", "watch"}:
        options = ["--stack", str(write_stack(folder, api=f"http://{NOWHERE}"))]
    bare = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    return subprocess.run(
        [sys.executable, *ALL[name], *options],
        env={**bare, **environ},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_all_commands_are_here() -> None:
    assert {"up", "migrate", "admin create", "stripe setup", "doctor", "api"} <= ALL.keys()
    assert READ_NO_SETTINGS.keys() | OUTLIVE.keys() <= ALL.keys()


@pytest.mark.parametrize("name", ALL)
def test_a_misspelled_setting_is_one_line(name: str, tmp_path: Path) -> None:
    done = run(name, tmp_path, AWAY | {"LLM__MODLE": SECRET})
    assert done.stderr == "error: LLM__MODLE is not a setting; did you mean LLM__MODEL?\n"
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("name", sorted(ALL.keys() - READ_NO_SETTINGS.keys()))
def test_a_wrong_setting_is_one_line(name: str, tmp_path: Path) -> None:
    done = run(name, tmp_path, AWAY | {"WORKER__CACHED_WORKFLOW_COUNT": SECRET})
    assert done.stderr.startswith("error: WORKER__CACHED_WORKFLOW_COUNT: ")
    assert done.stderr.count("\n") == 1
    assert SECRET not in done.stderr + done.stdout
    assert done.returncode == (1 if name == "doctor" else 2)


@pytest.mark.parametrize("name", sorted(ALL.keys() - OUTLIVE.keys()))
def test_a_missing_server_is_one_line(name: str, tmp_path: Path) -> None:
    done = run(name, tmp_path, AWAY)
    reasons = [line for line in done.stderr.splitlines() if "cannot be reached" in line]
    assert len(reasons) == 1, done.stderr
    # Reason: `up` tells, besides, which of its services failed.
    assert done.stderr.count("\n") == (2 if name == "up" else 1)
    assert "Traceback" not in done.stdout + done.stderr
    assert SECRET not in done.stderr + done.stdout
    assert done.returncode in {1, 2}


@pytest.mark.parametrize("name", ["doctor", "stripe setup", "api", "explain", "watch", "replay"])
def test_no_stack_is_one_line_and_code_2(name: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*ALL[name][1:], "--stack", str(tmp_path)])
    assert done.exit_code == 2 or isinstance(done.exception, CommandError)
    told = f"{done.stderr} {done.exception}"
    assert f"{tmp_path / 'stack.json'} is missing" in told
    assert ("DATABASE_URL" in told) == (name not in {"api", "explain", "watch"})


@pytest.mark.parametrize("name", ["doctor", "stripe setup", "migrate"])
def test_what_is_logged_does_not_go_to_standard_output(name: str, tmp_path: Path) -> None:
    done = run(name, tmp_path, AWAY | {"DATABASE_URL": f"postgresql://x@{NOWHERE}/x"})
    assert not re.search(r"\[(info|warning|error)\b", done.stdout), done.stdout


def test_a_taken_status_port_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("python -m api", tmp_path, AWAY | {"STATUS_PORT": str(port)})
    assert done.returncode == 1
    line = f"error: STATUS_HOST and STATUS_PORT: cannot listen on 127.0.0.1:{port}: "
    assert done.stderr.startswith(line)
    assert (done.stderr.count("\n"), done.stdout) == (1, "")


def test_a_port_that_cannot_be_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "api", "--port", "99999"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 2
    assert "99999" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("name", sorted(ALL.keys() - {"worker.py", "python -m api"}))
def test_every_command_has_help_with_an_example(name: str) -> None:
    done = CliRunner().invoke(app, [*name.split(), "--help"])
    assert done.exit_code == 0
    assert f"Example: python cli.py {name}" in " ".join(done.output.split())


def test_the_help_is_there_whatever_is_set(tmp_path: Path) -> None:
    ALL["help"] = ["cli.py", "up", "--help"]
    try:
        assert run("help", tmp_path, {"LLM__MODLE": "x"}).returncode == 0
    finally:
        del ALL["help"]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("LLM__MODLE", "LLM__MODLE is not a setting; did you mean LLM__MODEL?"),
        ("llm__modle", "LLM__MODLE is not a setting; did you mean LLM__MODEL?"),
        ("STRIPE__APIKEY", "STRIPE__APIKEY is not a setting; did you mean STRIPE__API_KEY?"),
        ("STRIPE__API__KEY", "STRIPE__API__KEY is not a setting; did you mean STRIPE__API_KEY?"),
        ("STRPE__API_KEY", "STRPE__API_KEY is not a setting; did you mean STRIPE__API_KEY?"),
        ("API__CORS_ORIGIN", "API__CORS_ORIGIN is not a setting; did you mean API__CORS_ORIGINS?"),
        ("MAIL__XYZ", "MAIL__XYZ is not a setting"),
        ("AIRFLOW__CORE__PARALLELISM", None),
        ("DATABSE_URL", None),  # in the environment it may belong to another program
        ("STRIPE_API_KEY", None),
        ("LLM__MODEL", None),
        ("STRIPE", None),
    ],
)
def test_names_like_those_of_settings_are_told(name: str, line: str | None) -> None:
    assert misspelled_names({name: SECRET}, {}) == ([line] if line else [])


def test_the_own_file_is_judged_more_strictly() -> None:
    for name, meant in (("DATABSE_URL", "DATABASE_URL"), ("STRIPE_API_KEY", "STRIPE__API_KEY")):
        assert misspelled_names({}, {name: SECRET}) == [
            f"{name} is not a setting; did you mean {meant}?"
        ]


def test_the_names_of_the_example_are_right() -> None:
    lines = (PROJECT / ".env.example").read_text().splitlines()
    names = {line.removeprefix("# ").partition("=")[0] for line in lines if "=" in line}
    assert misspelled_names({}, dict.fromkeys(name for name in names if name.isupper())) == []


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        (
            "API__CORS_ORIGINS",
            "a, b",
            "API__CORS_ORIGINS: takes origins without a path, such as https://app.example",
        ),
        (
            "DOCUMENTS__ALLOWED_PRIVATE_HOSTS",
            "wiki",
            'DOCUMENTS__ALLOWED_PRIVATE_HOSTS: must be JSON, for example ["a", "b"]',
        ),
        ("TEMPORAL__ADDRESS", "https://temporal.example", "TEMPORAL__ADDRESS: must be host:port"),
        (
            "DATABASE_URL",
            f"postgresql://a:{SECRET}@h:x/x",
            "DATABASE_URL: is not postgresql://user:password@host:port/name",
        ),
        (
            "DATABASE_URL",
            f"mysql://a:{SECRET}@h/x",
            "DATABASE_URL: is not postgresql://user:password@host:port/name",
        ),
    ],
)
def test_a_wrong_value_is_a_line_that_hides_it(
    name: str, value: str, line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for each in (*AWAY, "CORS_ORIGINS"):
        monkeypatch.delenv(each, raising=False)
    for each, given in (AWAY | {name: value}).items():
        monkeypatch.setenv(each, given)
    with pytest.raises(WrongSettingsError) as caught:
        load_settings(Settings)
    assert caught.value.args == (line,)
