"""What all batch endpoints of providers share: reading answers, and errors in their place."""

import structlog

from adapters.llm.asking import Answer
from adapters.llm.errors import ProviderFault, incomplete, translated
from adapters.llm.provider import BatchResult, Incoming, Progress
from adapters.llm.reading import a_text, an_object
from domain.errors import ApplicationError, ProviderRejectedError
from domain.llm.messages import ModelReply

log = structlog.get_logger(__name__)

BATCHES_UNSUPPORTED = "batches_unsupported"
FAILED, EXPIRED, CANCELED = "model_batch_failed", "model_batch_expired", "model_batch_canceled"
_MESSAGES = {
    FAILED: "the provider could not process the batch",
    EXPIRED: "the provider did not answer the batch within its window",
    CANCELED: "the batch was canceled at the provider",
}


def reply_of(answer: Answer, incoming: Incoming, model: str) -> ModelReply:
    """Return an answer that was read as a whole.

    Raises:
        ProviderUnavailableError: It has no finish reason (`model_stream_incomplete`).
    """
    if answer.finish_reason is None:
        raise incomplete(model, incoming.progress)
    return incoming.reply(answer.finish_reason, answer.calls, answer.parts)


def error_without_answer(result: BatchResult, model: str) -> ApplicationError:
    """Return the error of a batch that ended without an answer to our request."""
    code = result.error_code or FAILED
    details = {"model": model}
    if result.provider_code:
        details["provider_code"] = result.provider_code
    log.warning("model_batch_without_answer", error_code=code, **details)
    return ProviderRejectedError(_MESSAGES[code], code, details)


def error_of_answer(result: BatchResult, model: str) -> tuple[ApplicationError, ProviderFault]:
    """Return the error for an answer that is itself an error, and the provider's fault."""
    found = an_object(an_object(result.body).get("error"))
    codes = (a_text(found.get("code")), a_text(found.get("type")))
    param = found.get("param")
    fault = ProviderFault(
        result.status, a_text(found.get("message")), codes, param=a_text(param) or None
    )
    error = translated(fault, model, Progress())
    if error.is_retryable:
        # Reason: the provider has tried for hours by itself; one more batch is for the user to
        # decide.
        error = ProviderRejectedError(_MESSAGES[FAILED], FAILED, error.details)
    return error, fault
