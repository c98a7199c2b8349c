"""Tool `search_memory`: searches memories of the user's earlier conversations."""

from datetime import timedelta

from pydantic import Field

from agents.tools.spec import Arguments, ToolSpec


class SearchMemory(Arguments):
    """Arguments of `search_memory`."""

    query: str = Field(min_length=1, max_length=500, description="What to look for.")
    limit: int = Field(default=5, ge=1, le=20, description="How many at the most.")


SEARCH_MEMORY = ToolSpec(
    name="search_memory",
    description="Search what this user and you said in earlier conversations.",
    arguments=SearchMemory,
    patience=timedelta(seconds=15),
)
