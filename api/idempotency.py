"""`Idempotency-Key`: one POST is done once, however often it is sent.

Insert, commit, *then* work, with ids that come out the same for the same caller, path and key: so
twins in parallel make one resource, and what broke in the middle is taken up again.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID, uuid4

import orjson
from fastapi import Depends, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from api.deps import SessionsDep
from api.errors import PROBLEM_TYPE, problem_body
from api.http.card_guard import masked
from api.schemas.common import NO_CARD
from database.accounts.idempotency_keys import IdempotencyKeyRepository
from database.accounts.models import IdempotencyKey
from database.session import Sessions
from domain.errors import (
    ApplicationError,
    ConflictError,
    EntitlementRequiredError,
    PaymentRefusedError,
)
from domain.ids import command_id, resource_id

REPLAYED = "Idempotency-Replayed"
# Reason: control characters have no place in a header, and PostgreSQL stores no NUL.
KEY_PATTERN = r"^[^\x00-\x1f\x7f]+$"
LONG_BODY_BYTES = 64 * 1_024
# What was refused, and left nothing behind: the key may come again with a better body.
_NOT_KEPT = frozenset({401, 403, 404, 413, 422, 429})


@dataclass(frozen=True)
class Claim:
    """The ids that belong to one POST.

    Args:
        resource_id: Of what it makes.
        command_id: Of the command that it sends; also the update's id.
    """

    resource_id: UUID
    command_id: UUID


Work = Callable[[Claim], Awaitable[BaseModel]]


@dataclass(frozen=True)
class IdempotentRequest:
    """One POST, which `run` does at most once under its key."""

    sessions: Sessions
    path: str
    key: str | None
    body: bytes

    async def run(
        self,
        caller_id: UUID,
        work: Work,
        *,
        status: int = 200,
        location: str | None = None,
        secret: Collection[str] = (),
        is_kept: bool = True,
    ) -> JSONResponse:
        """Do the work, or give the answer that it had.

        Args:
            caller_id: Whose key this is.
            work: Makes the answer; doing it again with the same ids must change nothing.
            status: The answer's status code.
            location: The answer's field that names the resource in `Location`.
            secret: Fields of the answer that are given once and never kept.
            is_kept: False does the work again every time, because its answer must not be stored.

        Returns:
            The answer.

        Raises:
            ConflictError: The key came with another body before.
            ApplicationError: What the work raises; a refusal (402, 409) is kept as an answer.
        """
        if self.key is None:
            answer = await work(Claim(uuid4(), uuid4()))
            return self._render(status, answer.model_dump(mode="json"), location)
        row = await self._take(caller_id, self.key)
        if row.answer_status_code is not None and row.answer_data is not None:
            return self._render(row.answer_status_code, row.answer_data, location, is_replay=True)
        claim = Claim(row.resource_id, command_id(caller_id, self.path, self.key))
        try:
            data = (await work(claim)).model_dump(mode="json")
        except (ConflictError, PaymentRefusedError, EntitlementRequiredError) as error:
            await self._keep(row, error.http_status, _document(error))
            raise
        except ApplicationError as error:
            # Reason: what a workflow refused stands under this id, and is refused again.
            if error.http_status in _NOT_KEPT and error.__cause__ is None:
                await self._forget(row)
            raise
        await self._keep(row, status, data | dict.fromkeys(secret) if is_kept else None)
        return self._render(status, data, location)

    async def _take(self, caller_id: UUID, key: str) -> IdempotencyKey:
        fingerprint = await _fingerprint(self.body, salt=f"{caller_id}{self.path}{key}")
        async with self.sessions.begin() as session:
            row = await IdempotencyKeyRepository(session).take(
                caller_id,
                self.path,
                key,
                fingerprint,
                resource_id(caller_id, self.path, key),
            )
        if row.body_sha256 != fingerprint:
            message = "this idempotency key came with another body before"
            raise ConflictError(message, "idempotency_key_reused")
        return row

    async def _keep(self, row: IdempotencyKey, status: int, data: dict[str, Any] | None) -> None:
        async with self.sessions.begin() as session:
            repository = IdempotencyKeyRepository(session)
            await repository.answer(row.idempotency_key_id, status, data)

    async def _forget(self, row: IdempotencyKey) -> None:
        async with self.sessions.begin() as session:
            await IdempotencyKeyRepository(session).forget(row.idempotency_key_id)

    def _render(
        self,
        status: int,
        data: dict[str, Any],
        location: str | None,
        *,
        is_replay: bool = False,
    ) -> JSONResponse:
        is_problem = status >= 400
        headers = {REPLAYED: "true"} if is_replay else {}
        if location is not None and not is_problem:
            headers["Location"] = f"{self.path}/{data[location]}"
        media_type = PROBLEM_TYPE if is_problem else None
        return JSONResponse(data, status, headers=headers, media_type=media_type)


async def get_idempotent_request(
    request: Request,
    sessions: SessionsDep,
    idempotency_key: Annotated[
        Annotated[str, NO_CARD] | None,
        Header(
            min_length=1,
            max_length=255,
            pattern=KEY_PATTERN,
            description="Makes sending this again safe: same key and body, same answer.",
        ),
    ] = None,
) -> IdempotentRequest:
    """Return the POST at hand."""
    return IdempotentRequest(sessions, request.url.path, idempotency_key, await request.body())


IdempotentDep = Annotated[IdempotentRequest, Depends(get_idempotent_request)]


def _document(error: ApplicationError) -> dict[str, Any]:
    return problem_body(error.http_status, error.error_code, error.message, error.details)


async def _fingerprint(body: bytes, salt: str) -> str:
    """Tell bodies apart: by their meaning if they are JSON, else by their bytes."""
    # Reason: hashing a password takes long on purpose, and so does reading a long text.
    if len(body) > LONG_BODY_BYTES or b'"password"' in body:
        return await asyncio.to_thread(_digest, body, salt)
    return _digest(body, salt)


def _digest(body: bytes, salt: str) -> str:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return hashlib.sha256(body).hexdigest()
    # Reason: a quick hash of a password, or of a card number, must not lie in a table.
    if isinstance(document, dict) and isinstance(password := document.get("password"), str):
        document["password"] = _slow_hash(password, salt)
    text = masked(orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode())
    return hashlib.sha256(text.encode()).hexdigest()


def _slow_hash(password: str, salt: str) -> str:
    return hashlib.scrypt(password.encode(), salt=salt.encode(), n=2**14, r=8, p=1).hex()
