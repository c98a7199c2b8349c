"""Fixtures with the content of the compose file and of `.env.example`."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

ROOT = Path(__file__).parents[2]
INTERPOLATION = re.compile(r"\$\{(?P<name>\w+)(?::(?P<mark>[-?])(?P<text>[^}]*))?\}")

Services = dict[str, dict[str, Any]]


def interpolate(value: object, variables: dict[str, str]) -> str:
    """Expand `${NAME}`, `${NAME:-default}` and `${NAME:?message}` as compose does."""

    def expand(match: re.Match[str]) -> str:
        if value := variables.get(match["name"]):
            return value
        if match["mark"] == "-":
            return match["text"]
        raise KeyError(match["name"])

    return INTERPOLATION.sub(expand, str(value).lower() if value is True else str(value))


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return document


@pytest.fixture(scope="session")
def services(compose: dict[str, Any]) -> Services:
    return compose["services"]  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def filled_in() -> dict[str, str]:
    """Return the variables of `.env.example`, with values for the empty ones."""
    example = {name: value or "" for name, value in dotenv_values(ROOT / ".env.example").items()}
    passwords = {
        "POSTGRES_PASSWORD": "superuser",
        "PERDURE_DATABASE_PASSWORD": "planted",
        "TEMPORAL_DATABASE_PASSWORD": "sown",
        "PERDURE_ADMIN_API_KEY": "perdure_" + "a" * 64,
    }
    empty = {name for name, value in example.items() if not value}
    assert empty == {*passwords, "AUTH__JWT_SECRET"}
    return example | passwords | {"AUTH__JWT_SECRET": "s" * 32}
