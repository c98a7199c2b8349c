"""Migrates the database and prepares Temporal's namespace; safe to repeat."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from adapters.temporal.schedules import ensure_schedules
from adapters.temporal.search_attributes import register
from bootstrap.clients import connect_temporal, open_sessions
from bootstrap.schedules import SCHEDULES
from config import Settings
from database.accounts.users import ensure_admin
from workflows.search_attributes import NAMES

PROJECT = Path(__file__).resolve().parent.parent
ADMIN_EMAIL = "admin@perdure.example"


def migrate_database(database_url: str) -> None:
    """Run all migrations that this database does not have yet.

    Args:
        database_url: `postgresql://user:password@host:port/name`.
    """
    alembic = Config(PROJECT / "alembic.ini")
    alembic.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))
    command.upgrade(alembic, "head")


async def prepare(settings: Settings, admin_api_key: str | None) -> None:
    """Register the search attributes, make the schedules, and make the first administrator.

    Args:
        settings: Settings of the database and of Temporal.
        admin_api_key: The administrator's API key; None makes no administrator.

    Raises:
        RuntimeError: Temporal cannot be reached.
    """
    client = await connect_temporal(settings)
    await register(client, NAMES)
    await ensure_schedules(client, SCHEDULES)
    if admin_api_key is None:
        return
    async with open_sessions(settings) as sessions, sessions.begin() as session:
        await ensure_admin(session, ADMIN_EMAIL, admin_api_key)
