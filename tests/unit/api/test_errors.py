"""How errors of Temporal, and bad inputs, are told to clients."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, field_validator
from pydantic.fields import FieldInfo
from temporalio.client import (
    RPCError,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError as TemporalApplicationError
from temporalio.service import RPCStatusCode

from activities.interceptors import _failure as activity_failure
from adapters.temporal.errors import from_temporal, is_connect_failure
from api import app
from api.errors import describe
from api.http.routing import field_names
from api.schemas.common import Input
from domain.errors import ApplicationError, WorkflowEndedError


def failed(type: str | None, *details: object) -> TemporalApplicationError:
    return TemporalApplicationError("the message", *details, type=type)


@pytest.mark.parametrize(
    ("type", "status"),
    [
        ("illegal_command", 409),
        ("plan_code_taken", 409),
        ("card_declined", 402),
        ("payment_failed", 402),
        ("not_found", 404),
        ("stripe_resource_missing", 404),
        ("invalid_input", 422),
        ("provider_rejected", 502),
        ("provider_unavailable", 503),
        ("busy", 503),
    ],
)
def test_a_failure_keeps_its_code_and_gets_its_status(type: str, status: int) -> None:
    facts = {"subscription_status": "canceled"}
    nested = RuntimeError("an activity failed")
    nested.__cause__ = failed(type, facts)
    for error in (
        WorkflowUpdateFailedError(failed(type, facts)),
        WorkflowFailureError(cause=nested),
    ):
        seen = from_temporal(error)
        assert (seen.error_code, seen.http_status, seen.details) == (type, status, facts)
        assert seen.message == "the message"


@pytest.mark.parametrize(
    "cause",
    [failed(None), failed("ZeroDivisionError"), RuntimeError("what is this")],
)
def test_what_nobody_foresaw_is_told_as_such_and_nothing_more(cause: BaseException) -> None:
    seen = from_temporal(WorkflowUpdateFailedError(cause))
    assert (seen.error_code, seen.http_status, seen.details) == ("internal_error", 500, {})
    assert "message" not in seen.message


def _kinds(base: type[ApplicationError]) -> Iterator[type[ApplicationError]]:
    """Yield the errors that activities raise; those of the API's own are never theirs."""
    if base.__module__ == ApplicationError.__module__:
        yield base
    for each in base.__subclasses__():
        yield from _kinds(each)


@pytest.mark.parametrize("kind", list(_kinds(ApplicationError)))
def test_an_error_of_an_activity_keeps_its_class_whatever_its_code(
    kind: type[ApplicationError],
) -> None:
    """A code that no list has would be a bare 500 to who sent the command."""
    raised = kind("the message", "a_code_that_no_list_has", {"limit": 3})
    failure = activity_failure(raised, 1, "0.1.0")
    seen = from_temporal(WorkflowUpdateFailedError(failure))
    assert type(seen) is kind
    facts = (seen.error_code, seen.message, seen.details)
    assert facts == ("a_code_that_no_list_has", "the message", {"limit": 3})


@pytest.mark.parametrize("named", ["Mapping", "ClassVar", "nothing", "", 7, None])
def test_a_class_that_is_none_of_ours_is_not_taken(named: object) -> None:
    seen = from_temporal(WorkflowUpdateFailedError(failed("whatever", {}, None, named)))
    assert seen.error_code == "internal_error"


def test_a_workflow_that_ended_first() -> None:
    error = WorkflowUpdateFailedError(failed("AcceptedUpdateCompletedWorkflow"))
    assert isinstance(from_temporal(error), WorkflowEndedError)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RPCError("down", RPCStatusCode.UNAVAILABLE, b""), "temporal_unavailable"),
        (RPCError("slow", RPCStatusCode.DEADLINE_EXCEEDED, b""), "temporal_unavailable"),
        (RPCError("its database", RPCStatusCode.UNKNOWN, b""), "temporal_unavailable"),
        (RPCError("its fault", RPCStatusCode.INTERNAL, b""), "temporal_unavailable"),
        (RPCError("key", RPCStatusCode.UNAUTHENTICATED, b""), "temporal_unavailable"),
        (RPCError("key", RPCStatusCode.PERMISSION_DENIED, b""), "temporal_unavailable"),
        (RPCError("gone", RPCStatusCode.NOT_FOUND, b""), "not_found"),
        (RPCError("what", RPCStatusCode.INVALID_ARGUMENT, b""), "internal_error"),
        (WorkflowUpdateRPCTimeoutOrCancelledError(), "outcome_pending"),
        (RuntimeError("Failed client connect: refused"), "temporal_unavailable"),
    ],
)
def test_calls_that_do_not_get_through(error: Exception, code: str) -> None:
    assert from_temporal(error).error_code == code


def test_only_a_connection_that_failed_is_one() -> None:
    assert not is_connect_failure(RuntimeError("something else"))
    assert not is_connect_failure(ValueError("Failed client connect"))


def _inputs(base: type[BaseModel] = Input) -> Iterator[type[BaseModel]]:
    for each in base.__subclasses__():
        yield each
        yield from _inputs(each)


def _takes(field: FieldInfo, value: str) -> bool:
    try:
        kind: Any = Annotated[field.annotation, field]
        TypeAdapter[Any](kind).validate_python(value)
    except ValidationError:
        return False
    return True


def test_a_text_that_must_be_there_is_not_blank() -> None:
    fields = [(model, *pair) for model in _inputs() for pair in model.model_fields.items()]
    required = [each for each in fields if _takes(each[2], "x") and not _takes(each[2], "")]
    assert app.build_app.__name__ == "build_app"  # its module imports all schemas
    assert len(required) > 10
    assert [each[:2] for each in required if _takes(each[2], " \n ")] == []


class Limited(BaseModel):
    limits: dict[Literal["token_count"], int] = {}

    @field_validator("limits")
    @classmethod
    def _check(cls, limits: dict[str, int]) -> dict[str, int]:
        if not limits:
            raise ValueError("a limit is required")
        return limits


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"token_count": "x"}, "body.limits.token_count"),
        ({"echo_me": 1}, "body.limits"),
        ({}, "body.limits"),
    ],
)
def test_the_key_of_a_map_is_named_if_it_is_one_of_ours(limits: object, told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Limited.model_validate({"limits": limits})
    (error,) = caught.value.errors()
    fault = describe({**error, "loc": ("body", *error["loc"])}, field_names(Limited))
    assert fault["field"] == told
    assert not fault["message"].startswith("Value error")


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")

    numbers: dict[str, int] = {}


def test_names_that_the_client_chose_are_not_given_back() -> None:
    with pytest.raises(ValidationError) as caught:
        Strict.model_validate({"numbers": {"echo-me": "x"}, "echo-me": 1})
    told = [describe({**error, "loc": ("body", *error["loc"])}) for error in caught.value.errors()]
    assert [each["field"] for each in told] == ["body.numbers", "body"]
    assert "echo-me" not in str(told)


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    count: int
    notes: dict[str, int] = {}


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    inner: Inner
    several: list[Inner] = []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"inner": {"count": "x"}}, "body.inner.count"),
        ({"inner": {}}, "body.inner.count"),
        ({"inner": {"count": 1, "cuont": 2}}, "body.inner.cuont"),
        ({"inner": {"count": 1}, "iner": 1}, "body.iner"),
        ({"inner": {"count": 1}, "several": [{"count": "x"}]}, "body.several.count"),
        ({"inner": {"count": 1, "notes": {"echo-me": "x"}}}, "body.inner.notes"),
        ({"inner": {"count": 1, "4242 4242 4242 4242": 2}}, "body.inner"),
    ],
)
def test_nested_fields_are_named_as_the_schema_names_them(body: object, field: str) -> None:
    names = field_names(Outer)
    assert names == {"inner", "several", "count", "notes"}
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(body)
    told = [
        describe({**error, "loc": ("body", *error["loc"])}, names)
        for error in caught.value.errors()
    ]
    assert [each["field"] for each in told] == [field]
    assert told[0]["message"]
    assert "echo-me" not in str(told)


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (
            "The limit on the total number of distinct updates in this workflow has been reached",
            429,
            "too_many_requests",
        ),
        ("no poller seen for task queue recently, worker may be down", 503, "temporal_unavailable"),
    ],
)
def test_a_failed_precondition_is_told_by_its_words(words: str, status: int, code: str) -> None:
    seen = from_temporal(RPCError(words, RPCStatusCode.FAILED_PRECONDITION, b""))
    assert (seen.http_status, seen.error_code) == (status, code)
