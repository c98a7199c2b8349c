"""Holds requests, answers and events against the SDK's types, and refuses what differs."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson
import stripe
from stripe._object_classes import OBJECT_CLASSES
from stripe.events._event_classes import get_v2_event_class

from sandbox.stripe.checks import Passing, methods
from sandbox.stripe.checks.readings import FORM, JSON
from sandbox.stripe.checks.tally import Tally
from sandbox.stripe.checks.types import Findings, checker, fields
from sandbox.stripe.errors import ApiError

THIN = "v2.core.event"
_CLI_ONLY = "/v1/payment_pages/"
"""Calls of Stripe's CLI that the SDK does not have."""


class SdkReferee:
    """Checks everything that passes, counts it, and answers 500 to what is not as the SDK says."""

    def __init__(self, data: Path) -> None:
        self._tally = Tally(data / "checks.sqlite3")

    def exchange(self, asked: Passing, status: int, body: bytes) -> None:
        """Check a request and its answer.

        A request that is refused for one of its parameters is not the sandbox's to answer for.

        Raises:
            ApiError: If the SDK would not send the one, or knows no such other.
        """
        document = orjson.loads(body)
        findings: list[str] = []
        if asked.pattern is not None:
            self._tally.add("request")
            if not (status == 400 and document["error"].get("param")):
                hidden = {"client_secret"} if asked.is_from_browser else set()
                params = {name: asked.params[name] for name in asked.params.keys() - hidden}
                sent = request_findings(asked.verb, asked.pattern, params)
                findings += [f"request{found}" for found in sent]
        self._tally.add("response")
        got = response_findings(asked.verb, asked.pattern, status, document)
        findings += [
            f"response{found}"
            for found in got
            if not (asked.is_from_browser and ": missing in " in found)
        ]
        self._judge(f"{asked.verb} {asked.pattern} {status}", findings)

    def event(self, event: dict[str, Any]) -> None:
        """Check an event before it is written down.

        Raises:
            ApiError: If the SDK knows no such event.
        """
        self._tally.add("event")
        self._judge(event["type"], [f"event{found}" for found in event_findings(event)])

    def failure(self, place: str, error: Exception) -> None:
        """Note a mistake of the sandbox itself: a test run must not overlook it."""
        self._tally.record(place, f"failed: {error!r}")

    def report(self) -> dict[str, Any]:
        """Return what was checked and every deviation, oldest first."""
        return self._tally.report()

    def close(self) -> None:
        """Close the file."""
        self._tally.close()

    def _judge(self, place: str, findings: list[str]) -> None:
        if not findings:
            return
        for finding in findings:
            self._tally.record(place, finding)
        told = "; ".join(findings)
        message = f"{place} is not as stripe-python {stripe.VERSION} has it: {told}"
        raise ApiError(500, "api_error", message, is_saved=False)


def request_findings(verb: str, pattern: str, params: dict[str, Any]) -> Findings:
    """Return what is wrong with a request's decoded form."""
    if pattern.startswith(_CLI_ONLY):
        return []
    method = methods.find(verb, pattern)
    if method is None:
        return [": the SDK has no such call"]
    return checker(method.params, FORM)(params)


def response_findings(verb: str, pattern: str | None, status: int, document: Any) -> Findings:
    """Return what is wrong with an answer."""
    if status >= 400:
        if document.keys() != {"error"}:
            return [": no error"]
        return [f".error{found}" for found in checker(stripe.ErrorObject, JSON)(document["error"])]
    if (pattern or "").startswith(_CLI_ONLY):
        wanted: Any = class_of(document["object"])
        return list(checker(wanted, JSON)(document))
    method = methods.find(verb, pattern or "")
    if method is None:
        return [": the SDK has no such call"]
    if document.get("object") == THIN:
        return event_findings(document)
    findings = list(checker(method.answer, JSON)(document))
    if pattern is not None and pattern.startswith("/v1/events"):
        for event in document.get("data", []) if "type" not in document else [document]:
            findings += event_findings(event)
    return findings


def event_findings(event: dict[str, Any]) -> Findings:
    """Return what is wrong with an event and with the object in it."""
    if event["object"] == THIN:
        thin: Any = get_v2_event_class(event["type"])
        return list(checker(thin, JSON)(event))
    findings = list(checker(stripe.Event, JSON)(event))
    data = event["data"]
    kind = data["object"].get("object")
    if kind not in OBJECT_CLASSES:
        return [*findings, f".data.object: {kind!r} is no object of the SDK"]
    wanted: Any = class_of(kind)
    findings += [f".data.object{found}" for found in checker(wanted, JSON)(data["object"])]
    previous = data.get("previous_attributes", {})
    return findings + [f".data.previous_attributes{found}" for found in _former(previous, wanted)]


def _former(previous: dict[str, Any], wanted: Any) -> Iterator[str]:
    """Yield what is wrong with former values; of a group only what has changed need be there."""
    known = fields(wanted)[0]
    for name, value in previous.items():
        if name not in known:
            yield f".{name}: unknown"
            continue
        # Reason: metadata has strings only, but a key that was added is null in what was before.
        given = {k: v for k, v in value.items() if v is not None} if name == "metadata" else value
        for found in checker(known[name], JSON)(given):
            if ": missing in " not in found:
                yield f".{name}{found}"


def class_of(name: str) -> type[stripe.StripeObject]:
    """Return the SDK's class of an object's name."""
    module, attribute = OBJECT_CLASSES[name]
    cls: type[stripe.StripeObject] = getattr(import_module(module), attribute)
    return cls
