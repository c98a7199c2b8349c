"""Makes calls of an HTTP tool through the ledger, also in a process of its own.

Run: `python -m tests.support.tool_shop DATABASE_URL FOLDER CALL_ID`; it makes one attempt.
"""

import asyncio
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select
from temporalio.testing import ActivityEnvironment

from activities.agents.tool_calls import ToolActivities
from bootstrap.tools import read_http_tools
from database.agents.models import AgentRun, Message, ToolCall
from database.agents.tool_calls import ToolCallRepository
from database.session import Sessions, make_engine, make_sessions
from domain.agents.approvals import args_digest
from domain.agents.runs import ToolCallInput
from services.agents.tools.catalog import Tool, ToolCatalog, ToolResources
from tests.support.streams import add_run

TOKEN = "a-token-that-nobody-may-see"


class Shop:
    """Makes calls of one tool, each in a run of one user, as its workflow would."""

    def __init__(self, sessions: Sessions, tool: Tool) -> None:
        self.sessions, self.tool = sessions, tool
        self.user_id: UUID | None = None
        resources: Any = ToolResources(None, None, None, None, sessions, None)  # type: ignore[arg-type]
        self.activities = ToolActivities(ToolCatalog([tool]), resources, sessions)

    async def ask(self, run_id: UUID | None = None, **arguments: Any) -> UUID:
        """Enter a call into the ledger, with the approval that it needs."""
        run_id = run_id or await add_run(self.sessions, self.user_id)
        call_id, arguments = uuid4(), arguments or {"sku": "A"}
        name = self.tool.spec.name
        facts = {
            "call_id": call_id,
            "agent_run_id": run_id,
            "args_sha256": args_digest(name, arguments),
        }
        async with self.sessions.begin() as session:
            run = await session.get_one(AgentRun, run_id)
            self.user_id = run.user_id
            calls = ToolCallRepository(session)
            await calls.add(
                facts
                | {
                    "step": int(uuid4()) % 1_000_000,
                    "position": 0,
                    "provider_call_id": "x",
                    "tool": name,
                    "arguments_data": arguments,
                    "tool_call_status": "requested",
                }
            )
            await calls.add_approval(
                facts
                | {
                    "approver_role": "admin",
                    "approval_status": "approved",
                    "expires_at": datetime.now(UTC) + timedelta(hours=1),
                }
            )
        return call_id

    async def attempt(self, call_id: UUID, *, age: timedelta = timedelta(0)) -> ToolCall:
        """Make one attempt at a call, which the activity began some time ago."""
        call = await self.row(call_id)
        environment = ActivityEnvironment()
        began_at = datetime.now(UTC) - age
        environment.info = replace(environment.info, scheduled_time=began_at)
        wanted = ToolCallInput(agent_run_id=call.agent_run_id, call_id=call_id)
        await environment.run(self.activities.run_tool, wanted)
        return await self.row(call_id)

    async def row(self, call_id: UUID) -> ToolCall:
        async with self.sessions() as session:
            return await session.get_one(ToolCall, call_id)

    async def told(self, call_id: UUID) -> str:
        """Return what the model reads of a call."""
        async with self.sessions() as session:
            found = select(Message.content).where(Message.call_id == call_id)
            return (await session.scalars(found)).one()


def read_shop(sessions: Sessions, folder: Path) -> Shop:
    """Read the only tool of a folder."""
    (tool,) = read_http_tools(str(folder), ("127.0.0.1",), {"SHOP_TOKEN": TOKEN})
    assert isinstance(tool, Tool), tool
    return Shop(sessions, tool)


async def main(database_url: str, folder: str, call_id: str) -> None:
    sessions = make_sessions(make_engine(database_url))
    await read_shop(sessions, Path(folder)).attempt(UUID(call_id))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
