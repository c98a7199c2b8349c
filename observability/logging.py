"""Writes each log entry as one line of JSON, with ids from the context and secrets hidden."""

import logging
import re

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger
from temporalio import activity, workflow

# Reason: one line per request tells nothing that metrics do not tell.
NOISY_LOGGERS = ("httpx", "httpx2", "stripe", "aiosmtplib")
# Format in which uvicorn logs the opening of a WebSocket, with its query, which has tickets.
_HANDSHAKE = '%s - "WebSocket %s"'
# Secrets that must not be in any log.
_SECRETS = re.compile(
    r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]+"  # tokens and tickets
    r"|whsec_[\w+/=-]{8,}"
    r"|\b[srp]k_(?:test|live)_\w+|\b(?:pk|perdure)_[\w-]{30,}"  # Stripe's keys, and ours
    r"|(?<=_secret_)\w{6,}"
    r"|\$argon2\w*\$[^\s\"']+"
    r"|(?<=://)[^\s:/@\"]+:[^\s/@\"]+(?=@)"  # users and passwords in addresses
    r"|(?<=[?&]ticket=)[^&\s\"]+|(?<=Bearer )[^\s\"']+"
)
# Reason: one of these is in all that `_SECRETS` finds, and looking for them costs a fiftieth.
_MARKS = (
    "eyJ",
    "whsec_",
    "k_test_",
    "k_live_",
    "pk_",
    "perdure_",
    "_secret_",
    "$argon2",
    "://",
    "ticket=",
    "Bearer ",
)
_HIDDEN = "[hidden]"


def configure_logging(level: str) -> None:
    """Configure structlog and the standard library to write each log entry as one line of JSON.

    `request_id`, `workflow_id`, `user_id`, `agent_id` and `task_type` are added from the context;
    bind them with `structlog.contextvars`.

    Args:
        level: Lowest level that is written, e.g. `INFO`.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(), _lift],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=_to_json),
            ],
        ),
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Reason: no line has these, and the interpreter would ask for them at each line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # Reason: a warning of Python is a line of the log, too.
    logging.captureWarnings(capture=True)
    _configure_libraries(level)


def _configure_libraries(level: str) -> None:
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        # Reason: the API writes a line for each request itself, without the query.
        logging.getLogger(name).propagate = name != "uvicorn.access"
    logging.getLogger("uvicorn.error").addFilter(_is_no_handshake)
    if level.upper() != "DEBUG":
        for name in NOISY_LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
    # Reason: the ids are separate fields, so the message need not repeat them.
    workflow.logger.workflow_info_on_message = False
    activity.logger.activity_info_on_message = False


# Logger that gets the log lines of the Rust part of Temporal's SDK.
SDK_LOGGER = "temporal_sdk"
_TEMPORAL_EXTRAS = ("temporal_workflow", "temporal_activity")
# Extras of other libraries that repeat the message.
_USELESS_EXTRAS = ("color_message",)
_LIFTED = {
    "workflow_id": "workflow_id",
    "run_id": "run_id",
    "workflow_type": "task_type",
    "activity_type": "task_type",
    "attempt": "attempt",
}


def _lift(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Move the facts in the extras of Temporal's SDK to top-level fields with our names."""
    for extra in _TEMPORAL_EXTRAS:
        facts = event.pop(extra, None) or {}
        for theirs, ours in _LIFTED.items():
            if theirs in facts:
                event[ours] = facts[theirs]
    if (entry := event.pop("temporal_log", None)) is not None:
        event["sdk_target"], event["sdk_fields"] = entry.target, entry.fields
    for extra in _USELESS_EXTRAS:
        event.pop(extra, None)
    return event


def _to_json(event: EventDict, **_: object) -> str:
    """Render a log entry as JSON with secrets hidden; unknown types are written as text."""
    return hide_secrets(
        orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode(),
    )


def hide_secrets(text: str) -> str:
    """Return a text in which secrets are replaced by `[hidden]`."""
    if not any(mark in text for mark in _MARKS):
        return text
    return _SECRETS.sub(_HIDDEN, text)


def _is_no_handshake(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(_HANDSHAKE)
