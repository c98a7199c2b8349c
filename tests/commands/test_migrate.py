"""What `migrate` prepares besides the tables: the first administrator and the retry policy."""

from uuid import uuid4

import pytest
from temporalio.client import Client

from commands.migrate import FAST_POLICY, prepare
from config import Settings
from database.accounts.api_keys import ApiKeyRepository
from database.payment_retries.retry_policies import RetryPolicyRepository
from database.session import Sessions
from domain.accounts.credentials import make_api_key
from domain.errors import InvalidInputError
from domain.payment_retries.policy import DEFAULT_POLICY_NAME, RetryPolicy, VersionedPolicy
from tests.unit.test_commands import reaching


async def default_policy(sessions: Sessions) -> VersionedPolicy:
    async with sessions() as session:
        found = await RetryPolicyRepository(session).latest(DEFAULT_POLICY_NAME)
    assert found is not None
    return found


async def test_the_first_administrator_is_made_once(
    settings: Settings,
    dev_server: Client,
    sessions: Sessions,
    capfd: pytest.CaptureFixture[str],
) -> None:
    email, key = f"Root-{uuid4().hex}@example.com", make_api_key()
    given = {"PERDURE_ADMIN_API_KEY": key, "PERDURE_ADMIN_EMAIL": email}
    for _ in range(2):
        await prepare(reaching(settings, dev_server), given)
    async with sessions() as session:
        owner = await ApiKeyRepository(session).owner(key)
    assert owner is not None
    assert (owner[0].email, owner[0].role) == (email.lower(), "admin")
    shown = capfd.readouterr()
    assert key not in shown.out + shown.err


async def test_a_key_that_can_be_guessed_is_refused(settings: Settings, dev_server: Client) -> None:
    with pytest.raises(InvalidInputError, match="at least 32 characters") as caught:
        await prepare(reaching(settings, dev_server), {"PERDURE_ADMIN_API_KEY": "secret"})
    assert "secret" not in caught.value.message


async def test_the_fast_policy_is_there_as_long_as_it_is_asked_for(
    settings: Settings, dev_server: Client, sessions: Sessions
) -> None:
    here = reaching(settings, dev_server)
    before = await default_policy(sessions)
    await prepare(here, {})
    assert await default_policy(sessions) == before
    await prepare(here, {}, is_fast=True)
    fast = await default_policy(sessions)
    await prepare(here, {}, is_fast=True)
    assert await default_policy(sessions) == fast
    assert fast.policy == FAST_POLICY
    await prepare(here, {})
    assert (await default_policy(sessions)).policy == RetryPolicy()
