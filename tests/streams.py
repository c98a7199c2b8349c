"""What the tests of runs' streams share: runs to write to."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import update

from database.agent_models import AgentRun, Conversation
from database.models import User
from database.run_events import RunEventRepository
from database.session import Sessions
from domain.run_events import RunEventKind, RunEventNote


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


def step(number: int, **data: Any) -> RunEventNote:
    return RunEventNote(kind=RunEventKind.STEP, data={"number": number, **data})


async def append(sessions: Sessions, agent_run_id: UUID, *notes: RunEventNote) -> int:
    async with sessions.begin() as session:
        return await RunEventRepository(session).append(agent_run_id, notes)


async def finish(sessions: Sessions, agent_run_id: UUID) -> int:
    """End a run as its workflow does: `done` and the time in one transaction."""
    async with sessions.begin() as session:
        await session.execute(
            update(AgentRun)
            .where(AgentRun.agent_run_id == agent_run_id)
            .values(run_status="completed", completed_at=datetime.now(UTC)),
        )
        done = RunEventNote(kind=RunEventKind.DONE, data={"run_status": "completed"})
        return await RunEventRepository(session).append(agent_run_id, [done])
