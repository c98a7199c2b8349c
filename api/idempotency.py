"""Carries out a POST with an `Idempotency-Key` at most once, however often it is sent.

The key is inserted and committed before the work begins, and ids are derived from the caller, the
path and the key. So duplicates in parallel create one resource, and a POST that was interrupted
continues when it is sent again.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

import orjson
from fastapi import Depends, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.types import Scope

from api.deps import SessionsDep
from api.errors import PROBLEM_TYPE, problem_body
from api.http.card_guard import masked
from api.http.handled_request import note_created
from api.http.locations import location_of
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
# Reason: control characters are not allowed in a header, and PostgreSQL cannot store NUL.
KEY_PATTERN = r"^[^\x00-\x1f\x7f]+$"
LONG_BODY_BYTES = 64 * 1_024
# Statuses of refusals that had no effect: the key may be used again with a corrected body.
_WITHOUT_EFFECT = frozenset({401, 403, 404, 413, 422, 429})


@dataclass(frozen=True)
class Claim:
    """Ids that belong to one POST.

    Args:
        resource_id: Id of the resource that the POST creates.
        command_id: Id of the command that the POST sends; also the id of the update.
        claimed_at: When the first POST with these ids came.
    """

    resource_id: UUID
    command_id: UUID
    # Reason: a key that a refusal has freed is claimed anew, for the same POST.
    claimed_at: datetime = field(compare=False)


Work = Callable[[Claim], Awaitable[BaseModel]]


@dataclass(frozen=True)
class IdempotentRequest:
    """A POST that `run` carries out at most once under its key."""

    sessions: Sessions
    path: str
    key: str | None
    body: bytes
    scope: Scope = field(default_factory=dict)

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
        """Do the work, or return the stored answer if the work was done before.

        Args:
            caller_id: User who owns the key.
            work: Produces the answer; must change nothing when repeated with the same ids.
            status: Status code of the answer.
            location: Field of the answer that identifies the resource in `Location`.
            secret: Fields of the answer that are returned once and never stored.
            is_kept: Whether the answer is stored; if not, each repeat does the work again.

        Returns:
            The answer.

        Raises:
            ConflictError: The key was used with another body before.
            ApplicationError: The work failed; a 402 or 409 is stored as the answer.
        """
        if self.key is None:
            claim = Claim(uuid4(), uuid4(), datetime.now(UTC))
            note_created(self.scope, claim.resource_id, has_key=False)
            answer = await work(claim)
            return self._render(status, answer.model_dump(mode="json"), location)
        row = await self._claim_key(caller_id, self.key)
        note_created(self.scope, row.resource_id)
        if row.answer_status_code is not None and row.answer_data is not None:
            return self._render(row.answer_status_code, row.answer_data, location, is_replay=True)
        claim = _claim_of(row)
        try:
            data = (await work(claim)).model_dump(mode="json")
        except (ConflictError, PaymentRefusedError, EntitlementRequiredError) as error:
            await self._store_answer(row, error.http_status, _problem_document(error))
            raise
        except ApplicationError as error:
            # Reason: an error with a cause is a workflow's refusal, which Temporal keeps under
            # this command id; so the key stays bound to this body.
            if error.http_status in _WITHOUT_EFFECT and error.__cause__ is None:
                await self._delete_key(row)
            raise
        await self._store_answer(row, status, data | dict.fromkeys(secret) if is_kept else None)
        return self._render(status, data, location)

    async def _claim_key(self, caller_id: UUID, key: str) -> IdempotencyKey:
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
            message = "this idempotency key was used with another body before"
            raise ConflictError(message, "idempotency_key_reused")
        return row

    async def _store_answer(
        self, row: IdempotencyKey, status: int, data: dict[str, Any] | None
    ) -> None:
        async with self.sessions.begin() as session:
            repository = IdempotencyKeyRepository(session)
            await repository.answer(row.idempotency_key_id, status, data)

    async def _delete_key(self, row: IdempotencyKey) -> None:
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
            found = location_of({location: data[location]})
            headers["Location"] = found or f"{self.path}/{data[location]}"
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
            description="Makes it safe to repeat the request: same key and body, same answer. A "
            "secret in it, such as an API key, is returned once: a repeat has null there.",
        ),
    ] = None,
) -> IdempotentRequest:
    """Return the current POST with its idempotency key."""
    body = await request.body()
    return IdempotentRequest(sessions, request.url.path, idempotency_key, body, request.scope)


IdempotentDep = Annotated[IdempotentRequest, Depends(get_idempotent_request)]


def _claim_of(row: IdempotencyKey) -> Claim:
    return Claim(row.resource_id, command_id(row.caller_id, row.path, row.key), row.created_at)


def _problem_document(error: ApplicationError) -> dict[str, Any]:
    return problem_body(error.http_status, error.error_code, error.message, error.details)


async def _fingerprint(body: bytes, salt: str) -> str:
    """Return a digest of a body: of its canonical JSON, or of its bytes if it is not JSON."""
    # Reason: hashing a password is slow by design, and parsing a long body takes long too.
    if len(body) > LONG_BODY_BYTES or b'"password"' in body:
        return await asyncio.to_thread(_digest, body, salt)
    return _digest(body, salt)


def _digest(body: bytes, salt: str) -> str:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return hashlib.sha256(body).hexdigest()
    # Reason: a fast hash of a password, or any hash of a card number, must not be stored.
    if isinstance(document, dict) and isinstance(password := document.get("password"), str):
        document["password"] = _slow_hash(password, salt)
    text = masked(orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode())
    return hashlib.sha256(text.encode()).hexdigest()


def _slow_hash(password: str, salt: str) -> str:
    return hashlib.scrypt(password.encode(), salt=salt.encode(), n=2**14, r=8, p=1).hex()
