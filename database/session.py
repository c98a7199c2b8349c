"""The engine, and the sessions made from it."""

from sqlalchemy import ExceptionContext, event
from sqlalchemy.exc import (
    DataError,
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

# Reason: a foreign key names its table, which has to be known when the first statement is made.
import database.tables  # noqa: F401

Session = AsyncSession
Sessions = async_sessionmaker[AsyncSession]

# What the database raises while it is down or unreachable; trying again later can help.
DATABASE_DOWN: tuple[type[Exception], ...] = (OperationalError, InterfaceError, PoolTimeoutError)
# What the database raises for a value that no column can hold.
UNSTORABLE: type[Exception] = DataError
# All that it raises for what it can never do; trying again does not help.
DATABASE_REFUSED: tuple[type[Exception], ...] = (DataError, IntegrityError, ProgrammingError)
# Classes of PostgreSQL's codes that say something about its state, and nothing about our statement:
# connection, rollback, resources, locks, an operator's intervention, the system.
_PASSING_CLASSES = frozenset({"08", "40", "53", "55", "57", "58"})


def is_passing(error: Exception) -> bool:
    """Tell whether the same statement may succeed later.

    Args:
        error: Anything that was raised.

    Returns:
        False for what is wrong with the statement or its values, and for what is no error of
        the database.
    """
    if not isinstance(error, DATABASE_DOWN):
        return False
    code = getattr(getattr(error, "orig", None), "sqlstate", None)
    return code is None or code[:2] in _PASSING_CLASSES


def sqlalchemy_url(database_url: str) -> str:
    """Name psycopg 3 as the driver of a plain PostgreSQL URL."""
    scheme, _, rest = database_url.partition("://")
    if scheme.split("+")[0] not in {"postgres", "postgresql"}:
        raise ValueError(f"DATABASE_URL must start with postgresql://, not {scheme}://")
    return f"postgresql+psycopg://{rest}"


def make_engine(database_url: str, pool_size: int = 10) -> AsyncEngine:
    """Make a pooled engine that notices a server that went away.

    Args:
        database_url: `postgresql://user:password@host:port/name`.
        pool_size: Connections kept at the most.

    Returns:
        An engine; dispose of it at the end.
    """
    engine = create_async_engine(
        sqlalchemy_url(database_url),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=5,
        pool_pre_ping=True,
        # Reason: parameters are addresses, password hashes and texts, and errors go into logs.
        hide_parameters=True,
        connect_args={"connect_timeout": 5, "options": "-c timezone=UTC"},
    )
    event.listen(engine.sync_engine, "handle_error", _cut_details)
    return engine


def _cut_details(context: ExceptionContext) -> None:
    """Keep only the first line of what PostgreSQL says: its details quote whole rows."""
    for error in (context.original_exception, context.sqlalchemy_exception):
        if error is not None and error.args:
            error.args = (str(error.args[0]).partition("\n")[0], *error.args[1:])


def make_sessions(engine: AsyncEngine) -> Sessions:
    """Make sessions whose objects stay readable after commit."""
    return async_sessionmaker(engine, expire_on_commit=False)
