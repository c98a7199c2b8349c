"""Routes for conversations and their messages."""

from uuid import UUID

from fastapi.responses import JSONResponse

from api.deps import CallerDep, PagingDep, ScopeDep, SessionsDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.lookup import or_404, read_seq, resolve_user_id
from api.openapi.problems import no_such, problems
from api.schemas.common import Listing
from api.schemas.conversations import ConversationOut, MessageOut, NewConversation
from database.agents.conversations import ConversationRepository
from database.agents.messages import MessageRepository

router = ApiRouter(prefix="/conversations", tags=["conversations"])


@router.post(
    "",
    status_code=201,
    response_model=ConversationOut,
    responses=problems(no_such("user")),
)
async def create_conversation(
    caller: CallerDep,
    sessions: SessionsDep,
    once: IdempotentDep,
    body: NewConversation | None = None,
) -> JSONResponse:
    """Create a conversation. A run without `conversation_id` creates one too."""
    conversation = body or NewConversation()
    user_id = await resolve_user_id(sessions, caller, conversation.user_id)

    async def work(claim: Claim) -> ConversationOut:
        async with sessions.begin() as session:
            repository = ConversationRepository(session)
            await repository.put(claim.resource_id, user_id, conversation.title)
            row = await repository.get(claim.resource_id, user_id)
        return ConversationOut.model_validate(or_404(row, "conversation"))

    return await once.run(caller.user_id, work, status=201, location="conversation_id")


@router.get("", responses=problems(no_such("user")))
async def list_conversations(
    scope: ScopeDep,
    sessions: SessionsDep,
    paging: PagingDep,
) -> Listing[ConversationOut]:
    """List conversations, newest first."""
    async with sessions() as session:
        repository = ConversationRepository(session)
        page = await repository.list(scope, paging.limit, paging.cursor)
    return Listing[ConversationOut].of(page, ConversationOut.model_validate)


@router.get("/{conversation_id}/messages", responses=problems(no_such("conversation")))
async def list_conversation_messages(
    conversation_id: UUID,
    caller: CallerDep,
    sessions: SessionsDep,
    paging: PagingDep,
) -> Listing[MessageOut]:
    """List messages, oldest first. `cursor` is the number of the last message seen."""
    after = read_seq(paging.cursor)
    async with sessions() as session:
        repository = ConversationRepository(session)
        or_404(await repository.get(conversation_id, caller.scope), "conversation")
        rows = await MessageRepository(session).list(conversation_id, after, paging.limit + 1)
    shown = rows[: paging.limit]
    return Listing[MessageOut](
        items=[MessageOut.of(row) for row in shown],
        next_cursor=str(shown[-1].seq) if len(rows) > paging.limit else None,
    )
