"""Attempts at calls by the batch endpoint, which outlive the activity that began them."""

from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from agents.registry import find_agent
from database.agents.agent_runs import RunAtStep
from database.usage.models import UsageRecord
from database.usage.sums import RESERVED
from domain.agents.budgets import Reservation
from domain.agents.runs import StepInput
from domain.llm.batches import BatchCall
from domain.llm.messages import ProviderSlot
from domain.llm.routing import Target
from services.agents.model_calls.attempt import Attempt, request_of
from services.agents.prompts import Prompt, read_prompt
from services.agents.tools.catalog import ToolCatalog
from services.agents.usage import LOST


def begin_batch(prompt: Prompt, cache_key: str | None) -> BatchCall:
    """Return what is stored of a call by the batch endpoint before it is sent."""
    return BatchCall(
        begun_at=datetime.now(UTC),
        last_seq=prompt.last_seq,
        read_count=prompt.read_count,
        cache_key=cache_key,
    )


async def resume_batch(
    session: AsyncSession, at_step: RunAtStep, step_input: StepInput, catalog: ToolCatalog
) -> Attempt | None:
    """Return the attempt of a step whose batch was begun and is not settled yet; None if none is.

    Its prompt is read again as far as the request had it.

    Args:
        session: Database session to read with.
        at_step: The run, and its attempts so far.
        step_input: The step.
        catalog: Catalogue of the agent's tools.
    """
    run, _, attempts = at_step
    earlier = [record for record in attempts if record.step == step_input.step]
    record = next((each for each in earlier if _is_open(each)), None)
    if record is None:
        return None
    batch = BatchCall.model_validate(record.batch_data)
    spec = find_agent(run.agent)
    prompt = await read_prompt(session, run, spec.context_tokens, catalog, batch.last_seq)
    prompt = prompt._replace(
        token_count=record.reserved_prompt_token_count,
        last_seq=batch.last_seq,
        read_count=batch.read_count,
    )
    target = Target(model=record.model or "", slot=ProviderSlot(record.provider_slot or "primary"))
    return Attempt(
        step_input,
        record.attempt or 1,
        tuple(each.outcome or LOST for each in earlier if each is not record),
        run.conversation_id,
        prompt,
        request_of(target, prompt, record.reserved_completion_token_count),
        _reservation_of(record, is_cut=batch.is_cut),
        batch.cache_key,
        batch=batch,
        is_resumed=True,
    )


def _is_open(record: UsageRecord) -> bool:
    return record.usage_status == RESERVED and record.batch_data is not None


def _reservation_of(record: UsageRecord, *, is_cut: bool) -> Reservation:
    completion = record.reserved_completion_token_count
    return Reservation(
        max_tokens=completion,
        token_count=record.reserved_prompt_token_count + completion,
        cost_cents=record.reserved_cost_cents,
        is_cut=is_cut,
    )
