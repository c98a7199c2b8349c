"""Composition root of the API: builds the app from settings, clients and routes."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from temporalio.client import Client

from adapters.status_server import serve_status
from adapters.stripe.client import StripeHealth, open_client
from adapters.stripe.setup_intents import StripeSetupIntents
from api import streaming
from api.errors import install_error_handlers
from api.http.middleware import make_middleware
from api.knowledge import open_api_knowledge
from api.monitoring import make_pages, make_probes
from api.openapi import PREFIX, describe_api, operation_id
from api.readiness import Readiness
from api.routes import (
    admin,
    agent_feedback,
    agent_run_artifacts,
    agent_run_decisions,
    agent_run_events,
    agent_run_forks,
    agent_run_reads,
    agent_runs,
    agent_schedules,
    agents,
    api_keys,
    approval_links,
    approvals,
    auth,
    checkout_sessions,
    conversations,
    documents,
    entitlements,
    health,
    memories,
    payment_methods,
    payment_retries,
    payments,
    plans,
    portal_sessions,
    reconciliations,
    retry_policies,
    subscription_changes,
    subscription_commands,
    subscription_previews,
    subscription_trials,
    subscriptions,
    tool_calls,
    usage,
    users,
    webhook_endpoints,
    webhook_events,
    webhooks,
    workflows,
)
from api.streaming.run_feed import RunFeed
from api.streaming.subscription_feed import SubscriptionFeed
from api.streaming.watchers import Watchers
from api.webhooks.dispatcher import Dispatcher
from api.webhooks.inbox import Inbox
from bootstrap.clients import connect_temporal, open_sessions
from bootstrap.garbage import spare_lasting_objects
from bootstrap.settings import load_settings
from bootstrap.tools import load_agents, make_tool_catalog
from config import ServingSettings, Settings
from database.session import Sessions
from observability.logging import configure_logging
from observability.metrics import make_metrics_folder
from services.agents.tools.catalog import ToolCatalog

Resources = tuple[Client, Sessions]
Connect = Callable[[], AbstractAsyncContextManager[Resources]]


_ABOUT: dict[str, Any] = {
    "title": "Perdure",
    "version": "0.1.0",
    "generate_unique_id_function": operation_id,
}
_VERSIONED = (
    auth,
    users,
    api_keys,
    plans,
    retry_policies,
    payment_methods,
    subscriptions,
    subscription_commands,
    subscription_trials,
    subscription_changes,
    subscription_previews,
    checkout_sessions,
    portal_sessions,
    payment_retries,
    payments,
    entitlements,
    usage,
    agents,
    agent_feedback,
    conversations,
    agent_run_reads,
    agent_run_artifacts,
    agent_runs,
    agent_run_forks,
    agent_schedules,
    agent_run_decisions,
    agent_run_events,
    approvals,
    approval_links,
    tool_calls,
    documents,
    memories,
    webhooks,
    webhook_events,
    webhook_endpoints,
    reconciliations,
    workflows,
    admin,
)


def create_app() -> FastAPI:
    """Build the app that uvicorn serves, with settings from the environment."""
    settings = load_settings(ServingSettings)
    configure_logging(settings.log_level)
    make_metrics_folder()

    @asynccontextmanager
    async def connect() -> AsyncIterator[Resources]:
        # Reason: the API must start and accept webhooks while Temporal is down.
        temporal = await connect_temporal(settings, is_lazy=True)
        async with open_sessions(settings) as sessions:
            yield temporal, sessions

    app = _assemble(settings, connect, make_tool_catalog(settings))
    spare_lasting_objects()
    return app


def build_app(
    settings: Settings,
    temporal: Client,
    sessions: Sessions,
    tools: ToolCatalog | None = None,
) -> FastAPI:
    """Build the app from clients that the caller opens and closes.

    Args:
        settings: Settings of the process.
        temporal: Client with the pydantic data converter.
        sessions: Factory of database sessions.
        tools: Catalogue of the agents' tools; that of all sources by default.

    Returns:
        The app; its lifespan starts and stops the inbox, the dispatcher and the feeds.
    """

    @asynccontextmanager
    async def connect() -> AsyncIterator[Resources]:
        yield temporal, sessions

    return _assemble(settings, connect, tools or make_tool_catalog(settings))


def _assemble(settings: Settings, connect: Connect, tools: ToolCatalog) -> FastAPI:
    # Reason: FastAPI's own documentation pages load their scripts from a public CDN.
    app = FastAPIOffline(
        **_ABOUT,
        lifespan=partial(_run, settings, connect, tools),
        middleware=make_middleware(settings),
        # Reason: a redirect would take its target from the request's Host header.
        redirect_slashes=False,
        # Reason: a body without a media type is read as JSON; `api/http/routing.py` checks it.
        strict_content_type=False,
    )
    app.openapi = partial(describe_api, app)  # type: ignore[method-assign]
    install_error_handlers(app)
    _add_routes(app)
    _build_routes(app)
    return app


def describe() -> dict[str, Any]:
    """Return the OpenAPI document, which needs neither settings nor clients."""
    app = FastAPI(**_ABOUT)
    _add_routes(app)
    return describe_api(app)


def _add_routes(app: FastAPI) -> None:
    for module in _VERSIONED:
        app.include_router(module.router, prefix=PREFIX)
    app.include_router(health.router)
    app.include_router(streaming.router)


def _build_routes(app: FastAPI) -> None:
    # Reason: FastAPI builds included routes at the first request, and blocks the event loop then.
    scope = {"type": "http", "method": "GET", "path": "/", "root_path": ""}
    for route in app.router.routes:
        route.matches(scope)


@asynccontextmanager
async def _run(
    settings: Settings, connect: Connect, tools: ToolCatalog, app: FastAPI
) -> AsyncIterator[None]:
    load_agents(tools)
    key, api_base = settings.stripe.api_key.get_secret_value(), settings.stripe.api_base
    async with (
        connect() as (temporal, sessions),
        open_client(key, api_base) as stripe,
        open_api_knowledge(settings, sessions) as knowledge,
        serve_status(settings.status_host, settings.status_port, make_pages(sessions, temporal)),
    ):
        inbox, dispatcher = Inbox(sessions), Dispatcher(sessions, temporal)
        feed = RunFeed(sessions, settings.database_url)
        subscription_feed, watchers = SubscriptionFeed(sessions), Watchers(sessions)
        app.state.settings = settings
        app.state.temporal = temporal
        app.state.sessions = sessions
        app.state.knowledge = knowledge
        app.state.tools = tools
        probes = make_probes(settings, sessions, temporal, StripeHealth(stripe))
        app.state.readiness = Readiness(probes)
        app.state.setup_intents = StripeSetupIntents(stripe)
        app.state.inbox = inbox
        app.state.dispatcher = dispatcher
        app.state.run_feed = feed
        app.state.subscription_feed = subscription_feed
        app.state.watchers = watchers
        # Reason: the exit stack stops them in the opposite order.
        services = (dispatcher, inbox, feed, subscription_feed, watchers)
        async with AsyncExitStack() as started:
            for service in services:
                await service.start()
                started.push_async_callback(service.stop)
            yield
