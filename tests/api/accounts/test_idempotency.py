"""The same key and body: one thing, one answer."""

from uuid import uuid4

import httpx
import pytest
from pydantic import BaseModel
from sqlalchemy import func, select

from api.http.body_limits import PayloadTooLargeError
from api.idempotency import Claim, IdempotentRequest
from database.accounts.models import ApiKey, IdempotencyKey
from database.session import Sessions
from domain.errors import (
    ApplicationError,
    ConflictError,
    EntitlementRequiredError,
    ForbiddenError,
    IllegalCommandError,
    InvalidInputError,
    NotFoundError,
    OutcomePendingError,
    PaymentRefusedError,
    ProviderRejectedError,
    UnauthorizedError,
    UnavailableError,
)
from tests.api.conftest import API, PASSWORD, Person, problem


async def count_keys(sessions: Sessions, user: Person) -> int:
    async with sessions() as session:
        statement = select(func.count()).where(ApiKey.user_id == user.user_id)
        return await session.scalar(statement) or 0


async def rows(sessions: Sessions, caller: Person) -> list[IdempotencyKey]:
    async with sessions() as session:
        statement = select(IdempotencyKey).where(IdempotencyKey.caller_id == caller.user_id)
        return list(await session.scalars(statement))


async def test_an_answer_is_replayed_and_says_so(user: Person, sessions: Sessions) -> None:
    first = await user.post("api-keys", key="k", name="one")
    second = await user.post("api-keys", key="k", name="one")
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert await count_keys(sessions, user) == 1


async def test_the_meaning_of_a_body_counts_not_its_bytes(user: Person) -> None:
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    url = f"{API}/api-keys"
    first = await user.http.post(url, content=b'{"name":"one"}', headers=headers)
    second = await user.http.post(url, content=b' { "name" : "one" } ', headers=headers)
    assert first.json()["api_key_id"] == second.json()["api_key_id"]
    third = await user.http.post(url, content=b'{"name":"two"}', headers=headers)
    problem(third, 409, "idempotency_key_reused")


async def test_keys_belong_to_callers(user: Person, other: Person) -> None:
    mine = await user.post("api-keys", key="same", name="one")
    theirs = await other.post("api-keys", key="same", name="two")
    assert (mine.status_code, theirs.status_code) == (201, 201)
    assert mine.json()["api_key_id"] != theirs.json()["api_key_id"]


async def test_without_a_key_nothing_is_stored(user: Person, sessions: Sessions) -> None:
    for _ in range(2):
        assert (await user.post("api-keys", name="one")).status_code == 201
    assert await count_keys(sessions, user) == 2
    assert await rows(sessions, user) == []


class Answer(BaseModel):
    done: int


KEPT = [ConflictError, IllegalCommandError, PaymentRefusedError, EntitlementRequiredError]
FREED = [UnauthorizedError, ForbiddenError, NotFoundError, InvalidInputError, PayloadTooLargeError]
DONE_AGAIN = [UnavailableError, OutcomePendingError, ProviderRejectedError]


@pytest.mark.parametrize("kind", [*KEPT, *FREED, *DONE_AGAIN])
@pytest.mark.parametrize("is_of_workflow", [False, True])
async def test_only_final_answers_are_kept(
    sessions: Sessions, kind: type[ApplicationError], is_of_workflow: bool
) -> None:
    caller_id, ids = uuid4(), []

    async def work(claim: Claim) -> Answer:
        ids.append(claim)
        if len(ids) == 1:
            raise kind("no", "some_code") from (ValueError() if is_of_workflow else None)
        return Answer(done=len(ids))

    once = IdempotentRequest(sessions, "/probe", "k", b"{}")
    with pytest.raises(kind):
        await once.run(caller_id, work)
    again = await once.run(caller_id, work)
    if kind in KEPT:
        assert (again.status_code, len(ids)) == (kind.http_status, 1)
        assert again.headers["content-type"] == "application/problem+json"
        assert again.headers["idempotency-replayed"] == "true"
    else:
        assert (again.status_code, again.body) == (200, b'{"done":2}')
        assert ids[0] == ids[1]
    other = IdempotentRequest(sessions, "/probe", "k", b'{"other": 1}')
    with pytest.raises(ConflictError, match="another body"):
        await other.run(caller_id, work)


@pytest.mark.parametrize("kind", FREED)
async def test_what_left_nothing_behind_frees_its_key(
    sessions: Sessions, kind: type[ApplicationError]
) -> None:
    caller_id = uuid4()

    async def refuse(_: Claim) -> Answer:
        raise kind("no")

    async def work(_: Claim) -> Answer:
        return Answer(done=1)

    with pytest.raises(kind):
        await IdempotentRequest(sessions, "/probe", "k", b"{}").run(caller_id, refuse)
    better = IdempotentRequest(sessions, "/probe", "k", b'{"better": 1}')
    assert (await better.run(caller_id, work)).status_code == 200


async def test_bad_input_uses_up_no_key(user: Person, sessions: Sessions) -> None:
    problem(await user.post("api-keys", key="k", name=""), 422, "invalid_input")
    assert await rows(sessions, user) == []
    assert (await user.post("api-keys", key="k", name="one")).status_code == 201


async def test_a_key_must_have_a_length(user: Person) -> None:
    problem(await user.post("api-keys", key="k" * 256, name="one"), 422, "invalid_input")


async def test_what_was_not_found_uses_up_no_key(user: Person, sessions: Sessions) -> None:
    missing = {"plan_id": str(uuid4())}
    problem(await user.post("subscriptions", key="k", **missing), 404, "not_found")
    assert await rows(sessions, user) == []


async def test_a_refusal_is_replayed(
    stranger: httpx.AsyncClient,
    admin: Person,
    user: Person,
) -> None:
    key = uuid4().hex
    body = {"email": user.email, "password": PASSWORD}
    first = await admin.post("users", key=key, **body)
    second = await admin.post("users", key=key, **body)
    assert problem(first, 409, "email_taken") == problem(second, 409, "email_taken")
    assert second.headers["idempotency-replayed"] == "true"


async def test_no_password_and_no_key_lies_in_the_table(
    admin: Person,
    sessions: Sessions,
) -> None:
    body = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD}
    await admin.post("users", key=uuid4().hex, **body)
    made = await admin.post("api-keys", key=uuid4().hex, name="secret")
    for row in await rows(sessions, admin):
        assert PASSWORD not in str(row.answer_data)
        assert made.json()["api_key"] not in str(row.answer_data)
