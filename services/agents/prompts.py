"""What a step of a run works with: its spec, and what the model gets to read."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from agents.guards import fence_titled, warning
from agents.registry import find_agent, prompt_text
from agents.spec import AgentSpec
from agents.tools import TOOLS
from database.agents.messages import MessageRepository
from database.agents.models import AgentRun, Message
from domain.agents.citations import CitedPassage
from domain.agents.context import NumberedPassage, Sources, assemble
from domain.llm.messages import (
    ChatMessage,
    GivenCall,
    ProviderParts,
    RequestedCall,
    Role,
    ToolDefinition,
)
from domain.llm.token_estimates import worst_case_of_message, worst_case_of_tools


class Prompt(NamedTuple):
    """What is asked of a model in one step.

    Args:
        spec: Of the agent.
        messages: The system's first.
        tools: What it may call.
        token_count: All of it, at its worst case.
        last_seq: The number of the newest message that was there to be read.
        read_count: How many messages it holds that were added to the run.
    """

    spec: AgentSpec
    messages: tuple[ChatMessage, ...]
    tools: tuple[ToolDefinition, ...]
    token_count: int
    last_seq: int
    read_count: int


async def read_prompt(session: AsyncSession, run: AgentRun, token_limit: int) -> Prompt:
    """Put together what the model gets to read, from the rows alone.

    Args:
        session: Where to read.
        run: Which run; its prompt's version is pinned.
        token_limit: What the model can read, at its worst case.

    Returns:
        The prompt.

    Raises:
        InvalidInputError: The newest message is longer than the model can read.
        NotFoundError: The agent, or its prompt, is not there any more.
    """
    spec = find_agent(run.agent)
    tools = tuple(TOOLS[name].definition for name in spec.tools)
    rows = await MessageRepository(session).read_by(run, spec.history_count)
    own = [place for place, row in enumerate(rows) if row.agent_run_id == run.agent_run_id]
    sources = Sources(
        system=prompt_text(run.agent, run.prompt_version),
        messages=tuple(chat_message(row) for row in rows),
        question=own[0] if own else None,
        passages=tuple(_shown(passage) for passage in passages_of(run)),
    )
    size_of_tools = worst_case_of_tools(tools)
    messages = assemble(sources, token_limit - size_of_tools).messages
    size = size_of_tools + sum(worst_case_of_message(message) for message in messages)
    said = [rows[place] for place in own if rows[place].role == Role.USER]
    last_seq = rows[-1].seq if rows else 0
    # Reason: the first of them is the run's input.
    return Prompt(spec, messages, tools, size, last_seq, max(0, len(said) - 1))


def passages_of(run: AgentRun) -> Sequence[CitedPassage]:
    """Return what retrieval found for a run; nothing before it has looked."""
    return [CitedPassage(**passage) for passage in run.passages_data or ()]


def chat_message(row: Message) -> ChatMessage:
    """Return a stored message as models read it; calls carry our ids, which are unique."""
    data = row.provider_data
    provider = None if data is None else ProviderParts.model_validate(data)
    given = provider.calls if provider else [GivenCall()] * len(row.tool_calls_data)
    calls = tuple(
        RequestedCall(
            provider_call_id=str(call["call_id"]),
            tool=call["tool"],
            arguments=call["arguments"],
            given_id=theirs.id,
            parts=theirs.parts,
        )
        for call, theirs in zip(row.tool_calls_data, given, strict=True)
    )
    return ChatMessage(
        role=Role(row.role),
        content=row.content,
        tool_calls=calls,
        provider_call_id=None if row.call_id is None else str(row.call_id),
        provider=provider,
    )


def _shown(passage: CitedPassage) -> NumberedPassage:
    material = fence_titled(passage.title, passage.text, "passage")
    head = f"[{passage.number}] {warning(passage.suspicions)}".rstrip()
    return NumberedPassage(number=passage.number, text=f"{head}\n{material}")
