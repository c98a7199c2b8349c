"""Pages for people: a challenge to answer, an invoice to pay, a receipt."""

import html
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from sandbox.stripe import errors
from sandbox.stripe.engine import Engine
from sandbox.stripe.errors import ApiError
from sandbox.stripe.objects.customers import payment_methods
from sandbox.stripe.objects.invoices import invoices
from sandbox.stripe.objects.payments import authentication
from sandbox.stripe.session import Object, Session, new_id, shown

_OUTCOMES = ("succeeded", "failed")


class Pages:
    """Handlers of what a browser asks for; a test may post JSON and gets JSON."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> list[Route]:
        """Return the pages' routes."""
        return [
            Route("/_sandbox/3ds/{id}", self._see(_challenge), methods=["GET"]),
            Route("/_sandbox/3ds/{id}", self._do(_answer, _after_challenge), methods=["POST"]),
            Route("/i/{id}", self._see(_invoice), methods=["GET"]),
            Route("/i/{id}", self._do(_pay, _after_payment), methods=["POST"]),
            Route("/receipts/{id}", self._see(_receipt), methods=["GET"]),
        ]

    def _see(self, page: Callable[[Session, str], str]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            try:
                body = page(self._engine.session(), request.path_params["id"])
            except ApiError as error:
                return _page(html.escape(str(error)), error.status)
            return _page(body)

        return endpoint

    def _do(
        self,
        work: Callable[[Session, str, Mapping[str, Any]], Object],
        after: Callable[[Object], Response],
    ) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            request_id, object_id = new_id("req"), request.path_params["id"]
            is_json = request.headers.get("content-type", "").startswith("application/json")
            raw = await request.body()
            try:
                form = _json(raw) if is_json else dict(parse_qsl(raw.decode(errors="replace")))
                done = await self._engine.carry_out(
                    lambda session: work(session, object_id, form), request_id=request_id
                )
            except ApiError as error:
                answer = orjson.dumps(error.body(request_id))
                text = html.escape(str(error))
                return _document(answer, error.status) if is_json else _page(text, error.status)
            return _document(orjson.dumps(shown(done))) if is_json else after(done)

        return endpoint


def _json(raw: bytes) -> dict[str, Any]:
    try:
        form = orjson.loads(raw)
    except orjson.JSONDecodeError:
        form = None
    if not isinstance(form, dict):
        raise errors.bad_parameter("The body is no JSON object.")
    return form


def _document(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def _page(body: str, status: int = 200) -> Response:
    head = '<!doctype html><meta charset="utf-8"><title>Sandbox</title>'
    return HTMLResponse(f"{head}<main>{body}</main>", status)


def _button(name: str, value: str, label: str) -> str:
    return f'<button name="{name}" value="{value}">{label}</button>'


def _money(amount: int, currency: str) -> str:
    return html.escape(f"{amount} {currency} (in its smallest unit)")


def _challenge(session: Session, intent_id: str) -> str:
    intent = authentication.waiting(session, intent_id)
    what = "Keep this card?"
    if intent["object"] == "payment_intent":
        what = f"Pay {_money(intent['amount'], intent['currency'])}?"
    buttons = _button("outcome", "succeeded", "It is me") + _button(
        "outcome", "failed", "It is not"
    )
    return f'<h1>3-D Secure</h1><p>{what}</p><form method="post">{buttons}</form>'


def _answer(session: Session, intent_id: str, form: Mapping[str, Any]) -> Object:
    outcome = form.get("outcome")
    if outcome not in _OUTCOMES:
        raise errors.bad_parameter(
            f"Invalid outcome: must be one of {', '.join(_OUTCOMES)}", param="outcome"
        )
    return authentication.complete(session, intent_id, is_passed=outcome == "succeeded")


def _after_challenge(intent: Object) -> Response:
    """Send the customer back to where he came from, told how it went as Stripe tells."""
    if not intent["_return_url"]:
        return _page(f"<p>This is {intent['status']} now. You can close this page.</p>")
    has_failed = intent["status"] == "requires_payment_method"
    told = {
        intent["object"]: intent["id"],
        f"{intent['object']}_client_secret": intent["client_secret"],
        "redirect_status": "failed" if has_failed else "succeeded",
    }
    mark = "&" if "?" in intent["_return_url"] else "?"
    return RedirectResponse(f"{intent['_return_url']}{mark}{urlencode(told)}", 303)


def _invoice(session: Session, invoice_id: str) -> str:
    invoice = session.get("invoice", invoice_id)
    text = f"<h1>Invoice {invoice['number']}</h1><p>{invoice['status']}</p>"
    if invoice["status"] not in {"open", "uncollectible"}:
        return text
    field = '<input name="payment_method" value="pm_card_visa">'
    due = _money(invoice["amount_remaining"], invoice["currency"])
    return f'{text}<p>{due}</p><form method="post">{field}<button>Pay</button></form>'


def _pay(session: Session, invoice_id: str, form: Mapping[str, Any]) -> Object:
    """Pay with a card as its owner does: here and now, so that a challenge can be answered."""
    invoice = session.get("invoice", invoice_id)
    method_id = form.get("payment_method")
    if invoice["status"] not in {"open", "uncollectible"}:
        raise errors.invalid_request(f"This invoice is {invoice['status']}; it cannot be paid.")
    if not isinstance(method_id, str) or not method_id:
        raise errors.bad_parameter("Which card?", param="payment_method")
    method = payment_methods.take(session, method_id)
    payment_methods.check_usable(method, invoice["customer"])
    found = invoices.payment_of(session, invoice)
    if found:
        url = f"{session.base_url}/i/{invoice_id}"
        session.change(found[1], {"_return_url": url}, is_announced=False)
    intent = invoices.collect(session, invoice, method, is_off_session=False)
    if intent and intent["status"] == "requires_action":
        return intent
    if intent:
        invoices.refuse_unless_paid(intent, method)
    return invoice


def _after_payment(done: Object) -> Response:
    if done["object"] == "payment_intent":
        return RedirectResponse(done["next_action"]["redirect_to_url"]["url"], 303)
    return _page("<p>Paid. Thank you.</p>")


def _receipt(session: Session, charge_id: str) -> str:
    charge = session.get("charge", charge_id)
    return f"<h1>Receipt</h1><p>{_money(charge['amount_captured'], charge['currency'])}</p>"
