"""Clients of the sandboxes' controls: Stripe, mail and models."""

from fnmatch import fnmatch

import httpx

from commands.demo.api_client import TIMEOUT_SECONDS, Document, answered

DAY_SECONDS = 86_400
EMBEDDINGS = "/v1/embeddings"


class Sandboxes:
    """Controls the Stripe sandbox, and reads the mail sandbox."""

    def __init__(self, stripe_url: str, mail_url: str) -> None:
        self._stripe = httpx.Client(base_url=stripe_url, timeout=TIMEOUT_SECONDS)
        self._mail = httpx.Client(base_url=mail_url, timeout=TIMEOUT_SECONDS)

    def card(self, *script: str) -> str:
        """Make a card that answers its charges by a script, one entry per charge."""
        return str(self._control("payment-methods", {"script": list(script)})["id"])

    def advance(self, days: int) -> None:
        """Advance the Stripe sandbox's clock."""
        self._control("clock/advance", {"seconds": days * DAY_SECONDS})

    def delay(self, match: str, seconds: float) -> None:
        """Delay the next matching call to Stripe."""
        fault = {"match": match, "times": 1, "delay_seconds": seconds}
        self._control("faults", {"api": [fault]})

    def requests(self, match: str) -> list[Document]:
        """Return the matching calls that Stripe has received, oldest first."""
        calls = answered(self._stripe.get("/_sandbox/requests"))["items"]
        return [call for call in calls if fnmatch(f"{call['method']} {call['path']}", match)]

    def charges(self, stripe_invoice_id: str) -> list[Document]:
        """Return the charges of an invoice, also the failed ones, from Stripe's ledger."""
        rows = self._ledger("charge")
        return [row for row in rows if row["invoice"] == stripe_invoice_id]

    def refunds(self, stripe_payment_intent_id: str) -> list[Document]:
        """Return the refunds of a payment from Stripe's ledger."""
        rows = self._ledger("refund")
        return [row for row in rows if row["payment_intent"] == stripe_payment_intent_id]

    def mails(self, email: str) -> list[Document]:
        """Return the mails that were sent to an address."""
        mails: list[Document] = answered(
            self._mail.get("/_sandbox/mails", params={"to": email}),
        )["items"]
        return mails

    def close(self) -> None:
        """Close the connections."""
        self._stripe.close()
        self._mail.close()

    def _ledger(self, kind: str) -> list[Document]:
        rows = answered(self._stripe.get("/_sandbox/ledger"))["items"]
        return [row for row in rows if row["kind"] == kind]

    def _control(self, path: str, body: Document) -> Document:
        result: Document = answered(self._stripe.post(f"/_sandbox/{path}", json=body))
        return result


class ModelSandbox:
    """Controls the models' sandbox."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS)

    def slow_down(self, match: str, token_seconds: float) -> None:
        """Slow down the next answer to a matching text, without changing the answer."""
        items = [{"match": match, "token_seconds": token_seconds}]
        answered(self._http.post("/_sandbox/script", json={"items": items}))

    def calls(self, after: int = 0) -> list[Document]:
        """Return the model calls in the sandbox's log, oldest first."""
        calls = answered(self._http.get("/_sandbox/requests"))["items"]
        return [call for call in calls if call["seq"] > after and call["path"] != EMBEDDINGS]

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
