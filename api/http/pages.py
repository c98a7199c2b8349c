"""Answers of routes that people open in a browser: errors are pages, too."""

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.responses import JSONResponse

from api.errors import ERROR_HANDLERS, answer_to
from api.http.raw_headers import header_of
from api.http.routing import ApiRoute
from api.pages.approval_pages import HEADERS, trouble_page
from api.pages.texts import PageTexts, texts_for

_KEPT_HEADERS = ("Retry-After",)


class PageRoute(ApiRoute):
    """A route whose errors are pages for browsers, and problem documents for programs."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of an API's route, with its errors rendered."""
        handle = super().get_route_handler()

        async def serve(request: Request) -> Response:
            try:
                answer = await handle(request)
            except tuple(ERROR_HANDLERS) as error:
                answer = _rendered(request, await answer_to(request, error))
            answer.headers.update(HEADERS)
            return answer

        return serve


def page_texts(request: Request) -> PageTexts:
    """Return the texts for the reader of a page: the user of the link, else as the browser asks."""
    locale: str | None = getattr(request.state, "locale", None)
    return texts_for(locale or header_of(request.scope, b"accept-language")[:2])


def _rendered(request: Request, answer: JSONResponse) -> Response:
    """Return an error as a page, if the request accepts one."""
    if "text/html" not in header_of(request.scope, b"accept"):
        return answer
    code = orjson.loads(answer.body)["code"]
    page = trouble_page(answer.status_code, code, page_texts(request))
    kept = {name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers}
    page.headers.update(kept)
    return page
