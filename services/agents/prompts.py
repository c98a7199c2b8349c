"""Builds the prompt of a run's step: the agent's spec, its tools and the messages to read."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from agents.guards import fence_titled, warning
from agents.registry import find_agent, prompt_text
from agents.spec import AgentSpec
from database.agents.messages import MessageRepository
from database.agents.models import AgentRun, Message
from domain.agents.citations import CitedPassage
from domain.agents.context import NumberedPassage, PromptSources, assemble_prompt
from domain.llm.messages import (
    ChatMessage,
    ProviderCallParts,
    ProviderParts,
    RequestedCall,
    Role,
)
from domain.llm.token_estimates import estimate_message_tokens, estimate_tool_tokens
from services.agents.model_calls.output import output_order, repair_order
from services.agents.teams.notes import read_team_note
from services.agents.tools.catalog import Tool, ToolCatalog


class Prompt(NamedTuple):
    """The prompt of one step.

    Args:
        spec: Spec of the agent.
        messages: All messages, the system message first.
        tools: Tools that the model may call.
        token_count: Worst-case number of tokens of messages and tools.
        last_seq: Number of the newest message that could be read.
        read_count: Number of messages in it that were added to the run after its input.
    """

    spec: AgentSpec
    messages: tuple[ChatMessage, ...]
    tools: tuple[Tool, ...]
    token_count: int
    last_seq: int
    read_count: int


async def read_prompt(
    session: AsyncSession,
    run: AgentRun,
    token_limit: int,
    catalog: ToolCatalog,
    last_seq: int | None = None,
) -> Prompt:
    """Build the prompt of a run's next step from the database.

    Args:
        session: Database session to read with.
        run: The run; its prompt version is pinned.
        token_limit: Worst-case number of tokens that the model can read.
        catalog: Catalogue of the agent's tools.
        last_seq: Number of the newest message to read; None for all.

    Returns:
        The prompt.

    Raises:
        InvalidInputError: The newest message is longer than the model can read.
        NotFoundError: The agent, its prompt version or one of its tools does not exist any more.
    """
    spec = find_agent(run.agent)
    note = await read_team_note(session, run, spec)
    tools = catalog.select((*spec.tool_names, *note.tools))
    found = await MessageRepository(session).prompt_messages(run, spec.history_count)
    rows = [row for row in found if last_seq is None or row.seq <= last_seq]
    own = [index for index, row in enumerate(rows) if row.agent_run_id == run.agent_run_id]
    before = rows[: own[0]] if own else []
    sources = PromptSources(
        system=prompt_text(run.agent, run.prompt_version) + note.text + output_order(spec),
        messages=_with_repairs(rows),
        question=len(_with_repairs(before)) if own else None,
        passages=tuple(_render(passage) for passage in passages_of(run)),
    )
    tools_size = estimate_tool_tokens(tool.spec.definition for tool in tools)
    messages = assemble_prompt(sources, token_limit - tools_size).messages
    size = tools_size + sum(estimate_message_tokens(message) for message in messages)
    user_messages = [rows[index] for index in own if rows[index].role == Role.USER]
    newest = rows[-1].seq if rows else 0
    # Reason: the first user message is the run's input.
    return Prompt(spec, messages, tools, size, newest, max(0, len(user_messages) - 1))


def _with_repairs(rows: Sequence[Message]) -> tuple[ChatMessage, ...]:
    """Return stored messages; after an answer that did not fit comes what is wrong with it."""
    messages = []
    for row in rows:
        messages.append(chat_message(row))
        if row.output_problem is not None:
            order = repair_order(row.output_problem)
            messages.append(ChatMessage(role=Role.USER, content=order))
    return tuple(messages)


def passages_of(run: AgentRun) -> Sequence[CitedPassage]:
    """Return the passages that retrieval found for a run; empty before retrieval."""
    return [CitedPassage(**passage) for passage in run.passages_data or ()]


def chat_message(row: Message) -> ChatMessage:
    """Return a stored message as models read it; its calls carry our ids, which are unique."""
    data = row.provider_data
    provider = None if data is None else ProviderParts.model_validate(data)
    given = provider.calls if provider else [ProviderCallParts()] * len(row.tool_calls_data)
    calls = tuple(
        RequestedCall(
            provider_call_id=str(call["call_id"]),
            tool=call["tool"],
            arguments=call["arguments"],
            given_id=provider_call.id,
            parts=provider_call.parts,
        )
        for call, provider_call in zip(row.tool_calls_data, given, strict=True)
    )
    return ChatMessage(
        role=Role(row.role),
        content=row.content,
        tool_calls=calls,
        provider_call_id=None if row.call_id is None else str(row.call_id),
        provider=provider,
    )


def _render(passage: CitedPassage) -> NumberedPassage:
    title = passage.title
    if passage.page_number is not None:
        title = f"{title}, page {passage.page_number}"
    material = fence_titled(title, passage.text, "passage")
    head = f"[{passage.number}] {warning(passage.suspicions)}".rstrip()
    return NumberedPassage(number=passage.number, text=f"{head}\n{material}")
