"""Alembic environment; the database URL comes from the command or from DATABASE_URL."""

import os

from alembic import context
from sqlalchemy import create_engine, pool

from database.session import sqlalchemy_url
from database.tables import METADATA

# Reason: a migration must fail rather than make all requests wait for its lock.
LOCK_TIMEOUT = "5s"


def run() -> None:
    """Run the migrations in one transaction."""
    url = context.config.get_main_option("sqlalchemy.url") or os.environ["DATABASE_URL"]
    engine = create_engine(
        sqlalchemy_url(url),
        poolclass=pool.NullPool,
        connect_args={"options": f"-c lock_timeout={LOCK_TIMEOUT}"},
    )
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=METADATA)
        with context.begin_transaction():
            context.run_migrations()


run()
