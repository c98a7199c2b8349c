"""How often a step is tried again, by what went wrong, and what the run is told."""

from collections.abc import Sequence

from domain.agents.runs import RunFinish
from domain.errors import ApplicationError, ProviderRejectedError, ProviderUnavailableError
from domain.llm.messages import FinishReason, ModelReply

CIRCUIT_OPEN = "model_circuit_open"
TOO_LONG = "model_context_too_long"
NO_ANSWER = "model_no_answer"
CALL_AS_TEXT = "model_call_as_text"
# Reason: each of these was paid for, and what is the same each time is not mended by time.
_TRY_LIMITS = {
    "model_stream_incomplete": 3,
    "model_unanswered": 5,
    CALL_AS_TEXT: 3,
    NO_ANSWER: 2,
    TOO_LONG: 4,
}
_FINISHES = {
    FinishReason.LENGTH: RunFinish.LENGTH,
    FinishReason.CONTENT_FILTER: RunFinish.CONTENT_FILTER,
    FinishReason.REFUSED: RunFinish.REFUSAL,
}


def finish_of(reply: ModelReply) -> RunFinish:
    """Return why the model stopped, as the run tells it."""
    if (finish := _FINISHES.get(reply.finish_reason)) is not None:
        return finish
    is_empty = not reply.text.strip() and not reply.tool_calls
    return RunFinish.EMPTY if is_empty else RunFinish.STOP


def check_answer(reply: ModelReply, outcomes: Sequence[str]) -> None:
    """Refuse an answer that is worth asking for again.

    Args:
        reply: What the model answered.
        outcomes: How earlier attempts at the step ended.

    Raises:
        ProviderUnavailableError: It is empty, for the first time (`model_no_answer`).
        ApplicationError: A tool's call stands in it as text (`model_call_as_text`).
    """
    if reply.has_call_as_text:
        raise ProviderUnavailableError(
            "the model's server gives calls of tools as text",
            CALL_AS_TEXT,
        )
    if finish_of(reply) is RunFinish.EMPTY and NO_ANSWER not in outcomes:
        raise ProviderUnavailableError("the model ended without an answer", NO_ANSWER)


def failure_of(
    error: ApplicationError, outcomes: Sequence[str], causes: Sequence[str]
) -> ApplicationError:
    """Return what a step fails with: tried again if that can help, and with its first cause.

    Args:
        error: What the attempt failed with.
        outcomes: How earlier attempts at the step ended.
        causes: Those of them that speak of a failure.
    """
    code = error.error_code
    if code == CIRCUIT_OPEN and causes:
        message = f"the model has failed ({causes[0]}) and is left alone for a while"
        return ProviderUnavailableError(message, causes[0], error.details)
    limit = _TRY_LIMITS.get(code)
    if limit is not None and outcomes.count(code) + 1 >= limit:
        return ProviderRejectedError(error.message, code, error.details)
    return error
