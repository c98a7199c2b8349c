"""One attempt at a model call: its request, what is reserved for it, and what it is booked at."""

from typing import NamedTuple
from uuid import UUID

from adapters.llm.provider import Progress
from domain.agents.budgets import NOTHING_RESERVED, Reservation
from domain.agents.runs import OnBudget, StepInput
from domain.llm.batches import BatchCall
from domain.llm.messages import ModelRequest, TokenUsage
from domain.llm.routing import Target
from services.agents.prompts import Prompt
from services.agents.usage import Call, source_key


class Attempt(NamedTuple):
    """An attempt at a model call whose worst case is reserved.

    Args:
        step_input: The step that the attempt belongs to.
        number: Number of the attempt within the step, from 1.
        outcomes: How the earlier attempts at the step ended, oldest first.
        conversation_id: Conversation that gets the answer.
        prompt: What the model reads.
        request: Request to the model.
        reservation: The most that the attempt may cost; nothing until it has begun.
        cache_key: Key of the request in the cache; None if the agent has no cache.
        is_cached: Whether the answer comes from the cache, and costs nothing.
        batch: The call by the batch endpoint; None for a call that is streamed.
        is_resumed: Whether an earlier activity has begun it, and may have created its batch.
    """

    step_input: StepInput
    number: int
    outcomes: tuple[str, ...]
    conversation_id: UUID
    prompt: Prompt
    request: ModelRequest
    reservation: Reservation = NOTHING_RESERVED
    cache_key: str | None = None
    is_cached: bool = False
    batch: BatchCall | None = None
    is_resumed: bool = False

    @property
    def target(self) -> Target:
        """The model that is called."""
        return Target(model=self.request.model, slot=self.request.slot)

    @property
    def call(self) -> Call:
        """The attempt, as its usage is reserved."""
        return Call(
            step=self.step_input.step,
            attempt=self.number,
            target=self.target,
            prompt_tokens=self.prompt.token_count,
            requested_tokens=self.request.max_tokens,
            may_be_cut=self.step_input.on_budget is OnBudget.END,
            batch=self.batch,
        )

    @property
    def source_key(self) -> str:
        """The unique key of the attempt's usage record."""
        return source_key(self.step_input.agent_run_id, self.step_input.step, self.number)


def request_of(target: Target, prompt: Prompt, max_tokens: int) -> ModelRequest:
    """Return the request of an attempt.

    Args:
        target: Model to call.
        prompt: What the model reads.
        max_tokens: Most tokens that it may write.
    """
    return ModelRequest(
        model=target.model,
        slot=target.slot,
        messages=prompt.messages,
        tools=tuple(tool.spec.definition for tool in prompt.tools),
        max_tokens=max_tokens,
        output_schema=prompt.spec.output_schema,
    )


def booked_usage(attempt: Attempt, progress: Progress) -> tuple[TokenUsage, bool]:
    """Return the usage that an attempt is booked at, never less than what it used.

    Args:
        attempt: The attempt.
        progress: What was received of the answer.

    Returns:
        The usage, and whether it is estimated: from the text received, or the whole reservation
        if no text was received although some may have been written.
    """
    reported = progress.usage or TokenUsage()
    # Reason: some model servers report only zeros.
    if progress.is_final and (reported.completion_tokens or not progress.text):
        return reported, False
    if not progress.was_sent:
        return TokenUsage(), False
    limit = attempt.reservation.max_tokens
    completion_tokens = progress.estimated_tokens if progress.text else limit
    # Reason: a server that exceeds the token limit also bills more than the limit.
    if progress.token_count <= limit:
        completion_tokens = min(completion_tokens, limit)
    return reported.model_copy(
        update={
            "prompt_tokens": reported.prompt_tokens or attempt.prompt.token_count,
            "completion_tokens": max(reported.completion_tokens, completion_tokens),
        }
    ), True
