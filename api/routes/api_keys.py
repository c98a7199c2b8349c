"""Routes for API keys."""

from uuid import UUID

from fastapi.responses import JSONResponse

from api.deps import CallerDep, PagingDep, ScopeDep, SessionsDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.openapi.problems import no_such, problems
from api.schemas.accounts import ApiKeyOut, CreatedApiKeyOut, NewApiKey
from api.schemas.common import Listing
from database.accounts.api_keys import ApiKeyRepository
from domain.accounts.credentials import make_api_key
from domain.errors import NotFoundError

router = ApiRouter(prefix="/api-keys", tags=["api-keys"])


@router.post(
    "",
    status_code=201,
    response_model=CreatedApiKeyOut,
)
async def create_api_key(
    body: NewApiKey,
    caller: CallerDep,
    sessions: SessionsDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Create a key with the caller's own rights. It is shown once: only a digest is stored."""

    async def work(claim: Claim) -> CreatedApiKeyOut:
        api_key = make_api_key()
        async with sessions.begin() as session:
            row, is_new = await ApiKeyRepository(session).add(
                claim.resource_id,
                caller.user_id,
                body.name,
                api_key,
            )
        facts = ApiKeyOut.model_validate(row).model_dump()
        return CreatedApiKeyOut(**facts, api_key=api_key if is_new else None)

    return await once.run(caller.user_id, work, status=201, secret=["api_key"])


@router.get("", responses=problems(no_such("user")))
async def list_api_keys(
    caller: CallerDep,
    scope: ScopeDep,
    sessions: SessionsDep,
    paging: PagingDep,
) -> Listing[ApiKeyOut]:
    """List a user's keys that are not revoked, newest first; by default the caller's keys."""
    async with sessions() as session:
        repository = ApiKeyRepository(session)
        page = await repository.list(scope or caller.user_id, paging.limit, paging.cursor)
    return Listing[ApiKeyOut].of(page, ApiKeyOut.model_validate)


@router.delete("/{api_key_id}", status_code=204, responses=problems(no_such("API key")))
async def revoke_api_key(api_key_id: UUID, caller: CallerDep, sessions: SessionsDep) -> None:
    """Revoke a key permanently."""
    async with sessions.begin() as session:
        if not await ApiKeyRepository(session).revoke(api_key_id, caller.scope):
            raise NotFoundError("there is no such API key")
