"""The engine, and the sessions made from it."""

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

Sessions = async_sessionmaker[AsyncSession]

# What the database raises while it is down or not to be reached; trying again later can help.
DATABASE_DOWN: tuple[type[Exception], ...] = (OperationalError, InterfaceError, PoolTimeoutError)
# What the database raises for a value that no column can hold.
UNSTORABLE: type[Exception] = DataError
# All that it raises for what it can never do; trying again does not help.
DATABASE_REFUSED: tuple[type[Exception], ...] = (DataError, IntegrityError, ProgrammingError)


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
    return create_async_engine(
        sqlalchemy_url(database_url),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=5,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 5, "options": "-c timezone=UTC"},
    )


def make_sessions(engine: AsyncEngine) -> Sessions:
    """Make sessions whose objects stay readable after commit."""
    return async_sessionmaker(engine, expire_on_commit=False)
