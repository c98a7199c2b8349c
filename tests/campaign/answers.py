"""What Stripe can answer to a call, as faults of the stand-in."""

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
TIMEOUT_SECONDS = 31.0
"""Longer than any client of the product waits for Stripe."""
HTML = "<html><body><h1>502 Bad Gateway</h1></body></html>"


@dataclass(frozen=True)
class Answer:
    """One way to answer.

    Attributes:
        name: How it is called in reports.
        fault: What the stand-in is told.
        is_for_reads: Whether a GET can be answered so.
        is_for_writes: Whether a POST or DELETE can be answered so.
        times: How often in a row it can come at the most.
        is_slow: Whether it takes half a minute.
    """

    name: str
    fault: Json = field(hash=False)
    is_for_reads: bool = True
    is_for_writes: bool = True
    times: int = 1
    is_slow: bool = False

    def suits(self, method: str) -> bool:
        """Say whether a call by this method can be answered so."""
        return self.is_for_reads if method == "GET" else self.is_for_writes


def _status(status: int, *, code: str | None = None, times: int = 3, **more: Any) -> Answer:
    fault: Json = {"before": status} | ({"code": code} if code else {})
    name = f"{status}" + (f" {code}" if code else "")
    return Answer(name, fault, times=times, **more)


_WRITES: Json = {"is_for_reads": False}
_REFUSALS = (  # of the state of what is asked for; the key keeps them
    "resource_missing",
    "invoice_not_editable",
    "payment_intent_unexpected_state",
    "payment_method_unexpected_state",
    "parameter_invalid_integer",
    "charge_already_refunded",
)
_DECLINES = ("generic_decline", "insufficient_funds", "lost_card", "expired_card")

ANSWERS: tuple[Answer, ...] = (
    _status(401),
    _status(401, code="api_key_expired"),
    _status(403),
    _status(429),
    _status(429, code="lock_timeout"),
    _status(500),
    _status(502),
    _status(503),
    _status(409, **_WRITES),
    _status(404, times=1),
    _status(400, times=1),
    *(
        Answer(
            f"400 {code} saved", {"before": 400, "code": code, "saved": True}, is_for_reads=False
        )
        for code in _REFUSALS
    ),
    Answer("500 saved, not done", {"before": 500, "saved": True}, is_for_reads=False),
    Answer("500 saved, done", {"after": 500}, is_for_reads=False),
    Answer("dropped, not done", {"drop_before": True}, times=3),
    Answer("dropped, done", {"drop": True}, times=2),
    Answer("HTML 502", {"before": 502, "body": HTML}, times=2),
    Answer("HTML 200, done", {"body": HTML}),
    Answer("garbled, done", {"body": '{"id": "in_'}),
    Answer("without nulls", {"omit_null": True}, times=20),
    Answer("slow", {"delay_seconds": 3}, times=2),
    Answer(
        "timeout, not done", {"delay_seconds": TIMEOUT_SECONDS, "drop_before": True}, is_slow=True
    ),
    Answer("timeout, done", {"delay_after_seconds": TIMEOUT_SECONDS}, is_slow=True),
)
BY_NAME = {answer.name: answer for answer in ANSWERS}
