"""Copies a conversation up to a step of a run, so that another run goes on from there."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from database.agents.conversations import ConversationRepository, ForkRepository
from database.agents.models import AgentRun
from domain.errors import InvalidInputError
from domain.ids import agent_run_workflow_id


async def fork_conversation(
    session: AsyncSession, run: AgentRun, step: int, conversation_id: UUID
) -> None:
    """Copy what the model had read before a step of a run; the same call again changes nothing.

    The copy shares the effects of its origin: what was done there under a business key, such as a
    refund, is not done again here.

    Args:
        session: The caller's transaction.
        run: The run.
        step: Number of the step, from 0, whose answer is left out, with all that came after it.
        conversation_id: Id of the new conversation.

    Raises:
        InvalidInputError: The run has not begun, or has no such step (`unknown_step`).
    """
    conversations, messages = ConversationRepository(session), ForkRepository(session)
    if await conversations.get(conversation_id, None) is not None:
        return
    prefix = agent_run_workflow_id(run.agent_run_id)
    before = await messages.seq_of(f"{prefix}:step:{step}")
    if before is None:
        # Reason: a run may be forked where it stands, before a step that it has not made.
        last = f"{prefix}:step:{step - 1}" if step else f"{prefix}:input"
        if await messages.seq_of(last) is None:
            raise unknown_step(step)
    await conversations.put_fork(conversation_id, run.user_id, run.conversation_id)
    await messages.copy(run.conversation_id, conversation_id, before)


def unknown_step(step: int) -> InvalidInputError:
    """Return the error for a step that a run has not reached."""
    return InvalidInputError("the run has no such step", "unknown_step", {"step": step})
