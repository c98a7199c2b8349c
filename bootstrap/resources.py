"""Opens the clients of outside systems and the objects that several activities share."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from temporalio.client import Client

from activities.knowledge import DocumentActivities
from adapters.egress import Egress
from adapters.email.rendering import MailTemplates
from adapters.llm.gateway import Models, open_models
from adapters.llm.pricing import Prices
from adapters.python_sandbox import PythonSandbox, open_python_sandbox
from adapters.stripe.client import Connection, open_client
from adapters.web_fetcher import PageFetcher
from adapters.webhook_sender import WebhookSender
from bootstrap.clients import make_file_reader, make_mailer, open_knowledge
from config import Settings
from database.session import Sessions
from domain.llm.messages import ProviderSlot
from domain.llm.routing import ModelNames
from services.agents.knowledge.memory_writer import MemoryWriter
from services.agents.model_calls.rate_limiter import RateLimiter
from services.agents.token_stream import RunStream
from services.agents.tools.catalog import ToolCatalog
from services.knowledge.files import FileReader, PageReader
from services.knowledge.passages import PassageStore
from services.knowledge.search import KnowledgeSearch
from services.notifications.approval_mails import ApprovalMails
from services.notifications.mail_sender import MailSender

# Reason: a file that waited in vain is fetched once more. The activity has two minutes: 45 s for
# the server, this for the turn, and 30 s for the child.
TURN_SECONDS = 25.0
# Activities by task queue.
Activities = dict[str, list[Callable[..., Any]]]


@dataclass(frozen=True)
class Resources:
    """Clients of outside systems, and objects that several activities share."""

    temporal: Client
    stripe: Connection
    reconciliation_calls_per_second: float
    mails: MailSender
    is_mailing_approvals: bool
    stripe_calls_per_second: float
    sessions: Sessions
    stream: RunStream
    models: Models
    limiter: RateLimiter
    names: ModelNames
    prices: Prices
    fallback_prices: Prices | None
    library: KnowledgeSearch
    memories: MemoryWriter
    documents: DocumentActivities
    pages: PageReader
    webhooks: WebhookSender
    tools: ToolCatalog
    python: PythonSandbox


@asynccontextmanager
async def open_resources(
    client: Client,
    settings: Settings,
    sessions: Sessions,
    tools: ToolCatalog,
) -> AsyncIterator[Resources]:
    """Open the resources of the workers, and close them at the end."""
    key, llm = settings.stripe.api_key.get_secret_value(), settings.llm
    prices, second = llm.make_prices(), llm.make_fallback()
    secret, timeout = llm.api_key.get_secret_value(), llm.timeout_seconds
    async with (
        open_client(key, settings.stripe.api_base) as stripe,
        open_models(llm.provider, llm.base_url, secret, timeout, prices, second) as models,
        open_knowledge(settings) as (chroma, embedder),
        RunStream(sessions) as stream,
        open_python_sandbox() as python,
    ):
        library = KnowledgeSearch(chroma, embedder, sessions)
        files = make_file_reader(settings, TURN_SECONDS)
        yield Resources(
            temporal=client,
            stripe=stripe,
            mails=_mail_sender(settings, sessions),
            is_mailing_approvals=settings.agents.is_mailing_approvals,
            reconciliation_calls_per_second=settings.stripe.calls_per_second
            * settings.stripe.reconciliation_share,
            stripe_calls_per_second=settings.stripe.calls_per_second,
            sessions=sessions,
            stream=stream,
            models=models,
            limiter=RateLimiter(
                {
                    slot: provider.make_rate_limits()
                    for slot, provider in zip(ProviderSlot, llm.providers, strict=False)
                }
            ),
            names=llm.make_names(),
            prices=prices,
            fallback_prices=second and second.prices,
            library=library,
            memories=MemoryWriter(library, sessions),
            documents=_document_activities(
                settings, PassageStore(chroma, embedder, sessions), files, sessions
            ),
            pages=_page_reader(settings, files),
            webhooks=WebhookSender(Egress(settings.egress.allowed_private_hosts)),
            tools=tools,
            python=python,
        )


def _mail_sender(settings: Settings, sessions: Sessions) -> MailSender:
    """Make what sends the mails of the outbox."""
    return MailSender(
        sessions,
        make_mailer(settings),
        MailTemplates(settings.mail.templates_folder),
        ApprovalMails(sessions, settings.public_url),
    )


def _document_activities(
    settings: Settings,
    passages: PassageStore,
    files: FileReader,
    sessions: Sessions,
) -> DocumentActivities:
    limits = settings.documents
    fetcher = PageFetcher(limits.max_file_bytes, limits.allowed_private_hosts)
    return DocumentActivities(passages, fetcher, files, sessions)


def _page_reader(settings: Settings, files: FileReader) -> PageReader:
    """Make what the tool `fetch_page` reads pages with."""
    allowed = settings.fetch_page
    fetcher = PageFetcher(
        settings.documents.max_file_bytes,
        allowed.allowed_private_hosts,
        allowed.allowed_domains,
    )
    return PageReader(fetcher, files)
