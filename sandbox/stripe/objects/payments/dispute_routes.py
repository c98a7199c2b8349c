"""The calls on disputes."""

from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.objects.payments import dispute_shape, disputes
from sandbox.stripe.params import PAGE, Boolean, Group, Metadata, Range, Text
from sandbox.stripe.routing import Route
from sandbox.stripe.session import Object, Session, merged, page_of, shown

_VERDICTS = {"winning_evidence": "won", "losing_evidence": "lost"}
_UPDATE = Group(
    {
        "evidence": Group({name: Text(max_length=150_000) for name in dispute_shape.TEXTS}),
        "metadata": Metadata(),
        "submit": Boolean(),
    }
)


def retrieve(session: Session, _params: dict[str, Any], dispute_id: str) -> Object:
    """GET /v1/disputes/{id}."""
    return _as_of_now(session, session.get("dispute", dispute_id))


def _as_of_now(session: Session, dispute: Object) -> Object:
    """Return a dispute with its balance transactions as they are now."""
    entries = [
        shown(session.get("balance_transaction", entry["id"]))
        for entry in dispute["balance_transactions"]
    ]
    return shown(dispute) | {"balance_transactions": entries}


def list_all(session: Session, params: dict[str, Any]) -> Object:
    """GET /v1/disputes."""
    filters = {name: params[name] for name in ("charge", "payment_intent") if params.get(name)}
    page = page_of(session, "dispute", "/v1/disputes", params, filters)
    return page | {"data": [_as_of_now(session, dispute) for dispute in page["data"]]}


def update(session: Session, params: dict[str, Any], dispute_id: str) -> Object:
    """POST /v1/disputes/{id}: evidence is final once it is submitted."""
    dispute = session.get("dispute", dispute_id)
    changes: dict[str, Any] = {}
    if "metadata" in params:
        changes["metadata"] = merged(dispute["metadata"], params["metadata"])
    is_submitted = params.get("submit", "evidence" in params)
    if "evidence" in params or is_submitted:
        _refuse_evidence(dispute)
        changes["evidence"] = dispute["evidence"] | params.get("evidence", {})
        changes["evidence_details"] = _details(dispute, is_submitted=is_submitted)
    if is_submitted:
        prefix = "warning_" if dispute["status"].startswith("warning_") else ""
        changes["status"] = f"{prefix}under_review"
    session.change(dispute, changes)
    if is_submitted:
        _judge(session, dispute)
    return _as_of_now(session, dispute)


def _refuse_evidence(dispute: Object) -> None:
    if not dispute["status"].endswith("needs_response"):
        raise errors.invalid_request(
            f"This dispute is {dispute['status']} and takes no evidence any more.",
            param="evidence",
        )


def _details(dispute: Object, *, is_submitted: bool) -> Object:
    details: Object = dispute["evidence_details"] | {"has_evidence": True}
    if is_submitted:
        details |= {"submission_count": 1, "submission_method": "manual"}
    return details


def _judge(session: Session, dispute: Object) -> None:
    """Decide at once where the evidence is one of Stripe's test words."""
    text = dispute["evidence"]["uncategorized_text"]
    is_inquiry = dispute["status"].startswith("warning_")
    if text == "escalate_inquiry_evidence" and is_inquiry:
        disputes.escalate(session, dispute)
    elif text in _VERDICTS:
        disputes.close(session, dispute, _VERDICTS[text])


def close(session: Session, _params: dict[str, Any], dispute_id: str) -> Object:
    """POST /v1/disputes/{id}/close: give in."""
    dispute = session.get("dispute", dispute_id)
    if dispute["status"] in disputes.CLOSED:
        raise errors.invalid_request("This dispute is already closed")
    return _as_of_now(session, disputes.close(session, dispute, "lost"))


ROUTES = (
    Route(
        "GET",
        "/v1/disputes",
        list_all,
        Group({**PAGE, "charge": Text(), "payment_intent": Text(), "created": Range()}),
    ),
    Route("GET", "/v1/disputes/{id}", retrieve),
    Route("POST", "/v1/disputes/{id}", update, _UPDATE),
    Route("POST", "/v1/disputes/{id}/close", close),
)
