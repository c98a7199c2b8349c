"""Decides how often a failed model call is retried, and which error the run reports."""

from collections.abc import Sequence

from domain.agents.runs import RunFinish
from domain.errors import ApplicationError, ProviderRejectedError, ProviderUnavailableError
from domain.llm.messages import FinishReason, ModelReply

CIRCUIT_OPEN = "model_circuit_open"
TOO_LONG = "model_context_too_long"
NO_ANSWER = "model_no_answer"
CALL_AS_TEXT = "model_call_as_text"
# Reason: each of these attempts costs money, and waiting does not cure a failure that repeats.
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
    """Return why the model stopped, as the run's finish reason."""
    if (finish := _FINISHES.get(reply.finish_reason)) is not None:
        return finish
    is_empty = not reply.text.strip() and not reply.tool_calls
    return RunFinish.EMPTY if is_empty else RunFinish.STOP


def check_answer(reply: ModelReply, outcomes: Sequence[str]) -> None:
    """Refuse an answer that another attempt may improve.

    Args:
        reply: The model's answer.
        outcomes: How earlier attempts at the step ended.

    Raises:
        ProviderUnavailableError: The answer is empty, for the first time (`model_no_answer`), or it
            contains a tool call as text (`model_call_as_text`).
    """
    if reply.has_call_as_text:
        raise ProviderUnavailableError(
            "the model's server returned a tool call as text",
            CALL_AS_TEXT,
        )
    if finish_of(reply) is RunFinish.EMPTY and NO_ANSWER not in outcomes:
        raise ProviderUnavailableError("the model ended without an answer", NO_ANSWER)


def failure_of(
    error: ApplicationError, outcomes: Sequence[str], causes: Sequence[str]
) -> ApplicationError:
    """Return the error that a step fails with: retryable if that helps, with the first cause.

    Args:
        error: The error of the attempt.
        outcomes: How earlier attempts at the step ended.
        causes: Those of the outcomes that are failures of the model.
    """
    code = error.error_code
    if code == CIRCUIT_OPEN and causes:
        message = f"the model failed ({causes[0]}); its circuit breaker is open for a while"
        return ProviderUnavailableError(message, causes[0], error.details)
    limit = _TRY_LIMITS.get(code)
    if limit is not None and outcomes.count(code) + 1 >= limit:
        return ProviderRejectedError(error.message, code, error.details)
    return error
