"""Lists the middlewares of the app.

To observe or to change all requests, add a middleware to `ADDED`; `handled_request` gives it the
caller, the route template and the id of the resource. `docs/adding.md` shows an example.
"""

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

from api.http.body_limits import (
    DOCUMENT_BYTES,
    FORM_BYTES,
    WEBHOOK_BYTES,
    BodyLimitMiddleware,
)
from api.http.methods import HeadMiddleware
from api.http.request_context import REQUEST_ID, AnswerMiddleware, RequestContextMiddleware
from api.idempotency import REPLAYED
from api.openapi import PREFIX
from api.webhooks.endpoint import WebhookEndpoint
from config import Settings

GZIP_FROM_BYTES = 1_024
# Headers that pages on other origins may send and read. Browsers add those that are always allowed.
SENT_HEADERS = (
    "Authorization",
    "X-API-Key",
    "Idempotency-Key",
    "Last-Event-ID",
    REQUEST_ID,
)
READ_HEADERS = ("Location", "Retry-After", REQUEST_ID, REPLAYED)

# Middlewares that are added to our own, the outermost first. They see every status, including those
# of errors that nobody expected and of requests that took too long.
ADDED: list[Middleware] = []


def make_middleware(settings: Settings) -> list[Middleware]:
    """Return the middlewares of the app, the outermost first."""
    return [
        Middleware(RequestContextMiddleware),
        *_allow_origins(settings),
        *ADDED,
        Middleware(AnswerMiddleware),
        Middleware(BodyLimitMiddleware, limits=_body_limits(settings)),
        Middleware(WebhookEndpoint, path=f"{PREFIX}/webhooks/stripe"),
        Middleware(HeadMiddleware),
        Middleware(GZipMiddleware, minimum_size=GZIP_FROM_BYTES),
    ]


def _allow_origins(settings: Settings) -> list[Middleware]:
    if not settings.api.cors_origins:
        return []
    # Reason: outside of all that answers errors, so that pages can read these answers too. Never
    # with `allow_credentials`: pages send credentials in headers, and cookies are not used.
    allowing = Middleware(
        CORSMiddleware,
        allow_origins=settings.api.cors_origins,
        allow_methods=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
        allow_headers=SENT_HEADERS,
        expose_headers=READ_HEADERS,
    )
    return [allowing]


def _body_limits(settings: Settings) -> dict[str, int]:
    # Reason: escapes in JSON may double the size of a text.
    document_bytes = max(DOCUMENT_BYTES, 2 * settings.documents.max_bytes)
    return {
        # Reason: the first prefix that fits counts.
        f"{PREFIX}/documents/upload": FORM_BYTES + settings.documents.max_file_bytes,
        f"{PREFIX}/documents": document_bytes,
        f"{PREFIX}/webhooks/": WEBHOOK_BYTES,
    }
