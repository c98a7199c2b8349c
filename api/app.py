"""Composition root of the API: settings -> engine, clients -> routes."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from importlib.util import find_spec

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from api.errors import install_error_handlers
from api.middleware import RequestContextMiddleware
from config import Settings
from database.session import Sessions, make_engine, make_sessions

GZIP_FROM_BYTES = 1_024
PREFIX = "/api/v1"

Resources = tuple[Client, Sessions]
Connect = Callable[[], AbstractAsyncContextManager[Resources]]

_VERSIONED = (
    "auth",
    "users",
    "api_keys",
    "plans",
    "retry_policies",
    "payment_methods",
    "subscriptions",
    "payment_retries",
    "payments",
    "entitlements",
    "webhooks",
    "webhook_events",
    "workflows",
    "admin",
)


def create_app() -> FastAPI:
    """Make the app as uvicorn runs it, from the environment."""
    settings = Settings()

    @asynccontextmanager
    async def connect() -> AsyncIterator[Resources]:
        engine = make_engine(settings.database_url, settings.database_pool_size)
        key = settings.temporal.api_key
        temporal = await Client.connect(
            settings.temporal.address,
            namespace=settings.temporal.namespace,
            api_key=key.get_secret_value() if key else None,
            tls=settings.temporal.is_tls,
            data_converter=pydantic_data_converter,
            # Reason: the API starts, and takes webhooks, while Temporal is down.
            lazy=True,
        )
        try:
            yield temporal, make_sessions(engine)
        finally:
            await engine.dispose()

    return _assemble(settings, connect)


def build_app(settings: Settings, temporal: Client, sessions: Sessions) -> FastAPI:
    """Make the app from clients that somebody else owns.

    Args:
        settings: What the process was told.
        temporal: A client with the pydantic converter.
        sessions: Makes database sessions.

    Returns:
        The app; its lifespan starts and stops the inbox and the dispatcher.
    """

    @asynccontextmanager
    async def connect() -> AsyncIterator[Resources]:
        yield temporal, sessions

    return _assemble(settings, connect)


def _assemble(settings: Settings, connect: Connect) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with connect() as (temporal, sessions):
            app.state.settings = settings
            app.state.temporal = temporal
            app.state.sessions = sessions
            if find_spec("api.inbox") and find_spec("api.dispatcher"):
                app.state.inbox = import_module("api.inbox").Inbox(sessions)
                app.state.dispatcher = import_module("api.dispatcher").Dispatcher(
                    sessions, temporal
                )
                await app.state.inbox.start()
                await app.state.dispatcher.start()
            try:
                yield
            finally:
                if hasattr(app.state, "inbox"):
                    await app.state.inbox.stop()
                    await app.state.dispatcher.stop()

    app = FastAPI(title="Perdure", version="0.1.0", lifespan=lifespan)
    app.add_middleware(GZipMiddleware, minimum_size=GZIP_FROM_BYTES)
    app.add_middleware(RequestContextMiddleware)
    install_error_handlers(app)
    for name in _VERSIONED:
        if find_spec(f"api.routes.{name}"):
            app.include_router(import_module(f"api.routes.{name}").router, prefix=PREFIX)
    for module in ("api.routes.health", "api.streaming"):
        if find_spec(module):
            app.include_router(import_module(module).router)
    return app
