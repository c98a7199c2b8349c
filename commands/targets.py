"""Finds the system that a command works on: by settings, or by a running stack's `stack.json`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from bootstrap.settings import error_lines
from commands.settings import CommandError
from config import TemporalSettings

DEFAULT_STACK = Path(".perdure", "stack.json")
# If one of these variables is set, the settings are used, and no stack is looked for.
_CONFIGURED_BY = ("DATABASE_URL", "TEMPORAL__ADDRESS")
_TEMPORAL = "TEMPORAL__"
# The keys of every `stack.json`, besides `pids` and `ready`.
_FACTS = (
    "api",
    "temporal",
    "temporal_ui",
    "namespace",
    "database_url",
    "chroma",
    "stripe",
    "llm",
    "mail",
    "admin_api_key",
    "stripe_webhook_secret",
)


class Target(NamedTuple):
    """The stack that a command works on, if any.

    Args:
        stack: Value of the option --stack; None if it was not given.
        is_stripe_own: Whether Stripe is the stack's own sandbox, which was started with the
            API's address and sends its webhooks there without an endpoint.
    """

    stack: Path | None = None
    is_stripe_own: bool = False

    @classmethod
    def of(cls, stack: Path | None, facts: Mapping[str, Any] | None) -> "Target":
        """Return the target for a stack and the content of its `stack.json`."""
        return cls(stack, facts is not None and "stripe" in facts.get("pids", {}))


class TargetError(CommandError):
    """The system cannot be found; every argument is a line with a reason."""


def find_stack(stack: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the path of the `stack.json` to read the settings from.

    Args:
        stack: Value of the option --stack; None if it was not given.
        environ: The settings as environment variables.

    Returns:
        Path of a `stack.json`; None if the environment has the settings.
    """
    if stack is not None:
        return stack / "stack.json" if stack.is_dir() else stack
    is_configured = any(environ.get(name) for name in _CONFIGURED_BY)
    return None if is_configured else DEFAULT_STACK


def read_stack(path: Path, *, has_settings: bool = True) -> dict[str, Any]:
    """Read the addresses of a running stack.

    Args:
        path: Path of the stack's `stack.json`.
        has_settings: Whether the command takes settings in place of a stack.

    Returns:
        The file's content, with every address, key and process id.

    Raises:
        TargetError: The file is missing, incomplete or unreadable, or the stack is not ready.
    """
    try:
        facts = json.loads(path.read_text())
    except FileNotFoundError as error:
        advice = "start one with `make up`, or pass another with --stack"
        if has_settings:
            advice = f"{advice}, or set DATABASE_URL etc."
        raise TargetError(f"no stack runs here: {path} is missing ({advice})") from error
    except (OSError, ValueError) as error:
        raise TargetError(f"{path} cannot be read: {error}") from error
    if not isinstance(facts, dict) or not facts.get("ready"):
        raise TargetError(f"{path} does not say that its stack is ready")
    missing = [name for name in _FACTS if not isinstance(facts.get(name), str)]
    missing += [] if isinstance(facts.get("pids"), dict) else ["pids"]
    if missing:
        raise TargetError(
            f"{path} is incomplete, {', '.join(missing)} missing: start its stack again"
        )
    return facts


def find_temporal(stack: Path | None, environ: Mapping[str, str]) -> TemporalSettings:
    """Return the settings of Temporal; no other setting is needed.

    Args:
        stack: Value of the option --stack; None if it was not given.
        environ: The settings as environment variables, with TLS and API key for Temporal Cloud.

    Returns:
        Address, namespace and credentials of Temporal.

    Raises:
        TargetError: The stack's `stack.json` cannot be used, or a setting is wrong.
    """
    values = {
        name.upper().removeprefix(_TEMPORAL).lower(): value
        for name, value in environ.items()
        if name.upper().startswith(_TEMPORAL) and value
    }
    path = find_stack(stack, environ)
    if path is not None:
        facts = read_stack(path)
        values |= {"address": facts["temporal"], "namespace": facts["namespace"]}
    try:
        return TemporalSettings.model_validate(values)
    except ValidationError as error:
        lines = error_lines(error, TemporalSettings)
        raise TargetError(*[f"{_TEMPORAL}{line}" for line in lines]) from error


def find_database_url(stack: Path | None, environ: Mapping[str, str]) -> str | None:
    """Return the URL of the database; None if the settings do not name one.

    Raises:
        TargetError: The stack's `stack.json` cannot be used.
    """
    path = find_stack(stack, environ)
    if path is None:
        return environ.get("DATABASE_URL") or None
    url: str = read_stack(path)["database_url"]
    return url


def stack_settings(path: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of a stack's own processes, as arguments of `Settings`.

    Args:
        path: Path of the stack's `stack.json`; `secrets.json` is in the same folder.
        environ: Environment variables; the stack passes them on to its processes.

    Returns:
        Keyword arguments; `Settings` reads all other values from the environment.

    Raises:
        TargetError: The stack's `stack.json` or `secrets.json` cannot be used.
    """
    facts = read_stack(path)
    try:
        jwt_secret = json.loads(path.with_name("secrets.json").read_text())["jwt_secret"]
    except (OSError, ValueError, KeyError) as error:
        raise TargetError(f"{path.with_name('secrets.json')} cannot be read: {error}") from error
    stripe = {"api_base": facts["stripe"], "webhook_secret": facts["stripe_webhook_secret"]}
    temporal = {
        "address": facts["temporal"],
        "namespace": facts["namespace"],
        "ui_url": facts["temporal_ui"],
    }
    # Reason: OpenAI's SDK needs /v1 after the sandbox's address; an outside address has it already.
    llm = {"base_url": f"{facts['llm']}/v1" if "llm" in facts["pids"] else facts["llm"]}
    return {
        "database_url": facts["database_url"],
        "auth": {"jwt_secret": environ.get("AUTH__JWT_SECRET") or jwt_secret},
        "temporal": temporal,
        "stripe": stripe,
        "llm": llm,
        "chroma_url": facts["chroma"],
        "public_url": facts["api"],
    }
