"""The outside world: the stand-ins for Stripe, mail and models, by their controls."""

from fnmatch import fnmatch

import httpx

from commands.demo.api_client import TIMEOUT_SECONDS, Document, answered

DAY_SECONDS = 86_400
EMBEDDINGS = "/v1/embeddings"


class Sandboxes:
    """Stripe's stand-in and the mail sink."""

    def __init__(self, stripe_url: str, mail_url: str) -> None:
        self._stripe = httpx.Client(base_url=stripe_url, timeout=TIMEOUT_SECONDS)
        self._mail = httpx.Client(base_url=mail_url, timeout=TIMEOUT_SECONDS)

    def card(self, *script: str) -> str:
        """Make a card that answers by script, one entry a charge."""
        return str(self._control("payment-methods", {"script": list(script)})["id"])

    def advance(self, days: int) -> None:
        """Move Stripe's clock."""
        self._control("clock/advance", {"seconds": days * DAY_SECONDS})

    def delay(self, match: str, seconds: float) -> None:
        """Make the next call that matches slow."""
        fault = {"match": match, "times": 1, "delay_seconds": seconds}
        self._control("faults", {"api": [fault]})

    def requests(self, match: str) -> list[Document]:
        """Return the calls that Stripe has received and that match, oldest first."""
        calls = answered(self._stripe.get("/_sandbox/requests"))["items"]
        return [call for call in calls if fnmatch(f"{call['method']} {call['path']}", match)]

    def charges(self, stripe_invoice_id: str) -> list[Document]:
        """Return the charges tried for an invoice, from Stripe's own ledger."""
        rows = self._ledger("charge")
        return [row for row in rows if row["invoice"] == stripe_invoice_id]

    def refunds(self, stripe_payment_intent_id: str) -> list[Document]:
        """Return the refunds of a payment, from Stripe's own ledger."""
        rows = self._ledger("refund")
        return [row for row in rows if row["payment_intent"] == stripe_payment_intent_id]

    def mails(self, email: str) -> list[Document]:
        """Return what somebody was sent."""
        mails: list[Document] = answered(
            self._mail.get("/_sandbox/mails", params={"to": email}),
        )["items"]
        return mails

    def close(self) -> None:
        """Hang up."""
        self._stripe.close()
        self._mail.close()

    def _ledger(self, kind: str) -> list[Document]:
        rows = answered(self._stripe.get("/_sandbox/ledger"))["items"]
        return [row for row in rows if row["kind"] == kind]

    def _control(self, what: str, body: Document) -> Document:
        done: Document = answered(self._stripe.post(f"/_sandbox/{what}", json=body))
        return done


class ModelStandIn:
    """The models' stand-in."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS)

    def slow_down(self, match: str, token_seconds: float) -> None:
        """Let the next answer to a text come at a pace that can be read; its rules make it."""
        items = [{"match": match, "token_seconds": token_seconds}]
        answered(self._http.post("/_sandbox/script", json={"items": items}))

    def calls(self, after: int = 0) -> list[Document]:
        """Return the model calls in the stand-in's own log, oldest first."""
        listed = answered(self._http.get("/_sandbox/requests"))["items"]
        return [call for call in listed if call["seq"] > after and call["path"] != EMBEDDINGS]

    def close(self) -> None:
        """Hang up."""
        self._http.close()
