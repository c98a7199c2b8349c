"""`watch`, `explain` and `replay` take any id of ours, and name one that belongs to nothing."""

import asyncio
import io
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID, uuid4

import httpx
import pytest
from rich.console import Console
from sqlalchemy import update
from temporalio.client import Client

from api.app import build_app
from commands import api as api_command
from commands import resources
from commands.admin import create_admin
from commands.api import call_api
from commands.explain import describe, explain
from commands.replay.command import replay_command
from commands.resources import (
    AGENT_RUN,
    DOCUMENT,
    PAYMENT,
    PAYMENT_RETRY,
    Kind,
    NoConnectionError,
    Resource,
    ResourceError,
    ResourceReader,
)
from commands.settings import CommandError
from commands.watch.resource import watch_resource
from config import Settings
from database.knowledge.documents import DocumentRepository
from database.knowledge.models import Document
from database.payment_retries.models import PaymentRetry
from database.payments.models import Payment
from database.session import Sessions
from domain.ids import (
    agent_run_workflow_id,
    ingest_workflow_id,
    payment_retry_id,
    payment_retry_workflow_id,
    payment_workflow_id,
    subscription_workflow_id,
)
from tests.api.support import add_subscription, add_user, eventually, served
from tests.conftest import PROJECT, free_port
from tests.support.streams import add_run, finish


@pytest.fixture(scope="module")
async def http(
    settings: Settings,
    dev_server: Client,
    sessions: Sessions,
) -> AsyncIterator[httpx.AsyncClient]:
    async with served(build_app(settings, dev_server, sessions)) as client:
        yield client


@pytest.fixture(scope="module")
async def key(settings: Settings) -> str:
    return (await create_admin(settings, f"{uuid4().hex}@example.com", None)).api_key


@dataclass
class Ids:
    """One resource of each kind, of one user."""

    subscription_id: UUID
    stripe_invoice_id: str
    payment_id: UUID
    agent_run_id: UUID
    document_id: UUID

    @property
    def payment_retry_id(self) -> UUID:
        return payment_retry_id(self.stripe_invoice_id)


@pytest.fixture(scope="module")
async def ids(sessions: Sessions) -> Ids:
    user_id = await add_user(sessions)
    made = Ids(
        subscription_id=await add_subscription(sessions, user_id),
        stripe_invoice_id=f"in_{uuid4().hex}",
        payment_id=uuid4(),
        agent_run_id=await add_run(sessions, user_id),
        document_id=uuid4(),
    )
    async with sessions.begin() as session:
        session.add(
            PaymentRetry(
                payment_retry_id=made.payment_retry_id,
                subscription_id=made.subscription_id,
                user_id=user_id,
                stripe_invoice_id=made.stripe_invoice_id,
                retry_status="waiting",
                policy_name="default",
                policy_version=1,
                workflow_id=payment_retry_workflow_id(made.stripe_invoice_id),
            )
        )
        session.add(
            Payment(
                payment_id=made.payment_id,
                user_id=user_id,
                amount_cents=2_500,
                currency_code="usd",
                payment_status="failed",
                decline_code="lost_card",
                workflow_id=payment_workflow_id(made.payment_id),
            )
        )
        await DocumentRepository(session).add(
            made.document_id,
            user_id,
            title="Trains",
            content="# Trains",
            source_url=None,
            metadata_data={},
            document_status="pending",
            workflow_id=ingest_workflow_id(made.document_id),
        )
    await finish(sessions, made.agent_run_id)
    return made


@pytest.fixture
def reader(http: httpx.AsyncClient, key: str) -> ResourceReader:
    return ResourceReader(str(http.base_url), key)


async def test_any_id_and_its_workflow_are_explained(reader: ResourceReader, ids: Ids) -> None:
    retry_workflow_id = payment_retry_workflow_id(ids.stripe_invoice_id)
    for targets, first, more in (
        (
            (ids.subscription_id, subscription_workflow_id(ids.subscription_id)),
            f"subscription {ids.subscription_id}: active",
            "  because: Stripe calls the subscription active.",
        ),
        (
            (ids.payment_retry_id, retry_workflow_id),
            f"payment retry {ids.payment_retry_id}: waiting",
            "  because: Stripe calls the subscription active.",
        ),
        (
            (ids.payment_id, payment_workflow_id(ids.payment_id)),
            f"payment {ids.payment_id}: failed",
            "  declined: lost_card",
        ),
        (
            (ids.agent_run_id, agent_run_workflow_id(ids.agent_run_id)),
            f"agent run {ids.agent_run_id}: completed",
            None,
        ),
        (
            (ids.document_id, ingest_workflow_id(ids.document_id)),
            f"document {ids.document_id}: pending",
            None,
        ),
    ):
        for target in targets:
            lines = await explain(reader, str(target))
            assert lines[0] == first
            assert more is None or more in lines
    told = await explain(reader, str(ids.subscription_id))
    assert f"  payment_retry: {ids.payment_retry_id}" in told


@pytest.mark.parametrize(
    ("kind", "status", "told"),
    [
        (PAYMENT, "pending", "next: the card is charged"),
        (PAYMENT, "requires_action", "next: the customer authenticates"),
        (PAYMENT, "succeeded", "next: nothing"),
        (AGENT_RUN, "queued", "next: it begins"),
        (AGENT_RUN, "running", "next: the model or a tool answers"),
        (AGENT_RUN, "waiting_approval", "next: somebody decides"),
        (AGENT_RUN, "failed", "next: nothing"),
        (DOCUMENT, "pending", "next: its passages are stored"),
        (DOCUMENT, "ready", "next: nothing"),
    ],
)
def test_what_happens_next_is_told_of_everything(kind: Kind, status: str, told: str) -> None:
    assert told in "\n".join(describe(Resource(kind, "x", {kind.status: status})))


def test_what_is_parked_tells_its_next_try() -> None:
    parked = {"step": "charge", "code": "c", "message": "m", "since": "2026-11-24T09:00:00Z"}
    fields = {"payment_status": "pending", "parked": [parked]}
    text = "\n".join(describe(Resource(PAYMENT, "x", fields)))
    assert "next: it is tried again, every 6 hours at least" in text
    assert "POST payments/x/retry-parked" in text
    assert "the card is charged" not in text


@pytest.mark.parametrize(
    ("kind", "status", "is_told"),
    [
        (PAYMENT_RETRY, "recovered", False),
        (PAYMENT_RETRY, "waiting", True),
        (PAYMENT, "succeeded", False),
        (PAYMENT, "failed", True),
    ],
)
def test_a_decline_that_is_over_is_not_told(kind: Kind, status: str, *, is_told: bool) -> None:
    fields = {kind.status: status, "decline_code": "insufficient_funds"}
    assert ("declined" in "\n".join(describe(Resource(kind, "x", fields)))) == is_told


async def test_an_unknown_id_is_named_in_one_line(reader: ResourceReader) -> None:
    unknown = uuid4()
    everything = "subscription, agent run, payment retry, payment or document"
    for target, what in (
        (str(unknown), everything),
        ("rub bish?y", everything),
        (f"subscription-{unknown}", "subscription"),
        ("payment-retry-in_x", "payment retry"),
        (f"payment-{unknown}", "payment"),
    ):
        with pytest.raises(ResourceError, match=r"^there is no such") as caught:
            await reader.find(target)
        assert str(caught.value) == f"there is no such {what}: {target}"


async def test_a_wrong_key_a_wrong_address_and_an_api_that_is_down(
    http: httpx.AsyncClient, settings: Settings
) -> None:
    with pytest.raises(ResourceError, match="the API key is not valid here"):
        await ResourceReader(str(http.base_url), "pk_wrong").find("x")
    with pytest.raises(ResourceError, match="is not an address of the API"):
        await ResourceReader("nowhere", "pk_x").find("x")
    with pytest.raises(ResourceError, match="is not an address of the API"):
        await ResourceReader(settings.chroma_url.replace("http", "ftp"), "pk_x").find("x")
    with pytest.raises(NoConnectionError, match="cannot be reached"):
        await ResourceReader(f"http://127.0.0.1:{free_port()}", "pk_x").find("x")


ODD_ADDRESSES = [
    "nowhere",
    "",
    "http://",
    "http://:8000",
    "ftp://127.0.0.1",
    "http://127.0.0.1:99999",
    "http://127.0.0.1:x",
    "http://[::1",
    "http://a b",
    "http://127.0.0.1:8000\n",
    "http://\udcff",
]


@pytest.mark.parametrize("address", ODD_ADDRESSES)
async def test_what_is_no_address_is_refused_in_one_line(address: str) -> None:
    with pytest.raises(CommandError, match="is not an address of the API") as caught:
        await explain(ResourceReader(address, "pk_x"), str(uuid4()))
    assert "\n" not in str(caught.value)
    with pytest.raises(CommandError, match="is not an address of the API"):
        call_api("GET", "plans", None, {"api": address, "admin_api_key": "pk_x"})


@pytest.mark.parametrize("api_key", ["ü", "pk_x\n", "pk\x00", "\udcff", "密钥"])
async def test_what_is_no_key_is_refused_and_not_shown(api_key: str) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    for call in (
        lambda: ResourceReader(nowhere, api_key),
        lambda: call_api("GET", "plans", None, {"api": nowhere, "admin_api_key": api_key}),
    ):
        with pytest.raises(CommandError, match="API key") as caught:
            call()
        assert api_key not in str(caught.value)


@pytest.mark.parametrize("target", ["\udcff", "a\nb", "\x00", "..", "", "ü"])
async def test_no_id_is_a_defect(reader: ResourceReader, target: str) -> None:
    with pytest.raises(ResourceError, match="there is no such"):
        await reader.find(target)


@pytest.mark.parametrize("path", ["\udcff", "a\nb", "\x00"])
def test_no_path_is_a_defect(path: str) -> None:
    facts = {"api": f"http://127.0.0.1:{free_port()}", "admin_api_key": "pk_x"}
    with pytest.raises(CommandError, match=r"cannot be (reached|sent)"):
        call_api("POST", f"plans/{path}", '{"a": "\\ud800"}', facts)


@pytest.fixture
async def frozen() -> AsyncIterator[str]:
    """Return the address of an API that takes connections and never answers."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_an_api_that_is_frozen_has_timed_out(
    frozen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resources.TIMEOUT_SECONDS == 10
    monkeypatch.setattr(resources, "TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(api_command, "TIMEOUT_SECONDS", 0.2)
    told = f"{frozen} cannot be reached: timed out"
    with pytest.raises(NoConnectionError) as caught:
        await explain(ResourceReader(frozen, "pk_x"), "x")
    assert str(caught.value) == told
    facts = {"api": frozen, "admin_api_key": "pk_x"}
    with pytest.raises(CommandError, match="cannot be reached: timed out"):
        await asyncio.to_thread(call_api, "GET", "plans", None, facts)


async def test_a_watch_that_never_had_a_connection_ends_with_address_and_cause() -> None:
    address = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(NoConnectionError, match=f"^{address} cannot be reached: ."):
        await watched(ResourceReader(address, "pk_x"), "pk_x", uuid4())


async def watched(reader: ResourceReader, key: str, target: object) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    async with asyncio.timeout(100):
        code = await watch_resource(reader, key, str(target), 0, console)
    assert isinstance(console.file, io.StringIO)
    return code, console.file.getvalue()


async def test_a_payment_and_a_run_are_watched_by_id_and_by_workflow(
    reader: ResourceReader, key: str, ids: Ids
) -> None:
    for target in (ids.payment_id, payment_workflow_id(ids.payment_id)):
        code, told = await watched(reader, key, target)
        assert code == 1
        assert "failed" in told
        assert "declined: lost_card" in told
    for target in (ids.agent_run_id, agent_run_workflow_id(ids.agent_run_id)):
        code, told = await watched(reader, key, target)
        assert code == 0
        assert "the agent run has ended" in told


async def test_a_document_is_watched_until_it_is_ready(
    reader: ResourceReader, key: str, ids: Ids, sessions: Sessions
) -> None:
    watching = asyncio.create_task(watched(reader, key, ids.document_id))
    await asyncio.sleep(0.2)
    async with sessions.begin() as session:
        await session.execute(
            update(Document)
            .where(Document.document_id == ids.document_id)
            .values(document_status="ready")
        )
    code, told = await watching
    assert code == 0
    assert f"document {ids.document_id}: ready" in told


async def test_a_payment_retry_is_watched_by_its_subscription(
    reader: ResourceReader, key: str, ids: Ids
) -> None:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    target = payment_retry_workflow_id(ids.stripe_invoice_id)
    watching = asyncio.create_task(watch_resource(reader, key, target, 0, console))
    assert isinstance(console.file, io.StringIO)
    output = console.file

    async def is_told() -> bool:
        return f"its subscription is {ids.subscription_id}" in output.getvalue()

    await eventually(is_told)
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    assert "continue with --after 0" in output.getvalue()


@pytest.mark.parametrize(("status", "code"), [("recovered", 0), ("exhausted", 1)])
async def test_a_payment_retry_that_has_ended_is_watched_no_longer(
    reader: ResourceReader, sessions: Sessions, key: str, ids: Ids, status: str, code: int
) -> None:
    async def set_status(new: str) -> None:
        async with sessions.begin() as session:
            (await session.get_one(PaymentRetry, ids.payment_retry_id)).retry_status = new

    await set_status(status)
    console = Console(file=io.StringIO(), width=200, highlight=False)
    async with asyncio.timeout(30):
        ended = await watch_resource(reader, key, str(ids.payment_retry_id), 0, console)
    await set_status("waiting")
    assert ended == code
    assert isinstance(console.file, io.StringIO)
    assert "the payment retry has ended" in console.file.getvalue()


async def test_the_commands_leave_with_code_2_and_one_line(
    http: httpx.AsyncClient, key: str, ids: Ids
) -> None:
    def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "cli.py", *arguments]
        command += ["--api", str(http.base_url), "--api-key", key]
        return subprocess.run(
            command, cwd=PROJECT, capture_output=True, text=True, timeout=100, check=False
        )

    told = await asyncio.to_thread(cli, "explain", str(ids.payment_id))
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.splitlines()[0] == f"payment {ids.payment_id}: failed"
    for command in ("watch", "explain"):
        told = await asyncio.to_thread(cli, command, str(uuid4()))
        assert told.returncode == 2
        assert told.stderr.startswith("error: there is no such subscription, agent run,")
        assert (told.stderr.count("\n"), told.stdout) == (1, "")


async def test_any_id_is_replayed(
    dev_server: Client,
    settings: Settings,
    ids: Ids,
    capsys: pytest.CaptureFixture[str],
) -> None:
    environ = {
        "TEMPORAL__ADDRESS": dev_server.service_client.config.target_host,
        "DATABASE_URL": settings.database_url,
    }
    queue = f"unserved-{uuid4().hex}"
    for target, workflow_id, workflow in (
        (ids.subscription_id, subscription_workflow_id(ids.subscription_id), "Subscription"),
        (ids.payment_id, payment_workflow_id(ids.payment_id), "Payment"),
        (ids.agent_run_id, agent_run_workflow_id(ids.agent_run_id), "AgentRun"),
        (ids.document_id, ingest_workflow_id(ids.document_id), "IngestDocument"),
        (
            ids.payment_retry_id,
            payment_retry_workflow_id(ids.stripe_invoice_id),
            "PaymentRetry",
        ),
    ):
        handle = await dev_server.start_workflow(
            f"{workflow}Workflow", {}, id=workflow_id, task_queue=queue
        )
        of_invoice = [ids.stripe_invoice_id] if workflow == "PaymentRetry" else []
        for each in (str(target), workflow_id, *of_invoice):
            assert await replay_command(each, None, None, environ) == 0
            assert f"{workflow}Workflow, 2 events" in capsys.readouterr().out
        run_id = handle.result_run_id
        assert await replay_command(str(target), None, None, environ, run_id) == 0
        await handle.terminate()
        capsys.readouterr()


async def test_an_unknown_id_is_not_replayed(
    dev_server: Client,
    settings: Settings,
    ids: Ids,
    capsys: pytest.CaptureFixture[str],
) -> None:
    address = dev_server.service_client.config.target_host
    environ = {"TEMPORAL__ADDRESS": address, "DATABASE_URL": settings.database_url}
    for target, run_id in (
        (str(uuid4()), None),
        ("payment-retry-in_x", None),
        (str(uuid4()), str(uuid4())),
        (str(uuid4()), "no run"),
    ):
        assert await replay_command(target, None, None, environ, run_id) == 2
        told = capsys.readouterr().err
        assert told.startswith(f"error: there is no workflow {target}")
        assert told.count("\n") == 1
    down = {"DATABASE_URL": f"postgresql://a:hidden@127.0.0.1:{free_port()}/x"}
    assert await replay_command(str(uuid4()), None, None, environ | down) == 2
    told = capsys.readouterr().err
    assert "the database does not answer" in told
    assert told.count("\n") == 1
