"""Migrates the database and prepares Temporal's namespace; safe to repeat."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from alembic import command
from alembic.config import Config

from adapters.temporal.schedules import ensure_schedules
from adapters.temporal.search_attributes import register
from bootstrap.clients import connect_temporal, open_sessions
from bootstrap.schedules import SCHEDULES
from config import Settings
from database.accounts.users import ensure_admin
from database.payment_retries.retry_policies import RetryPolicyRepository
from database.session import Session
from domain.errors import InvalidInputError
from domain.payment_retries.policy import DEFAULT_POLICY_NAME, RetryPolicy
from workflows.search_attributes import NAMES

PROJECT = Path(__file__).resolve().parent.parent
MIN_KEY_LENGTH = 32
ADMIN_EMAIL = "admin@perdure.example"
# For who wants to see a payment retry recover: all three charges are within a minute.
FAST_POLICY = RetryPolicy(
    schedules={"default": tuple(timedelta(seconds=seconds) for seconds in (10, 15, 20))},
)


def migrate_database(database_url: str) -> None:
    """Run all migrations that this database does not have yet.

    Args:
        database_url: `postgresql://user:password@host:port/name`.
    """
    alembic = Config(PROJECT / "alembic.ini")
    alembic.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))
    command.upgrade(alembic, "head")


async def prepare(settings: Settings, environ: Mapping[str, str], *, is_fast: bool = False) -> None:
    """Make search attributes, schedules, the retry policy and the first administrator.

    Args:
        settings: Settings of the database and of Temporal.
        environ: Variables with the first administrator's API key and email address; without a
            key no administrator is made.
        is_fast: Whether the retry policy `default` waits for seconds.

    Raises:
        ConflictError: The address belongs to a user who is not an administrator.
        ConnectError: Temporal cannot be reached.
        InvalidInputError: The API key is too short, or a policy in seconds is asked for with
            Stripe itself.
    """
    if is_fast and settings.stripe.is_real_stripe:
        raise InvalidInputError("--fast-retries needs the Stripe sandbox: STRIPE__API_BASE")
    client = await connect_temporal(settings)
    await register(client, NAMES)
    await ensure_schedules(client, SCHEDULES)
    async with open_sessions(settings) as sessions, sessions.begin() as session:
        await _set_policy(session, is_fast=is_fast)
        if api_key := environ.get("PERDURE_ADMIN_API_KEY"):
            if len(api_key) < MIN_KEY_LENGTH:
                raise InvalidInputError(
                    f"PERDURE_ADMIN_API_KEY: must have at least {MIN_KEY_LENGTH} characters"
                )
            await ensure_admin(session, environ.get("PERDURE_ADMIN_EMAIL") or ADMIN_EMAIL, api_key)


async def _set_policy(session: Session, *, is_fast: bool) -> None:
    policies = RetryPolicyRepository(session)
    latest = await policies.latest(DEFAULT_POLICY_NAME)
    was_fast = latest is not None and latest.policy == FAST_POLICY
    if is_fast != was_fast:
        await policies.put(DEFAULT_POLICY_NAME, FAST_POLICY if is_fast else RetryPolicy())
