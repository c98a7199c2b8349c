"""Where a command finds the system: in the settings, or in the `stack.json` of a running stack."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from config import TemporalSettings

DEFAULT_STACK = Path(".perdure", "stack.json")
# With one of these in the environment the settings speak for themselves.
_SIGNS = ("DATABASE_URL", "TEMPORAL__ADDRESS")
_TEMPORAL = "TEMPORAL__"
# What every `stack.json` says, beside the process ids.
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
    """Where a command is called for.

    Args:
        stack: What the person named with --stack, if anything.
        is_stripe_own: Whether Stripe is the stack's own stand-in, which was started with the
            API's address and sends its events there by itself.
    """

    stack: Path | None = None
    is_stripe_own: bool = False

    @classmethod
    def of(cls, stack: Path | None, facts: Mapping[str, Any] | None) -> "Target":
        """Return the place of a stack, by what its `stack.json` says."""
        return cls(stack, facts is not None and "stripe" in facts.get("pids", {}))


class TargetError(Exception):
    """The system cannot be found; every argument is a line that says why."""


def find_stack(stack: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Decide where to look.

    Args:
        stack: What the person named, if anything.
        environ: The settings as environment variables.

    Returns:
        A `stack.json`; None if the settings say it all.
    """
    if stack is not None:
        return stack / "stack.json" if stack.is_dir() else stack
    is_configured = any(environ.get(name) for name in _SIGNS)
    return None if is_configured else DEFAULT_STACK


def read_stack(path: Path) -> dict[str, Any]:
    """Read the addresses of a running stack.

    Args:
        path: Its `stack.json`.

    Returns:
        What the file says; every address, key and process id is there.

    Raises:
        TargetError: No stack runs there, or the file does not say all of it.
    """
    try:
        facts = json.loads(path.read_text())
    except FileNotFoundError as error:
        hint = "start one with `make up`, name another with --stack, or set DATABASE_URL and others"
        raise TargetError(f"no stack runs here: {path} is missing ({hint})") from error
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
    """Decide which Temporal to ask, without any other setting.

    Args:
        stack: What the person named, if anything.
        environ: The settings as environment variables, with TLS and API key for Temporal Cloud.

    Returns:
        Where it is, and how to log in.

    Raises:
        TargetError: No stack runs there, or a setting is wrong.
    """
    given = {
        name.upper().removeprefix(_TEMPORAL).lower(): value
        for name, value in environ.items()
        if name.upper().startswith(_TEMPORAL) and value
    }
    place = find_stack(stack, environ)
    if place is not None:
        facts = read_stack(place)
        given |= {"address": facts["temporal"], "namespace": facts["namespace"]}
    try:
        return TemporalSettings.model_validate(given)
    except ValidationError as error:
        lines = lines_of(error, TemporalSettings)
        raise TargetError(*[f"{_TEMPORAL}{line}" for line in lines]) from error


def settings_of_stack(path: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """Say what the stack has set for its own processes, as arguments of `Settings`.

    Args:
        path: Its `stack.json`; the data folder's secrets lie beside it.
        environ: What a person set; the stack passes it on.

    Returns:
        Keyword arguments; whatever is not among them comes from the environment.

    Raises:
        TargetError: No stack runs there.
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
    # Reason: as the SDKs take it; an outside address is given whole.
    is_rooted = "llm" in facts["pids"] and environ.get("LLM__PROVIDER") != "anthropic"
    llm = {"base_url": f"{facts['llm']}/v1" if is_rooted else facts["llm"]}
    return {
        "database_url": facts["database_url"],
        "auth": {"jwt_secret": environ.get("AUTH__JWT_SECRET") or jwt_secret},
        "temporal": temporal,
        "stripe": stripe,
        "llm": llm,
        "chroma_url": facts["chroma"],
        "public_url": facts["api"],
    }


def lines_of(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Say what is wrong with the settings, one line a variable.

    Args:
        error: What `Settings` raised.
        model: The class of the settings.

    Returns:
        Lines that begin with the variable's name; a value is never among them.
    """
    lines = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        names = [str(part) for part in problem["loc"]]
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "missing":
            names += _required(model, names)
            message = "is missing"
        lines.append(f"{'__'.join(names).upper()}: {message}")
    return lines


def _required(model: type[BaseModel], names: list[str]) -> list[str]:
    """Return the first required name inside a section that is missing as a whole."""
    section = model.model_fields[names[0]].annotation
    if len(names) > 1 or not (isinstance(section, type) and issubclass(section, BaseModel)):
        return []
    return [name for name, field in section.model_fields.items() if field.is_required()][:1]
