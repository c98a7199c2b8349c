"""Tool `fetch_page`: returns the text of a page on the web, cut to the tool's output limit."""

from typing import Any

import orjson

from agents.tools.fetch_page import FETCH_PAGE, FetchPage
from database.agents.models import AgentRun, ToolCall
from domain.agents.tools.tool_calls import ToolCallStatus
from services.agents.tools.catalog import Effect, Tool, ToolResources
from services.knowledge.files import WebPage

# What the ledger adds to a result.
_STATUS_BYTES = 100
# Reason: a redirect may lead to an address that leaves no room for the text.
_URL_LENGTH = 2_000


async def fetch_page(resources: ToolResources, _: AgentRun, call: ToolCall) -> Effect:
    """Fetch a page and read its text.

    Raises:
        InvalidInputError: The page is not allowed, or cannot be fetched or read.
        UnavailableError: Its server does not answer now, or other documents come first.
    """
    wanted = FetchPage.model_validate(call.arguments_data)
    page = await resources.pages.read(wanted.url)
    return Effect(ToolCallStatus.DONE, cut(page, FETCH_PAGE.output_limit_bytes - _STATUS_BYTES))


def cut(page: WebPage, most_bytes: int) -> dict[str, Any]:
    """Return the result for a page, with as much of its text as fits."""
    text = page.content.text
    facts = {"url": page.url[:_URL_LENGTH], "title": page.content.title, "is_cut": False}
    room = most_bytes - len(orjson.dumps(facts | {"text": ""}))
    # Reason: JSON writes some letters with more bytes than others, so one cut may not do.
    while (size := len(orjson.dumps(text))) > room:
        text, facts["is_cut"] = text[: len(text) * room // size], True
    return facts | {"text": text}


FETCH_PAGE_TOOL = Tool(FETCH_PAGE, fetch_page)
