"""The small commands: administrators, the doctor, the watch, and where they look."""

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import SecretStr, ValidationError
from rich.console import Console
from temporalio.client import Client
from temporalio.service import RPCError

from adapters.llm.pricing import Prices
from adapters.temporal.task_queues import read_pollers
from agents import registry
from api.app import build_app
from bootstrap.settings import error_lines
from commands.admin import create_admin
from commands.doctor.examine import check_webhook_secret, examine, show
from commands.doctor.findings import CheckFailedError, CheckResult
from commands.resources import SUBSCRIPTION
from commands.targets import (
    TargetError,
    find_stack,
    find_temporal,
    read_stack,
    stack_settings,
)
from commands.watch.events import Watch, WatchError, line_of
from config import (
    AuthSettings,
    EmbeddingsSettings,
    Settings,
    StripeSettings,
    TemporalSettings,
)
from database.accounts.models import User
from database.accounts.users import ensure_admin
from database.session import Sessions
from database.subscriptions.subscription_events import SubscriptionEventRepository
from database.subscriptions.subscriptions import SubscriptionRepository
from domain.accounts.credentials import make_api_key
from domain.errors import ConflictError, InvalidInputError, UnavailableError
from domain.subscriptions.messages import NewSubscriptionEvent
from tests.api.support import add_subscription, add_user, served
from tests.conftest import PROJECT, free_port

NOWHERE = "postgresql://nobody:hidden@127.0.0.1:9/nothing"
API = "/api/v1"
QUIET = Console(quiet=True)


def write_stack(folder: Path, **changes: object) -> Path:
    facts = {
        "ready": True,
        "api": "http://127.0.0.1:8000",
        "temporal": "127.0.0.1:7233",
        "temporal_ui": "http://127.0.0.1:8233",
        "namespace": "default",
        "database_url": NOWHERE,
        "chroma": "http://127.0.0.1:8100",
        "stripe": "http://127.0.0.1:8420",
        "llm": "http://127.0.0.1:8430",
        "mail": "http://127.0.0.1:8440",
        "pids": {"llm": [1]},
        "admin_api_key": "pk_x",
        "stripe_webhook_secret": "whsec_x",
    }
    path = folder / "stack.json"
    path.write_text(json.dumps(facts | changes))
    (folder / "secrets.json").write_text(json.dumps({"jwt_secret": "s" * 40}))
    return path


def cli(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a person would, with no settings but these."""
    bare = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, str(PROJECT / "cli.py"), *arguments],
        env={**bare, **environ},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
async def http(
    settings: Settings,
    dev_server: Client,
    sessions: Sessions,
) -> AsyncIterator[httpx.AsyncClient]:
    async with served(build_app(settings, dev_server, sessions)) as client:
        yield client


def reaching(settings: Settings, dev_server: Client, **changes: object) -> Settings:
    """Return settings that also know where this test run's Temporal is."""
    address = dev_server.service_client.config.target_host
    temporal = settings.temporal.model_copy(update={"address": address})
    return settings.model_copy(update={"temporal": temporal, **changes})


def test_a_stack_is_looked_for_only_without_settings(tmp_path: Path) -> None:
    assert find_stack(tmp_path, {"DATABASE_URL": "x"}) == tmp_path / "stack.json"
    assert find_stack(tmp_path / "other.json", {}) == tmp_path / "other.json"
    assert find_stack(None, {"TEMPORAL__ADDRESS": "x"}) is None
    assert find_stack(None, {}) == Path(".perdure/stack.json")


def test_a_stack_gives_settings_and_the_environment_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE__API_KEY", "sk_test_mine")
    given = stack_settings(write_stack(tmp_path), {})
    settings = Settings(_env_file=None, **given)
    assert settings.database_url == NOWHERE
    assert settings.auth.jwt_secret.get_secret_value() == "s" * 40
    assert settings.stripe.api_key.get_secret_value() == "sk_test_mine"
    assert settings.stripe.api_base == "http://127.0.0.1:8420"
    assert settings.llm.base_url == "http://127.0.0.1:8430/v1"


def test_a_stack_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="no stack runs here"):
        read_stack(tmp_path / "stack.json")
    with pytest.raises(TargetError, match="not say that its stack is ready"):
        read_stack(write_stack(tmp_path, ready=False))
    (tmp_path / "stack.json").write_text("{")
    with pytest.raises(TargetError, match="cannot be read"):
        read_stack(tmp_path / "stack.json")
    path = write_stack(tmp_path)
    (tmp_path / "secrets.json").unlink()
    with pytest.raises(TargetError, match=r"secrets\.json"):
        stack_settings(path, {})


@pytest.mark.parametrize(
    ("changes", "names"),
    [({"api": None, "mail": 1}, "api, mail"), ({"pids": []}, "pids")],
)
def test_an_incomplete_stack_is_one_line(
    tmp_path: Path, changes: dict[str, object], names: str
) -> None:
    path = write_stack(tmp_path, **changes)
    with pytest.raises(TargetError, match=f"is incomplete, {names} missing"):
        read_stack(path)


def test_commands_with_an_incomplete_stack_leave_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text('{"ready": true}')
    for command, code in (("doctor", 2), ("watch x", 2), ("explain x", 2)):
        told = cli(*command.split(), "--stack", str(tmp_path))
        assert (told.returncode, told.stderr.count("\n")) == (code, 1)
        assert "stack.json is incomplete, api, temporal," in told.stderr


def test_temporal_is_found_by_settings_or_by_a_stack(tmp_path: Path) -> None:
    cloud = {
        "TEMPORAL__ADDRESS": "cloud.example:7233",
        "TEMPORAL__NAMESPACE": "ours.x1",
        "TEMPORAL__API_KEY": "hidden",
        "TEMPORAL__IS_TLS": "true",
        "TEMPORAL__UI_URL": "",
    }
    found = find_temporal(None, cloud)
    assert (found.address, found.namespace, found.is_tls) == ("cloud.example:7233", "ours.x1", True)
    assert found.api_key is not None
    assert found.api_key.get_secret_value() == "hidden"
    beside = find_temporal(write_stack(tmp_path), cloud)
    assert (beside.address, beside.namespace) == ("127.0.0.1:7233", "default")
    assert beside.is_tls  # a stack may stand on a Temporal elsewhere, and keeps no secrets of it
    with pytest.raises(TargetError, match=r"^TEMPORAL__IS_TLS: "):
        find_temporal(None, cloud | {"TEMPORAL__IS_TLS": "perhaps"})
    with pytest.raises(TargetError, match="no stack runs here"):
        find_temporal(tmp_path / "other.json", {})


def test_wrong_settings_are_named_as_variables_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(ValidationError) as caught:
        Settings(
            _env_file=None,
            stripe={"api_key": "sk_live_hidden"},
            worker={"cached_workflow_count": "many"},
        )
    lines = error_lines(caught.value, Settings)
    assert "DATABASE_URL: is missing" in lines
    assert "AUTH__JWT_SECRET: is missing" in lines
    assert "STRIPE: a live Stripe key needs STRIPE__IS_LIVE=true" in lines
    assert any(line.startswith("WORKER__CACHED_WORKFLOW_COUNT: ") for line in lines)
    assert "hidden" not in "".join(lines)


async def test_an_administrator_is_made_and_gets_more_keys(
    settings: Settings, http: httpx.AsyncClient
) -> None:
    email = f"Root-{uuid4().hex}@example.com"
    made = await create_admin(settings, email, None)
    again = await create_admin(settings, email, "correct horse")
    assert (made.what, again.what) == ("created", "has one more key")
    assert made.email == email.lower()
    assert made.api_key != again.api_key
    for key in (made.api_key, again.api_key):
        me = await http.get(f"{API}/users/me", headers={"X-API-Key": key})
        assert me.json()["role"] == "admin"
    form = {"username": email, "password": "correct horse"}
    assert (await http.post(f"{API}/auth/token", data=form)).status_code == 200


@pytest.mark.parametrize("password", [None, "a new password of the operator"])
async def test_whoever_signed_up_first_is_not_promoted_along(
    settings: Settings, http: httpx.AsyncClient, password: str | None
) -> None:
    email, old = f"ops-{uuid4().hex}@example.com", "password of a stranger"
    me = f"{API}/users/me"
    await http.post(f"{API}/users", json={"email": email, "password": old})
    form = {"username": email, "password": old}
    token = (await http.post(f"{API}/auth/token", data=form)).json()["access_token"]
    login = {"Authorization": f"Bearer {token}"}
    reply = await http.post(f"{API}/api-keys", json={"name": "x"}, headers=login)
    key = {"X-API-Key": reply.json()["api_key"]}

    with pytest.raises(ConflictError, match="--promote"):
        await create_admin(settings, email, password)
    for head in (login, key):
        assert (await http.get(me, headers=head)).json()["role"] == "user"

    made = await create_admin(settings, email, password, is_promoted=True)
    assert made.what == "promoted"
    assert (made.password is None) == (password is not None)
    for head in (login, key):
        assert (await http.get(me, headers=head)).status_code == 401
    assert (await http.post(f"{API}/auth/token", data=form)).status_code == 401
    new = {"username": email, "password": password or made.password or ""}
    assert (await http.post(f"{API}/auth/token", data=new)).status_code == 200
    mine = {"X-API-Key": made.api_key}
    assert (await http.get(me, headers=mine)).json()["role"] == "admin"


async def test_the_first_key_makes_nobody_else_an_administrator(sessions: Sessions) -> None:
    email = f"admin-{uuid4().hex}@example.com"
    async with sessions.begin() as session:
        session.add(User(email=email, role="user"))
    with pytest.raises(ConflictError):
        async with sessions.begin() as session:
            await ensure_admin(session, email, make_api_key())


async def test_what_makes_no_administrator(settings: Settings) -> None:
    with pytest.raises(InvalidInputError, match="address"):
        await create_admin(settings, "nobody", None)
    with pytest.raises(InvalidInputError, match="8 to 256"):
        await create_admin(settings, "a@example.com", "short")
    away = settings.model_copy(update={"database_url": NOWHERE})
    with pytest.raises(UnavailableError, match="cannot be reached"):
        await create_admin(away, "a@example.com", None)


async def test_an_empty_database_is_told_from_one_that_is_away(settings: Settings) -> None:
    url = settings.database_url.replace("/postgres?", "/template1?")
    assert url != settings.database_url
    empty = settings.model_copy(update={"database_url": url})
    with pytest.raises(UnavailableError, match="not migrated"):
        await create_admin(empty, "a@example.com", None)
    found = {finding.what: finding for finding in await examine(empty)}
    assert "cli.py migrate" in found["database"].detail


async def test_the_doctor_finds_what_is_well_and_what_is_not(
    settings: Settings, workers: Client, tmp_path: Path
) -> None:
    ours = reaching(
        settings,
        workers,
        chroma_url="http://127.0.0.1:9",
        prometheus_multiproc_dir=tmp_path / "missing",
    )
    # Reason: coverage needs ten seconds for that one huge module, and the doctor waits no longer.
    await Prices("openai").load()
    async with asyncio.timeout(100):
        # Reason: the first poll of a worker reaches the server a moment after its start.
        while not await are_polled(workers):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    found = {finding.what: finding for finding in await examine(ours)}
    ill = {what: finding.detail for what, finding in found.items() if not finding.is_passed}
    assert ill.keys() == {"Chroma", "metrics"}, ill
    doubts = {what for what, finding in found.items() if finding.is_warning}
    shared = {"parked steps", "meter events", "agent runs", "webhooks out", "reconciliation"}
    shared |= {"tools"}
    assert doubts <= shared, "other tests share the database"
    assert found["prices"].detail == "known for gpt-4.1"
    assert found["embeddings"].detail.endswith("in the worker, 384 dimensions")
    assert "research with prompt v" in found["agents"].detail
    assert "provider openai, model gpt-4.1" in found["models"].detail
    assert "migrated to" in found["database"].detail
    assert "test mode" in found["Stripe"].detail
    assert "127.0.0.1:9 does not answer" in found["Chroma"].detail
    assert "PROMETHEUS_MULTIPROC_DIR" in found["metrics"].detail


async def are_polled(client: Client) -> bool:
    """Tell whether all task queues have workers; a busy server may not answer in time."""
    try:
        return all(each.pollers for each in await read_pollers(client))
    except RPCError:
        return False


async def test_the_doctor_names_an_api_that_is_away(settings: Settings, workers: Client) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    facts = {"api": away, "mail": "http://127.0.0.1:8440"}
    found = {each.what: each for each in await examine(reaching(settings, workers), facts)}
    assert (found["API"].is_passed, found["API"].detail) == (False, f"{away} does not answer")
    assert (found["mail"].is_passed, found["mail"].is_warning) == (True, True)
    assert "metrics" not in found


async def test_the_doctor_finds_all_of_it_away() -> None:
    away = Settings(
        _env_file=None,
        database_url=NOWHERE,
        auth=AuthSettings(jwt_secret=SecretStr("x" * 32)),
        temporal={"address": "127.0.0.1:9"},
        stripe=StripeSettings(api_base="http://127.0.0.1:9"),
        chroma_url="http://127.0.0.1:9",
        llm={"base_url": "http://127.0.0.1:9/v1"},
        embeddings={"base_url": "http://127.0.0.1:9/v1"},
        mail={"smtp_port": 9},
    )
    findings = await examine(away)
    ill = {finding.what for finding in findings if not finding.is_passed}
    assert ill == {
        "database",
        "webhooks out",
        "parked steps",
        "meter events",
        "tools",
        "agent runs",
        "reconciliation",
        "Temporal",
        "task queues",
        "workers",
        "workflow tasks",
        "Stripe",
        "webhook endpoint",
        "customer portal",
        "Chroma",
        "models",
        "embeddings",
        "mail",
    }
    assert "hidden" not in str(findings)
    assert not any("\n" in finding.detail for finding in findings)


async def test_everybody_knows_the_sandbox_secret(settings: Settings) -> None:
    known = StripeSettings(webhook_secret=SecretStr("whsec_sandbox"))
    at_stripe = settings.model_copy(update={"stripe": known})
    with pytest.raises(CheckFailedError, match="STRIPE__WEBHOOK_SECRET"):
        await check_webhook_secret(at_stripe)
    here = known.model_copy(update={"api_base": "http://127.0.0.1:9"})
    assert await check_webhook_secret(settings.model_copy(update={"stripe": here})) == "set"


async def test_the_doctor_asks_a_stack_for_its_mail(
    settings: Settings, dev_server: Client, http: httpx.AsyncClient
) -> None:
    facts = {"api": str(http.base_url), "mail": "http://127.0.0.1:8440"}
    found = {each.what: each for each in await examine(reaching(settings, dev_server), facts)}
    assert found["mail"] == CheckResult(
        "mail", is_passed=True, detail="http://127.0.0.1:8440, reached by the API"
    )


def test_the_doctor_leaves_with_one_if_anything_is_wrong() -> None:
    well, ill = (
        CheckResult("a", is_passed=True, detail=""),
        CheckResult("b", is_passed=False, detail="[x]"),
    )
    console = Console(record=True, quiet=True)
    assert show(console, [well]) == 0
    assert show(console, [well, ill]) == 1
    doubtful = CheckResult("c", is_passed=True, detail="", is_warning=True)
    paper = Console(file=io.StringIO(), width=80)
    assert show(paper, [well, doubtful]) == 0
    assert isinstance(paper.file, io.StringIO)
    assert "warnings: c\nno check failed" in paper.file.getvalue()


async def found_with(settings: Settings, **changes: object) -> dict[str, CheckResult]:
    """Return what the doctor finds where nothing answers but what the changes name."""
    away = Settings(_env_file=None, database_url=NOWHERE, auth=settings.auth)
    away = away.model_copy(
        update={
            "temporal": TemporalSettings(address="127.0.0.1:9"),
            "stripe": StripeSettings(api_base="http://127.0.0.1:9"),
            "llm": settings.llm,
            **changes,
        }
    )
    return {finding.what: finding for finding in await examine(away)}


async def test_a_price_that_nobody_knows_is_a_doubt(settings: Settings) -> None:
    llm = settings.llm.model_copy(update={"small_model": "our-own", "fallback_model": "other"})
    prices = (await found_with(settings, llm=llm))["prices"]
    assert (prices.is_passed, prices.is_warning) == (True, True)
    assert "no price is known for our-own, other" in prices.detail
    priced = llm.model_copy(update={"prompt_cents_per_million": Decimal(5)})
    prices = (await found_with(settings, llm=priced))["prices"]
    assert (prices.is_warning, prices.detail) == (False, "known for gpt-4.1, our-own, other")


async def test_the_doctor_asks_the_server_that_embeds(settings: Settings) -> None:
    url = settings.llm.base_url
    there = (await found_with(settings, embeddings=EmbeddingsSettings(base_url=url)))["embeddings"]
    assert there.is_passed
    assert there.detail == f"text-embedding-3-small {url}, 1536 dimensions"
    nowhere = "http://127.0.0.1:9/v1"
    away = await found_with(settings, embeddings=EmbeddingsSettings(base_url=nowhere))
    assert away["embeddings"].detail.startswith(f"{nowhere}: ")


async def test_the_doctor_reads_the_agents_specs(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "SPECS", tmp_path)
    registry.all_agents.cache_clear()
    try:
        assert "no agent spec" in (await found_with(settings))["agents"].detail
        (tmp_path / "odd.toml").write_text("pattern = ")
        registry.all_agents.cache_clear()
        agents = (await found_with(settings))["agents"]
    finally:
        registry.all_agents.cache_clear()
    assert not agents.is_passed
    assert agents.detail.startswith("odd.toml is not a valid agent spec")


async def append(sessions: Sessions, subscription_id: UUID, *notes: NewSubscriptionEvent) -> None:
    async with sessions.begin() as session:
        await SubscriptionRepository(session).lock(subscription_id)
        await SubscriptionEventRepository(session).append(subscription_id, notes)


def note(summary: str, **data: str) -> NewSubscriptionEvent:
    kind = "status_changed" if data else "command"
    return NewSubscriptionEvent(kind=kind, summary=summary, data=data, source_key=uuid4().hex)


async def test_the_watch_follows_to_the_end(
    http: httpx.AsyncClient, settings: Settings, sessions: Sessions
) -> None:
    key = (await create_admin(settings, f"{uuid4().hex}@example.com", None)).api_key
    subscription_id = await add_subscription(sessions, await add_user(sessions))
    await append(sessions, subscription_id, note("first"), note("second"))
    watch = Watch(str(http.base_url), key, SUBSCRIPTION, str(subscription_id), after=1)
    seen: list[str] = []
    async with asyncio.timeout(100):
        async for event in watch.events(QUIET.print):
            seen.append(line_of(event))
            if len(seen) == 1:
                await append(sessions, subscription_id, note("over", to="canceled"))
    assert ["second" in seen[0], "over" in seen[1], len(seen)] == [True, True, 2]
    assert watch.after == 3


async def test_the_watch_is_refused_in_words(http: httpx.AsyncClient, settings: Settings) -> None:
    key = (await create_admin(settings, f"{uuid4().hex}@example.com", None)).api_key
    for wanted, api_key in (("no such subscription", key), ("key is not valid", "pk_wrong")):
        watch = Watch(str(http.base_url), api_key, SUBSCRIPTION, str(uuid4()), after=0)
        with pytest.raises(WatchError, match=wanted):
            async for _ in watch.events(QUIET.print):
                pass
    watch = Watch(f"{http.base_url}/docs", key, SUBSCRIPTION, "x", after=0)
    with pytest.raises(WatchError, match="not an address of the API"):
        async for _ in watch.events(QUIET.print):
            pass


def test_ctrl_c_leaves_the_watch_and_tells_how_to_go_on(tmp_path: Path) -> None:
    command = [sys.executable, "cli.py", "watch", "x", "--stack", str(tmp_path), "--after", "7"]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        write_stack(tmp_path, api=f"http://127.0.0.1:{silent.getsockname()[1]}")
        with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as child:
            silent.settimeout(100)
            asked, _ = silent.accept()
            asked.recv(1)
            child.send_signal(signal.SIGINT)
            said, _ = child.communicate(timeout=100)
            asked.close()
    assert child.returncode == 0
    assert "--after 7" in said


@pytest.mark.parametrize(
    "command",
    ["admin create", "doctor", "watch", "explain", "replay", "demo", "up", "stripe setup"],
)
def test_every_command_explains_itself(command: str) -> None:
    told = cli(*command.split(), "--help")
    assert told.returncode == 0
    assert "Usage" in told.stdout


def test_commands_without_a_system_leave_with_one_line(tmp_path: Path) -> None:
    away = ("--stack", str(tmp_path / "stack.json"))
    for command, code in (
        (("admin", "create", "--email", "a@example.com"), 2),
        (("doctor",), 2),
        (("watch", "x"), 2),
        (("explain", "x"), 2),
    ):
        told = cli(*command, *away)
        assert told.returncode == code
        assert told.stderr.startswith("error: no stack runs here")
        assert told.stderr.count("\n") == 1


def test_the_doctor_names_every_wrong_variable() -> None:
    told = cli("doctor", DATABASE_URL=NOWHERE, STRIPE__API_KEY="sk_live_hidden")
    assert told.returncode == 1
    assert "error: AUTH__JWT_SECRET: is missing" in told.stderr
    assert "hidden" not in told.stderr


def test_an_administrator_from_the_command_line(database_url: str) -> None:
    environ = {"DATABASE_URL": database_url, "AUTH__JWT_SECRET": "x" * 32}
    told = cli("admin", "create", "--email", f"{uuid4().hex}@example.com", **environ)
    assert told.returncode == 0
    assert told.stdout.startswith("perdure_")
    assert told.stdout.count("\n") == 1
    assert "created; the API key, shown only now" in told.stderr
