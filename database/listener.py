"""Listens to notifications of PostgreSQL on a separate connection."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import psycopg
from psycopg import sql

from domain.errors import UnavailableError

APPLICATION_NAME = "perdure-listener"
# Reason: no data is sent on such a connection, so only TCP keepalives detect a lost server.
_KEEPALIVE: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


@asynccontextmanager
async def listening(
    database_url: str,
    channel: str,
) -> AsyncIterator[AsyncGenerator[str, None]]:
    """Listen to a channel of PostgreSQL's LISTEN and NOTIFY.

    Args:
        database_url: `postgresql://user:password@host:port/name`; must not lead to a pooler in
            transaction mode.
        channel: Name of the channel.

    Yields:
        An endless generator of payloads sent from now on.

    Raises:
        UnavailableError: The connection failed or broke.
    """
    scheme, _, rest = database_url.partition("://")
    address = f"{scheme.partition('+')[0]}://{rest}"
    try:
        async with await psycopg.AsyncConnection.connect(
            address,
            autocommit=True,
            connect_timeout=5,
            application_name=APPLICATION_NAME,
            **_KEEPALIVE,
        ) as connection:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            async with aclosing(_payloads(connection)) as payloads:
                yield payloads
    except psycopg.Error as error:
        raise UnavailableError("the notifications of the database cannot be received") from error


async def _payloads(
    connection: psycopg.AsyncConnection[tuple[object, ...]],
) -> AsyncGenerator[str, None]:
    async with aclosing(connection.notifies()) as notifications:
        async for notification in notifications:
            yield notification.payload
