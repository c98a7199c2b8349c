"""Access of the API to documents and memories in Chroma."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, NamedTuple, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from bootstrap.clients import make_file_reader, open_knowledge
from config import Settings
from database.session import Sessions
from services.knowledge.files import FileReader
from services.knowledge.management import KnowledgeManager
from services.knowledge.search import KnowledgeSearch

# Reason: a request has 25 s in all, and the child may take 20 s of them.
TURN_SECONDS = 3.0


class Knowledge(NamedTuple):
    """Services for documents and memories; only searches in `library` load the embedding model."""

    library: KnowledgeSearch
    manager: KnowledgeManager
    files: FileReader


@asynccontextmanager
async def open_api_knowledge(settings: Settings, sessions: Sessions) -> AsyncIterator[Knowledge]:
    """Open clients of Chroma and of the embedder; the embedding model is loaded on first use.

    Args:
        settings: Settings with the addresses of both.
        sessions: Factory of database sessions.

    Yields:
        The services that the routes use.
    """
    async with open_knowledge(settings) as (chroma, embedder):
        yield Knowledge(
            KnowledgeSearch(chroma, embedder, sessions),
            KnowledgeManager(chroma, sessions),
            make_file_reader(settings, TURN_SECONDS),
        )


def get_knowledge(connection: HTTPConnection) -> Knowledge:
    """Return the process's services for documents and memories."""
    return cast("Knowledge", connection.app.state.knowledge)


KnowledgeDep = Annotated[Knowledge, Depends(get_knowledge)]
