"""Helpers for tests of agent runs' streams: rows of runs, and a relay that loses connections."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid4

from sqlalchemy import make_url, update

from database.accounts.models import User
from database.agents.messages import MessageRepository
from database.agents.models import AgentRun, Conversation
from database.agents.run_events import RunEventRepository
from database.session import Sessions
from domain.agents.run_events import NewRunEvent, RunEventKind
from domain.llm.messages import Role


async def add_run(sessions: Sessions, user_id: UUID | None = None) -> UUID:
    agent_run_id, conversation_id, owner_id = uuid4(), uuid4(), user_id or uuid4()
    async with sessions.begin() as session:
        if user_id is None:
            email = f"{owner_id.hex}@example.com"
            session.add(User(user_id=owner_id, email=email, role="user"))
        await session.flush()
        session.add(Conversation(conversation_id=conversation_id, user_id=owner_id))
        await session.flush()
        session.add(
            AgentRun(
                agent_run_id=agent_run_id,
                user_id=owner_id,
                conversation_id=conversation_id,
                agent="research",
                prompt_version="1",
                run_status="running",
                workflow_id=f"agent-run-{agent_run_id}",
            ),
        )
    return agent_run_id


def step(number: int, **data: Any) -> NewRunEvent:
    return NewRunEvent(kind=RunEventKind.STEP, data={"number": number, **data})


async def append(sessions: Sessions, agent_run_id: UUID, *notes: NewRunEvent) -> int:
    async with sessions.begin() as session:
        return await RunEventRepository(session).append(agent_run_id, notes)


async def finish(sessions: Sessions, agent_run_id: UUID, run_status: str = "completed") -> int:
    """End a run as its workflow does: write `done` and the row's end in one transaction."""
    async with sessions.begin() as session:
        done = NewRunEvent(kind=RunEventKind.DONE, data={"run_status": run_status})
        last = await RunEventRepository(session).append(agent_run_id, [done])
        await session.execute(
            update(AgentRun)
            .where(AgentRun.agent_run_id == agent_run_id)
            .values(run_status=run_status, completed_at=datetime.now(UTC)),
        )
        return last


class Relay:
    """Relays connections to PostgreSQL, and can break them or lose answers, as networks do."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self._folder = folder
        self._database_url = database_url
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.is_cut = False
        # Number of commits that reach the server, but whose answers do not reach the client.
        self.lost_answer_count = 0

    @property
    def database_url(self) -> str:
        """Return the database URL that leads through this relay."""
        return f"postgresql://postgres:@/postgres?host={self._folder}"

    async def __aenter__(self) -> Self:
        path = str(self._folder / ".s.PGSQL.5432")
        self._server = await asyncio.start_unix_server(self._serve, path)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Close all connections, and refuse new ones until `mend`."""
        self.is_cut = True
        for writer in self._writers:
            writer.close()

    def mend(self) -> None:
        self.is_cut = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.close()
            return
        folder = make_url(self._database_url).query["host"]
        server_reader, server_writer = await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")
        self._writers |= {writer, server_writer}
        for source, target in ((reader, server_writer), (server_reader, writer)):
            task = asyncio.create_task(self._pump(source, target, writer, server_writer))
            self._tasks.add(task)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
        server: asyncio.StreamWriter,
    ) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                if target is server and b"COMMIT" in data and self.lost_answer_count:
                    self.lost_answer_count -= 1
                    client.close()
                target.write(data)
                await target.drain()
        for writer in (client, server):
            writer.close()


async def add_question(sessions: Sessions, agent_run_id: UUID, question: str) -> UUID:
    """Store the question with which a run begins, and return the run's user."""
    async with sessions.begin() as session:
        run = await session.get_one(AgentRun, agent_run_id)
        await MessageRepository(session).add(
            run.conversation_id,
            f"agent-run-{agent_run_id}:input",
            Role.USER,
            question,
            agent_run_id=agent_run_id,
        )
        return run.user_id
