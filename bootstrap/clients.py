"""Opens the clients of Temporal, database, mail, Chroma, embeddings and files from the settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio.client import Client

from adapters.chroma.client import Chroma, open_chroma
from adapters.email.mailer import Mailer
from adapters.embeddings import Embedder, open_embedder
from adapters.extraction.extractor import Extractor
from adapters.extraction.limits import Limits
from adapters.temporal.client import connect
from config import Settings
from database.session import Sessions, make_engine, make_sessions
from observability.temporal import make_runtime
from services.knowledge.files import FileReader


async def connect_temporal(
    settings: Settings,
    *,
    is_lazy: bool = False,
    metrics_port: int | None = None,
) -> Client:
    """Connect to Temporal.

    Args:
        settings: Settings with the address and the credentials of Temporal.
        is_lazy: Whether to connect at the first call, so that a process can start while Temporal
            is down.
        metrics_port: Loopback port on which the SDK serves its metrics; None for no port.

    Raises:
        ConnectError: Temporal cannot be reached.
    """
    temporal = settings.temporal
    return await connect(
        temporal.address,
        temporal.namespace,
        temporal.api_key.get_secret_value() if temporal.api_key else None,
        is_tls=temporal.is_tls,
        is_lazy=is_lazy,
        runtime=make_runtime(metrics_port),
    )


@asynccontextmanager
async def open_sessions(settings: Settings) -> AsyncIterator[Sessions]:
    """Open a pool of database connections, and close it at the end."""
    engine = make_engine(settings.database_url, settings.database_pool_size)
    try:
        yield make_sessions(engine)
    finally:
        await engine.dispose()


@asynccontextmanager
async def open_knowledge(settings: Settings) -> AsyncIterator[tuple[Chroma, Embedder]]:
    """Open Chroma and the embedder, which connect or load at their first use."""
    embeddings = settings.embeddings
    key = embeddings.api_key.get_secret_value()
    async with (
        open_chroma(settings.chroma_url) as chroma,
        open_embedder(embeddings.base_url, key, embeddings.model) as embedder,
    ):
        yield chroma, embedder


def make_file_reader(settings: Settings, turn_seconds: float) -> FileReader:
    """Make the reader of documents' files; its child processes are started when they are needed.

    Args:
        settings: Settings with the limits of documents.
        turn_seconds: How long a file waits while other files are read.
    """
    max_bytes = settings.documents.max_bytes
    extractor = Extractor(Limits(text_bytes=max_bytes), turn_seconds)
    return FileReader(extractor, max_bytes, is_masked=settings.is_card_number_guard_on)


def make_mailer(settings: Settings) -> Mailer:
    """Make the mailer from the settings."""
    mail = settings.mail
    return Mailer(
        mail.smtp_host,
        mail.smtp_port,
        mail.sender,
        # Reason: an empty variable counts as unset; a server without AUTH refuses a user name.
        username=mail.username or None,
        password=mail.password.get_secret_value() if mail.username and mail.password else None,
        security=mail.tls,
    )
