"""Creates the database engine and its sessions, and classifies database errors."""

import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Connection, ExceptionContext, event
from sqlalchemy.exc import (
    DataError,
    DisconnectionError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

# Reason: all tables must be registered before the first statement, because foreign keys name them.
import database.tables  # noqa: F401

Session = AsyncSession
Sessions = async_sessionmaker[AsyncSession]

# Errors while the database is down or unreachable; the statement may succeed later.
DATABASE_DOWN: tuple[type[Exception], ...] = (OperationalError, InterfaceError, PoolTimeoutError)
# Error for a value that a column cannot store.
UNSTORABLE: type[Exception] = DataError
# Errors for statements or values that the database can never accept; a retry does not help.
DATABASE_REFUSED: tuple[type[Exception], ...] = (DataError, IntegrityError, ProgrammingError)
# Classes of PostgreSQL's error codes that concern its state and not our statement: connection,
# rollback, resources, locks, an operator's intervention, the system.
_PASSING_CLASSES = frozenset({"08", "40", "53", "55", "57", "58"})


def is_transient_database_error(error: Exception) -> bool:
    """Tell whether the same statement may succeed later.

    Args:
        error: Any exception.

    Returns:
        False for errors in the statement or its values, and for other exceptions.
    """
    if not isinstance(error, DATABASE_DOWN):
        return False
    code = getattr(getattr(error, "orig", None), "sqlstate", None)
    return code is None or code[:2] in _PASSING_CLASSES


def sqlalchemy_url(database_url: str) -> str:
    """Return a plain PostgreSQL URL with psycopg 3 as driver, as SQLAlchemy needs it."""
    scheme, _, rest = database_url.partition("://")
    if scheme.split("+")[0] not in {"postgres", "postgresql"}:
        raise ValueError(f"DATABASE_URL must start with postgresql://, not {scheme}://")
    return f"postgresql+psycopg://{rest}"


def make_engine(database_url: str, pool_size: int = 10) -> AsyncEngine:
    """Return a pooled engine that replaces connections which the server has closed.

    Args:
        database_url: `postgresql://user:password@host:port/name`.
        pool_size: Most connections of the pool.

    Returns:
        An engine; the caller disposes of it at the end.
    """
    engine = create_async_engine(
        sqlalchemy_url(database_url),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=5,
        # Reason: parameters may be email addresses or password hashes, and errors go into logs.
        hide_parameters=True,
        connect_args={"connect_timeout": 5, "options": "-c timezone=UTC"},
    )
    event.listen(engine.sync_engine, "handle_error", _cut_details)
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _refuse_closed(dbapi_connection: Any, _record: object, _proxy: object) -> None:
    """Refuse a pooled connection that the server has closed; the pool then opens another one.

    Raises:
        DisconnectionError: The connection is closed.
    """
    # Reason: on an idle connection the server says nothing unless it closes it, and looking at the
    # socket spares the round trip of `pool_pre_ping`.
    connection, poll = dbapi_connection.driver_connection, select.poll()
    if not connection.closed:
        poll.register(connection.fileno(), select.POLLIN)
    if connection.closed or poll.poll(0):
        raise DisconnectionError("the server has closed the connection")


def _cut_details(context: ExceptionContext) -> None:
    """Cut an error message to its first line, because PostgreSQL's details quote whole rows."""
    for error in (context.original_exception, context.sqlalchemy_exception):
        if error is not None and error.args:
            error.args = (str(error.args[0]).partition("\n")[0], *error.args[1:])


def _read_without_transaction(connection: Connection) -> None:
    """Let each statement of a connection be a transaction of its own."""
    try:
        # Reason: BEGIN and ROLLBACK around each read are two round trips that protect nothing.
        connection.execution_options(isolation_level="AUTOCOMMIT")
    except BaseException:
        # Reason: a task may be cancelled here, and nobody else has this connection yet to close it;
        # it may have changed in part, so it is not used again.
        connection.invalidate()
        connection.close()
        raise


class _Sessions(async_sessionmaker[AsyncSession]):
    """Sessions that read, each statement in a transaction of its own, and `begin` to write."""

    def __init__(self, engine: AsyncEngine) -> None:
        reading = engine.execution_options()
        event.listen(reading.sync_engine, "engine_connect", _read_without_transaction)
        super().__init__(reading, expire_on_commit=False)
        self._engine = engine

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSession]:  # type: ignore[override]
        """Open a session within a transaction, which is committed at the end."""
        async with self(bind=self._engine) as session, session.begin():
            yield session


def make_sessions(engine: AsyncEngine) -> Sessions:
    """Return a factory of sessions whose objects stay readable after a commit.

    Args:
        engine: Engine of the database.

    Returns:
        A factory: `sessions()` for reads, `sessions.begin()` for a transaction.
    """
    return _Sessions(engine)
