"""Spec of an HTTP tool: the schema of its file."""

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from domain.agents.tools.http_requests import Place
from domain.base import Duration, format_duration

# Reason: an activity ends after two minutes, and a call may take two look-ups and a request.
MAX_TIME_LIMIT = timedelta(seconds=40)
MAX_LOOKUP_AFTER = timedelta(seconds=20)
NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_OF_THE_CONNECTION = frozenset(
    {"accept-encoding", "connection", "content-length", "content-type", "host", "transfer-encoding"}
)


class ToolEffect(StrEnum):
    """Whether a tool changes something at the system that it calls."""

    READ = "read"
    WRITE = "write"


def _check_header_name(name: str) -> str:
    if not _HEADER.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a header")
    if name.lower() in _OF_THE_CONNECTION:
        raise ValueError(f"the header {name} is not set by a tool")
    return name


def check_time_limit(given: timedelta) -> timedelta:
    """Return a time limit that an activity has the time for.

    Raises:
        ValueError: It is too long, or 0.
    """
    if not timedelta(0) < given <= MAX_TIME_LIMIT:
        raise ValueError(f"must be more than 0s and at most {format_duration(MAX_TIME_LIMIT)}")
    return given


def _check_lookup_after(given: timedelta) -> timedelta:
    if not timedelta(0) <= given <= MAX_LOOKUP_AFTER:
        raise ValueError(f"must be at most {format_duration(MAX_LOOKUP_AFTER)}")
    return given


HeaderName = Annotated[str, AfterValidator(_check_header_name)]


class HttpToolSpec(BaseModel):
    """Spec of one HTTP tool, read from its file.

    Texts with `{name}` are filled with arguments, or with `call_id`, `agent_run_id`,
    `conversation_id`, `user_id` or `external_id` of the call; `${env:NAME}` and `${file:PATH}`
    are secrets.

    Args:
        description: When to use the tool, for the model.
        url: Address with placeholders; with `openapi` the address that its paths are added to.
        method: Method; with `openapi` it comes from there.
        openapi: Path or address of an OpenAPI document; a path begins at the file's folder.
        operation_id: Operation of the document.
        arguments: JSON schema of the arguments; with `openapi` it comes from there.
        places: Place of arguments that are elsewhere than in the address (if it names them), in
            the query (GET, DELETE) or in the body (POST, PUT, PATCH).
        headers: Headers of each request.
        effect: Whether the tool writes; by default all methods but GET do.
        approver_role: Role that must approve every call; `admin` for writes by default.
        idempotency_header: Header that takes the id of the call, if the server does a request
            with the same value once.
        lookup: Address whose GET tells whether the effect of a call is there: 404, or an empty
            answer, means that it is not.
        lookup_field: Field of the answer that is empty if the effect is not there.
        lookup_after: How long to wait for an effect that is not there yet, before the request is
            sent again.
        business_key: What must be done once by all calls for a user, e.g. `order:{order_id}`.
        ok_statuses: Statuses that mean success; by default 200 to 299.
        time_limit: How long the server may take to answer.
        patience: How long a server that is down is tried; 15 seconds for reads by default, and 10
            minutes for writes.
        output_limit_bytes: Longer answers are cut before the model reads them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str = Field(min_length=1, max_length=1_024)
    url: str | None = Field(default=None, min_length=1, max_length=2_000)
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] | None = None
    openapi: str | None = Field(default=None, min_length=1)
    operation_id: str | None = Field(default=None, min_length=1)
    arguments: dict[str, Any] | None = None
    places: dict[str, Place] = Field(default={})
    headers: dict[HeaderName, str] = Field(default={})
    effect: ToolEffect | None = None
    approver_role: Literal["admin", "user"] | None = None
    idempotency_header: HeaderName | None = None
    lookup: str | None = Field(default=None, min_length=1, max_length=2_000)
    lookup_field: str | None = None
    lookup_after: Annotated[Duration, AfterValidator(_check_lookup_after)] = timedelta(seconds=10)
    business_key: str | None = Field(default=None, min_length=1, max_length=500)
    ok_statuses: tuple[Annotated[int, Field(ge=200, le=499)], ...] = ()
    time_limit: Annotated[Duration, AfterValidator(check_time_limit)] = timedelta(seconds=20)
    patience: Duration | None = None
    output_limit_bytes: int = Field(default=16_000, ge=100, le=1_000_000)

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if self.openapi is None:
            needed = {"url": self.url, "method": self.method}
            refused: dict[str, Any] = {"operation_id": self.operation_id}
        else:
            needed = {"operation_id": self.operation_id}
            refused = {"method": self.method, "arguments": self.arguments, "places": self.places}
        for name, value in needed.items():
            if value is None:
                raise ValueError(f"{name}: is missing")
        for name, value in refused.items():
            if value:
                beside = "beside" if self.openapi else "without"
                raise ValueError(f"{name}: is not used {beside} `openapi`")
        return self
