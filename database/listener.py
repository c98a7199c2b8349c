"""A connection of its own that hears PostgreSQL's notices."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import psycopg
from psycopg import sql

from domain.errors import UnavailableError

APPLICATION_NAME = "perdure-listener"
# Reason: nothing is sent on such a connection, so only the kernel notices a server that is gone.
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
    """Listen to a channel.

    Args:
        database_url: `postgresql://user:password@host:port/name`; no pooler that hands a connection
            to another client after each transaction.
        channel: Its name.

    Yields:
        The payloads, from this moment on, without end.

    Raises:
        UnavailableError: The connection broke, or there is none.
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
        raise UnavailableError("the database's notices are not to be heard") from error


async def _payloads(
    connection: psycopg.AsyncConnection[tuple[object, ...]],
) -> AsyncGenerator[str, None]:
    async with aclosing(connection.notifies()) as notices:
        async for notice in notices:
            yield notice.payload
