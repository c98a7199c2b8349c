"""Where the errors of model providers become ours.

No word of theirs is passed on, for they quote keys and prompts: operators find them in the log.
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

# What a connection can die of beneath an SDK that does not translate it.
BROKEN_CONNECTION = (
    httpx2.HTTPError,
    httpx2.StreamError,
    OSError,
    anyio.EndOfStream,
    JSONDecodeError,
    UnicodeDecodeError,
)
# What Anthropic's errors within a stream would have been as a status.
STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
}
_UNCONNECTED = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_PASSING = frozenset({408, 409, 425})
# A connection that broke, and gateways that have not waited for the model.
_RATE_LIMITED = 429
_UNANSWERED = frozenset({None, 408, 499, 504, 524})
MALFORMED = frozenset({400, 422})
_NO_ACCESS = frozenset({401, 402, 403})
# Reason: OpenAI reports an empty account as a rate limit, and no waiting fills it.
_NO_CREDIT = frozenset({"insufficient_quota", "billing_error"})
_TOO_LONG_CODES = frozenset(
    {"context_length_exceeded", "exceed_context_size_error", "request_too_large"},
)
# Reason: most have no code for it, only words.
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
_WORDS_LENGTH = 500
_NAME = re.compile(r"[\w.:-]{1,64}")


@dataclass(frozen=True)
class ProviderFault:
    """What a provider answered instead of an answer.

    Args:
        status: HTTP status, or what a status within a stream would have been; None for a
            connection that broke.
        message: The provider's words; only looked at.
        codes: The provider's names of it.
        headers: Of the answer.
        was_sent: Whether the request may have reached a model.
        param: The parameter that the provider names as the cause.
    """

    status: int | None = None
    message: str = ""
    codes: tuple[str | None, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    was_sent: bool = True
    param: str | None = None


def is_unsent(error: Exception) -> bool:
    """Tell whether a request failed before anybody could read it.

    Args:
        error: A connection error of an SDK, which keeps what it comes from as its cause.
    """
    return isinstance(error.__cause__, _UNCONNECTED)


class ProviderFaultError(Exception):
    """An error that a provider sent as the body of a success."""

    def __init__(self, fault: ProviderFault) -> None:
        super().__init__()
        self.fault = fault


def refuse_error(body: Any) -> None:
    """Raise the error that stands in a body, if one does.

    Args:
        body: What came with a success.

    Raises:
        ProviderFaultError: There is one.
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
    """Make our error of a provider's.

    Args:
        fault: What the provider answered.
        model: Who was asked.
        progress: How far the call had come.

    Returns:
        The error to raise, `from None`: Temporal would keep the cause's words in its history.
    """
    # Reason: a provider that says that it failed, and has written nothing, takes nothing for it.
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
            words=_for_the_log(fault.message),
        )
    return error


def _refused(fault: ProviderFault, details: dict[str, Any]) -> ApplicationError | None:
    """Return what no other attempt changes; None if waiting may help."""
    names, status, words = {code for code in fault.codes if code}, fault.status, fault.message
    text, code = "the provider refused the request", "model_rejected"
    if names & _NO_CREDIT or status in _NO_ACCESS:
        text = "the provider refuses our credentials, or the account behind them"
        code = "model_credentials"
    elif is_above_rate(status, words):
        text = "the request is larger than what the provider lets us use in a minute"
        code, limit = "model_request_too_large", find_rate(words)
        details |= {} if limit is None else {"limit_tokens": limit}
    elif is_too_long(fault):
        text, code = "the request is longer than the model can read", "model_context_too_long"
        limit = find_window(words)
        details |= {} if limit is None else {"limit_tokens": limit}
    elif status is None or status == 429 or status >= 500 or status in _PASSING:
        return None
    elif _NO_TOOLS.search(words):
        text, code = "the model or its server takes no tools", "model_without_tools"
    elif status == 404:
        text, code = "the provider does not know this model", "model_not_found"
    return ProviderRejectedError(text, code, details)


def _unanswered(
    progress: Progress,
    details: dict[str, Any],
) -> ProviderUnavailableError | None:
    """Return what may have been paid for, without a whole answer; None if nothing was."""
    if progress.text:
        text, code = "the model's answer broke off before its end", "model_stream_incomplete"
    elif progress.was_sent:
        text, code = "the model's provider took the request and gave no answer", "model_unanswered"
    else:
        return None
    return ProviderUnavailableError(text, code, details)


def _unavailable(fault: ProviderFault, details: dict[str, Any]) -> ProviderUnavailableError:
    if fault.status == 429:
        text, code = "the provider asks us to slow down", "model_rate_limited"
    else:
        text, code = "the model's provider cannot be reached or fails", "model_unavailable"
    return ProviderUnavailableError(text, code, details)


def is_too_long(fault: ProviderFault) -> bool:
    """Tell whether a request was refused for its length."""
    if fault.status == 413 or {code for code in fault.codes if code} & _TOO_LONG_CODES:
        return True
    return fault.status in MALFORMED and _TOO_LONG_WORDS.search(fault.message) is not None


def _for_the_log(words: str) -> str:
    shown = _KEYS.sub("[key]", words)
    return shown if len(shown) <= _WORDS_LENGTH else f"{shown[:_WORDS_LENGTH]}…"


def incomplete(model: str, progress: Progress) -> ProviderUnavailableError:
    """Make the error of a stream that stopped without saying why."""
    return ProviderUnavailableError(
        "the model's answer broke off before its end",
        "model_stream_incomplete",
        _so_far(model, progress),
    )


def unreadable(model: str, progress: Progress) -> ProviderRejectedError:
    """Make the error of an answer that has no shape known to us."""
    return ProviderRejectedError(
        "the model's answer cannot be read",
        "model_answer_unreadable",
        _so_far(model, progress),
    )


def _so_far(model: str, progress: Progress) -> dict[str, Any]:
    return {
        "model": model,
        "has_begun": progress.has_begun,
        "received_token_count": progress.token_count,
    }


def _details(fault: ProviderFault, model: str, progress: Progress) -> dict[str, Any]:
    details = _so_far(model, progress)
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
    """Read how long a provider asks to be left alone, in seconds or as an HTTP date."""
    found = headers.get("retry-after", "").strip()
    try:
        seconds = float(found)
    except ValueError:
        moment = _moment(found)
        if moment is None:
            return None
        # Reason: the provider's own clock, where it shows it; ours may be off.
        now = _moment(headers.get("date", "")) or datetime.now(UTC)
        seconds = (moment - now).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
