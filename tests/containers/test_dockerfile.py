"""What the image leaves out is named once, and what the processes import is in it."""

import re
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import PurePosixPath

from tests.containers.conftest import ROOT
from tests.gates.rules import PACKAGES

# The mail sandbox and chromadb need them in the image too.
KEPT = {"aiosmtpd", "pyyaml"}
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def left_out() -> set[str]:
    match = re.search(r'^ARG LEFT_OUT="(.+)"$', DOCKERFILE, re.MULTILINE)
    assert match
    return set(match[1].split("|"))


def locked_names(lock: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))


def test_the_image_leaves_out_what_only_developers_and_the_embedded_stack_need() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]

    assert left_out() == {*groups["dev"], *groups["embedded"]} - KEPT


def test_the_recipe_drops_exactly_those_packages_with_their_hashes() -> None:
    match = re.search(r"awk -v left_out=\"(.+?)\" '(.+?)' \\\n", DOCKERFILE)
    assert match
    pattern = match[1].replace("${LEFT_OUT}", "|".join(left_out()))
    runtime = subprocess.run(
        ["awk", "-v", f"left_out={pattern}", match[2], "requirements.lock"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    ).stdout
    whole = (ROOT / "requirements.lock").read_text()

    assert locked_names(whole) - locked_names(runtime) == left_out()
    assert all("--hash=sha256:" in entry for entry in re.split(r"\n(?=[a-z0-9])", runtime.strip()))


def test_every_room_goes_into_the_image_and_nothing_else() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}

    assert "*" in ignored
    assert allowed == {
        *(*PACKAGES, "migrations", "deploy/healthcheck.py"),
        *("*.py", "alembic.ini", "requirements.lock"),
    }


def is_ignored(path: str, rules: list[str]) -> bool:
    """Tell whether a .dockerignore leaves a file out: the last rule that fits counts."""
    parts = PurePosixPath(path).parts
    whole = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    verdict = False
    for rule in rules:
        pattern = rule.removeprefix("!")
        names = parts if pattern.startswith("**/") else whole
        if any(fnmatch(name, pattern.removeprefix("**/")) for name in names):
            verdict = not rule.startswith("!")
    return verdict


def test_specs_and_prompts_of_agents_go_into_the_image() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    files = [path.relative_to(ROOT) for path in (ROOT / "agents").rglob("*") if path.is_file()]
    texts = [path.as_posix() for path in files if path.suffix in {".toml", ".md", ".json"}]

    folders = {path.split("/")[1] for path in texts}
    assert folders == {"http_tools", "mcp_servers", "prompts", "specs"}
    assert not [path for path in texts if is_ignored(path, rules)]
    assert re.search(r"^COPY \. \.$", DOCKERFILE, re.MULTILINE)
    assert all(is_ignored(path, [*rules, "**/*.md"]) for path in texts if path.endswith(".md"))
    assert is_ignored("README.md", rules)
    assert is_ignored("agents/__pycache__/spec.cpython-313.pyc", rules)


def test_the_image_runs_as_nobody_in_particular() -> None:
    assert re.search(r"^USER 10001$", DOCKERFILE, re.MULTILINE)
    assert DOCKERFILE.index("USER 10001") < DOCKERFILE.index("HEALTHCHECK")
