"""Tool `fetch_page`: reads a page on the web, of the domains that the deployment allows."""

from datetime import timedelta

from pydantic import Field

from agents.tools.spec import Arguments, ToolSpec


class FetchPage(Arguments):
    """Arguments of `fetch_page`."""

    url: str = Field(min_length=1, max_length=2_000, description="http or https address.")


FETCH_PAGE = ToolSpec(
    name="fetch_page",
    description="Read the text of a web page or PDF whose address the user or a document gives.",
    arguments=FetchPage,
    # Reason: a server may be slow, and to read a PDF takes up to 20 s.
    time_limit=timedelta(seconds=60),
    patience=timedelta(seconds=15),
)
