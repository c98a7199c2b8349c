"""Translates errors of model providers into our own errors.

Their messages are not passed on, since they quote keys and prompts: operators find them in the log.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from json import JSONDecodeError
from typing import Any

import anyio
import httpx2
import structlog

from adapters.llm.limits import find_rate, find_window, is_above_rate
from adapters.llm.provider import Progress
from adapters.llm.reading import a_text, an_object
from domain.errors import ApplicationError, ProviderRejectedError, ProviderUnavailableError

log = structlog.get_logger(__name__)

# Errors of a broken connection that an SDK does not translate.
BROKEN_CONNECTION = (
    httpx2.HTTPError,
    httpx2.StreamError,
    OSError,
    anyio.EndOfStream,
    JSONDecodeError,
    UnicodeDecodeError,
)
# HTTP statuses that correspond to Anthropic's types of errors within a stream.
STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
}
_CONNECT_ERRORS = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_TEMPORARY = frozenset({408, 409, 425})
_RATE_LIMITED = 429
# A connection that broke, and gateways that did not wait for the model.
_UNANSWERED = frozenset({None, 408, 499, 504, 524})
MALFORMED = frozenset({400, 422})
_NO_ACCESS = frozenset({401, 402, 403})
# Reason: OpenAI reports an account without credit as a rate limit, but waiting does not help.
_NO_CREDIT = frozenset({"insufficient_quota", "billing_error"})
_TOO_LONG_CODES = frozenset(
    {"context_length_exceeded", "exceed_context_size_error", "request_too_large"},
)
# Reason: most providers send no code for this, only a message.
_TOO_LONG_WORDS = re.compile(
    r"context (length|limit|window|size)|prompt is too long|maximum (prompt|model) length"
    r"|maximum number of tokens allowed|`max_new_tokens` must be <=|input tokens exceed"
    r"|exceed_context_size",
    re.IGNORECASE,
)
_NO_TOOLS = re.compile(
    r"tool[ _]choice.{0,20} requires|enable-auto-tool-choice|not support (tool|function)"
    r"|tool use is not supported|support tool use|tools? (is|are) not supported",
    re.IGNORECASE,
)
_KEYS = re.compile(
    r"(?i)\b(bearer\s|api[-_ ]?key['\"]?\s*[:=]\s*)['\"]?[\w.*-]{6,}"
    r"|\b(sk|pk|rk|gsk|xai|key|hf|nvapi)[-_][\w*-]{4,}|\bAIza[\w-]{10,}|\b[A-Za-z0-9_-]{32,}\b",
)
_MAX_LOGGED_LENGTH = 500
_NAME = re.compile(r"[\w.:-]{1,64}")


@dataclass(frozen=True)
class ProviderFault:
    """Error that a provider answered, or a connection that broke.

    Args:
        status: HTTP status, or the corresponding one for an error within a stream; None for a
            connection that broke.
        message: Message of the provider; only searched and logged.
        codes: Error codes of the provider.
        headers: Headers of the answer.
        was_sent: Whether the request may have reached a model.
        param: Parameter that the provider names as the cause.
    """

    status: int | None = None
    message: str = ""
    codes: tuple[str | None, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    was_sent: bool = True
    param: str | None = None


def is_unsent(error: Exception) -> bool:
    """Tell whether a request failed before the provider could read it.

    Args:
        error: Connection error of an SDK, which keeps the original error as its cause.
    """
    return isinstance(error.__cause__, _CONNECT_ERRORS)


class ProviderFaultError(Exception):
    """An error that a provider sent as the body of a successful answer."""

    def __init__(self, fault: ProviderFault) -> None:
        super().__init__()
        self.fault = fault


def raise_error_in(body: Any) -> None:
    """Raise the error in a body, if there is one.

    Args:
        body: Body of a successful answer.

    Raises:
        ProviderFaultError: The body contains an error.
    """
    found = an_object(body).get("error")
    if not found:
        return
    error = an_object(found)
    code, kind = error.get("code"), a_text(error.get("type"))
    status = int(str(code)) if str(code).isdigit() else STATUSES.get(kind, 500)
    message = a_text(error.get("message")) or a_text(found)
    raise ProviderFaultError(ProviderFault(status, message, (a_text(code), kind)))


def translated(fault: ProviderFault, model: str, progress: Progress) -> ApplicationError:
    """Translate the fault of a provider into our own error.

    Args:
        fault: Error that the provider answered.
        model: Model that was called.
        progress: Progress of the call; its `was_sent` is updated.

    Returns:
        Error to raise, `from None`: Temporal would keep the cause's message in its history.
    """
    # Reason: a provider that reports a failure before any output does not charge for the call.
    has_written = progress.has_begun and bool(progress.text)
    progress.was_sent = has_written or (fault.was_sent and fault.status in _UNANSWERED)
    details = _details(fault, model, progress)
    error: ApplicationError | None = _refused(fault, details)
    if error is None and fault.status != _RATE_LIMITED:
        error = _unanswered(progress, details)
    error = error or _unavailable(fault, details)
    if fault.message:
        log.warning(
            "model_provider_words",
            model=model,
            error_code=error.error_code,
            provider_status=fault.status,
            words=_redacted(fault.message),
        )
    return error


def _refused(fault: ProviderFault, details: dict[str, Any]) -> ApplicationError | None:
    """Return the error that no retry can change; None if waiting may help."""
    names, status, words = {code for code in fault.codes if code}, fault.status, fault.message
    text, code = "the provider refused the request", "model_rejected"
    if names & _NO_CREDIT or status in _NO_ACCESS:
        text = "the provider refuses our credentials, or the account behind them"
        code = "model_credentials"
    elif is_above_rate(status, words):
        text = "the request is larger than the provider's limit of tokens per minute"
        code, limit = "model_request_too_large", find_rate(words)
        details |= {} if limit is None else {"limit_tokens": limit}
    elif is_too_long(fault):
        text, code = "the request is longer than the model can read", "model_context_too_long"
        limit = find_window(words)
        details |= {} if limit is None else {"limit_tokens": limit}
    elif status is None or status == 429 or status >= 500 or status in _TEMPORARY:
        return None
    elif _NO_TOOLS.search(words):
        text, code = "the model or its server does not support tools", "model_without_tools"
    elif status == 404:
        text, code = "the provider does not know this model", "model_not_found"
    return ProviderRejectedError(text, code, details)


def _unanswered(
    progress: Progress,
    details: dict[str, Any],
) -> ProviderUnavailableError | None:
    """Return the error of a call that may cost money without a whole answer, else None."""
    if progress.text:
        text, code = "the model's answer broke off before its end", "model_stream_incomplete"
    elif progress.was_sent:
        text = "the model's provider accepted the request but did not answer"
        code = "model_unanswered"
    else:
        return None
    return ProviderUnavailableError(text, code, details)


def _unavailable(fault: ProviderFault, details: dict[str, Any]) -> ProviderUnavailableError:
    if fault.status == 429:
        text, code = "the provider limits the rate of our requests", "model_rate_limited"
    else:
        text, code = "the model's provider cannot be reached or fails", "model_unavailable"
    return ProviderUnavailableError(text, code, details)


def is_too_long(fault: ProviderFault) -> bool:
    """Tell whether a request was refused for its length."""
    if fault.status == 413 or {code for code in fault.codes if code} & _TOO_LONG_CODES:
        return True
    return fault.status in MALFORMED and _TOO_LONG_WORDS.search(fault.message) is not None


def _redacted(words: str) -> str:
    shown = _KEYS.sub("[key]", words)
    return shown if len(shown) <= _MAX_LOGGED_LENGTH else f"{shown[:_MAX_LOGGED_LENGTH]}…"


def incomplete(model: str, progress: Progress) -> ProviderUnavailableError:
    """Return the error of a stream that ended without a finish reason."""
    return ProviderUnavailableError(
        "the model's answer broke off before its end",
        "model_stream_incomplete",
        _progress_details(model, progress),
    )


def unreadable(model: str, progress: Progress) -> ProviderRejectedError:
    """Return the error of an answer in an unknown format."""
    return ProviderRejectedError(
        "the model's answer cannot be read",
        "model_answer_unreadable",
        _progress_details(model, progress),
    )


def _progress_details(model: str, progress: Progress) -> dict[str, Any]:
    return {
        "model": model,
        "has_begun": progress.has_begun,
        "received_token_count": progress.token_count,
    }


def _details(fault: ProviderFault, model: str, progress: Progress) -> dict[str, Any]:
    details = _progress_details(model, progress)
    if fault.status is not None:
        details["provider_status"] = fault.status
    if names := [code for code in fault.codes if code and _NAME.fullmatch(code)]:
        details["provider_code"] = names[0]
    request_id = fault.headers.get("x-request-id") or fault.headers.get("request-id")
    if request_id and _NAME.fullmatch(request_id):
        details["provider_request_id"] = request_id
    if (seconds := _retry_after(fault.headers)) is not None:
        details["retry_after_seconds"] = seconds
    return details


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait, from a header with seconds or an HTTP date; else None."""
    found = headers.get("retry-after", "").strip()
    try:
        seconds = float(found)
    except ValueError:
        retry_at = _parse_date(found)
        if retry_at is None:
            return None
        # Reason: the provider's clock is used where it is known, since ours may be wrong.
        now = _parse_date(headers.get("date", "")) or datetime.now(UTC)
        seconds = (retry_at - now).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _parse_date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
