"""What the API itself may do with documents and memories in Chroma."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, NamedTuple, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from bootstrap.clients import open_knowledge
from config import Settings
from database.session import Sessions
from services.knowledge.management import KnowledgeManager
from services.knowledge.search import KnowledgeSearch


class Knowledge(NamedTuple):
    """Searches load the embedding model; the desk's work does not."""

    library: KnowledgeSearch
    desk: KnowledgeManager


@asynccontextmanager
async def open_api_knowledge(settings: Settings, sessions: Sessions) -> AsyncIterator[Knowledge]:
    """Open connections to Chroma and to what embeds; nothing is loaded before it is needed.

    Args:
        settings: Where they are.
        sessions: The database.

    Yields:
        What the routes need.
    """
    async with open_knowledge(settings) as (chroma, embedder):
        yield Knowledge(
            KnowledgeSearch(chroma, embedder, sessions), KnowledgeManager(chroma, sessions)
        )


def get_knowledge(connection: HTTPConnection) -> Knowledge:
    """Return the process's shelves."""
    return cast("Knowledge", connection.app.state.shelves)


KnowledgeDep = Annotated[Knowledge, Depends(get_knowledge)]
