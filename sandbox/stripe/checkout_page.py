"""Checkout's page, for people, and the control that does the same for tests."""

import html
from typing import Any
from urllib.parse import parse_qsl

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from sandbox.stripe.engine import Engine
from sandbox.stripe.errors import ApiError
from sandbox.stripe.objects.hosted import checkout_completion, checkout_sessions
from sandbox.stripe.session import Object, Session, new_id, shown

_FIELDS = (("payment_method", "pm_card_visa"), ("promotion_code", ""), ("email", ""), ("name", ""))


class Typed(BaseModel):
    """What a customer types into the page."""

    model_config = ConfigDict(extra="forbid")

    payment_method: str | None = None
    promotion_code: str | None = None
    email: str | None = None
    name: str | None = None


class CheckoutPage:
    """Handlers of the page and of the control."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> list[Route]:
        """Return the routes of both."""
        return [
            Route("/c/pay/{id}", self._see, methods=["GET"]),
            Route("/c/pay/{id}", self._submit, methods=["POST"]),
            Route("/_sandbox/checkout/{id}/complete", self._control, methods=["POST"]),
        ]

    async def _see(self, request: Request) -> Response:
        try:
            session = self._engine.session()
            checkout = session.get(checkout_sessions.KIND, request.path_params["id"])
        except ApiError as error:
            return _page(html.escape(str(error)), error.status)
        return _page(_form(checkout))

    async def _submit(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode(errors="replace")))
        try:
            done = await self._complete(request.path_params["id"], Typed.model_validate(form))
        except ApiError as error:
            return _page(html.escape(str(error)), error.status)
        except ValidationError as error:
            return _page(html.escape(str(error)), 400)
        target = done["success_url"].replace("{CHECKOUT_SESSION_ID}", done["id"])
        return RedirectResponse(target, 303)

    async def _control(self, request: Request) -> Response:
        try:
            typed = Typed.model_validate_json(await request.body() or b"{}")
            done = await self._complete(request.path_params["id"], typed)
        except ApiError as error:
            return _json(error.body(new_id("req")), error.status)
        except ValidationError as error:
            return _json({"error": {"message": str(error), "type": "invalid_request_error"}}, 400)
        return _json(shown(done))

    async def _complete(self, checkout_id: str, typed: Typed) -> Object:
        def work(session: Session) -> Object:
            given = typed.model_dump(exclude_none=True)
            return checkout_completion.complete(session, checkout_id, given)

        return await self._engine.carry_out(work, request_id=new_id("req"))


def _json(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")


def _page(body: str, status: int = 200) -> Response:
    head = '<!doctype html><meta charset="utf-8"><title>Checkout</title>'
    return HTMLResponse(f"{head}<main>{body}</main>", status)


def _form(checkout: Object) -> str:
    if checkout["status"] != "open":
        return f"<p>This session is {checkout['status']}.</p>"
    lines = "".join(
        f"<li>{line['quantity']} x {html.escape(line['description'])}: {line['amount_total']}</li>"
        for line in checkout["_lines"]
    )
    total = html.escape(f"{checkout['amount_total']} {checkout['currency']}")
    fields = "".join(
        f'<p><label>{name} <input name="{name}" value="{value}"></label></p>'
        for name, value in _FIELDS
    )
    back = checkout["cancel_url"]
    link = f'<p><a href="{html.escape(back)}">Back</a></p>' if back else ""
    return (
        f"<h1>Checkout</h1><ul>{lines}</ul><p>{total} (in its smallest unit)</p>"
        f'<form method="post">{fields}<button>Continue</button></form>{link}'
    )
