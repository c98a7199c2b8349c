"""Routes for what agents remember about users."""

from typing import Annotated
from uuid import UUID

from fastapi import Query

from api.deps import CallerDep, PagingDep, SessionsDep
from api.http.routing import ApiRouter
from api.knowledge import KnowledgeDep
from api.lookup import resolve_user_id
from api.openapi.problems import CHROMA_DOWN, no_such, problems
from api.schemas.common import MASKED, Listing
from api.schemas.memories import MemoryOut
from domain.errors import InvalidInputError, NotFoundError
from domain.knowledge.documents import Memory

router = ApiRouter(prefix="/memories", tags=["memories"])


@router.get("", responses=problems(no_such("user"), CHROMA_DOWN))
async def list_memories(
    caller: CallerDep,
    sessions: SessionsDep,
    knowledge: KnowledgeDep,
    paging: PagingDep,
    query: Annotated[
        Annotated[str, MASKED] | None,
        Query(
            min_length=1,
            max_length=1_000,
            description="Ranks the memories by meaning, and returns one page.",
        ),
    ] = None,
    user_id: Annotated[
        UUID | None,
        Query(
            description="User whose memories are listed. Only administrators may name another user."
        ),
    ] = None,
) -> Listing[MemoryOut]:
    """List the memories of a user: newest first, or with `query` the best match first."""
    owner_id = await resolve_user_id(sessions, caller, user_id)
    if query is not None:
        if paging.cursor is not None:
            raise InvalidInputError("there is one page of matches only", "invalid_cursor")
        memories = await knowledge.library.search_memories(owner_id, query, paging.limit)
        return Listing[MemoryOut](items=[_render(memory) for memory in memories])
    page = await knowledge.manager.list_memories(owner_id, paging.limit, paging.cursor)
    return Listing[MemoryOut].of(page, _render)


@router.delete("/{memory_id}", status_code=204, responses=problems(no_such("memory"), CHROMA_DOWN))
async def delete_memory(memory_id: UUID, caller: CallerDep, knowledge: KnowledgeDep) -> None:
    """Delete a memory."""
    if not await knowledge.manager.forget_memory(memory_id, caller.scope):
        raise NotFoundError("there is no such memory")


def _render(memory: Memory) -> MemoryOut:
    return MemoryOut.model_validate(memory)
