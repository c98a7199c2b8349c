"""Serves webhooks as most handlers do: parse, insert, signal; and a route that only answers.

`python -m tests.bench.neighbours.naive_webhook PORT`, with the addresses of a running stack in the
environment. Uvicorn has the same options as for our API.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import stripe
import uvicorn
from fastapi import FastAPI, Request
from psycopg_pool import AsyncConnectionPool
from temporalio.client import Client

from api.server import SERVER_OPTIONS

TABLE = "naive_webhook_events"
WORKFLOW_COUNT = 20
POOL_SIZE = 10


def workflow_id(number: int) -> str:
    """Return the id of a running workflow that gets signals."""
    return f"naive-webhook-{number % WORKFLOW_COUNT}"


def make_app(database_url: str, temporal: str, namespace: str, secret: str) -> FastAPI:
    """Build the app from the addresses of a running stack."""
    held: dict[str, Any] = {}

    @asynccontextmanager
    async def run(_: FastAPI) -> AsyncIterator[None]:
        held["temporal"] = await Client.connect(temporal, namespace=namespace)
        async with AsyncConnectionPool(database_url, min_size=POOL_SIZE, open=False) as pool:
            held["pool"] = pool
            yield

    app = FastAPI(lifespan=run)

    @app.post("/naive")
    async def receive(request: Request) -> dict[str, bool]:
        body = await request.body()
        signature = request.headers["stripe-signature"]
        event = stripe.Webhook.construct_event(body, signature, secret)
        async with held["pool"].connection() as connection:
            await connection.execute(
                f"INSERT INTO {TABLE} (stripe_event_id, event_type, body) VALUES (%s, %s, %s)"  # noqa: S608 - a constant
                " ON CONFLICT DO NOTHING",
                (event.id, event.type, body),
            )
        signaled = held["temporal"].get_workflow_handle(workflow_id(int(event.id[-6:], 16)))
        await signaled.signal("hint", [event.id])
        return {"received": True}

    @app.post("/bare")
    async def answer(request: Request) -> dict[str, bool]:
        await request.body()
        return {"received": True}

    return app


def main() -> None:
    """Serve the app until SIGTERM."""
    given = (
        os.environ[f"NAIVE_{name}"] for name in ("DATABASE", "TEMPORAL", "NAMESPACE", "SECRET")
    )
    uvicorn.run(make_app(*given), host="127.0.0.1", port=int(sys.argv[1]), **SERVER_OPTIONS)


if __name__ == "__main__":
    main()
