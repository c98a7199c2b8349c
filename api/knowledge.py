"""What the API itself may do with documents and memories in Chroma."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, NamedTuple, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from bootstrap.clients import open_knowledge
from config import Settings
from database.session import Sessions
from services.knowledge.management import LibraryDesk
from services.knowledge.search import Library


class Shelves(NamedTuple):
    """Searches load the embedding model; the desk's work does not."""

    library: Library
    desk: LibraryDesk


@asynccontextmanager
async def open_shelves(settings: Settings, sessions: Sessions) -> AsyncIterator[Shelves]:
    """Open connections to Chroma and to what embeds; nothing is loaded before it is needed.

    Args:
        settings: Where they are.
        sessions: The database.

    Yields:
        What the routes need.
    """
    async with open_knowledge(settings) as (chroma, embedder):
        yield Shelves(Library(chroma, embedder, sessions), LibraryDesk(chroma, sessions))


def get_shelves(connection: HTTPConnection) -> Shelves:
    """Return the process's shelves."""
    return cast("Shelves", connection.app.state.shelves)


ShelvesDep = Annotated[Shelves, Depends(get_shelves)]
