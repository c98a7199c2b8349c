"""Helpers for tests of links in mails: rows of approvals and links, and what mails brought."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import httpx
from sqlalchemy import select

from database.agents.models import Approval
from database.agents.tool_calls import ToolCallRepository
from database.notifications.approval_links import ApprovalLinkRepository
from database.notifications.models import ApprovalLink
from database.session import Sessions
from domain.accounts import digest, make_link_token
from tests.api.support import eventually
from tests.conftest import Outside
from tests.support.streams import add_run

PATH = "/api/v1/approval-links"
BROWSER = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
LINK = re.compile(r"https?://\S+/api/v1/approval-links/(perdure_link_[\w-]{43})\b")


class WaitingCall(NamedTuple):
    """A tool call that waits for an approval."""

    agent_run_id: UUID
    call_id: UUID
    approval_id: UUID
    user_id: UUID


async def add_asked(
    sessions: Sessions,
    user_id: UUID,
    *,
    approver_role: str = "admin",
    tool: str = "refund_payment",
    arguments: dict[str, Any] | None = None,
    effect: dict[str, Any] | None = None,
    lasts: timedelta = timedelta(hours=1),
) -> WaitingCall:
    """Store a run of a user with a call that waits for an approval."""
    agent_run_id, call_id = await add_run(sessions, user_id), uuid4()
    facts = {"call_id": call_id, "agent_run_id": agent_run_id, "args_sha256": "0" * 64}
    async with sessions.begin() as session:
        calls = ToolCallRepository(session)
        await calls.add(
            facts
            | {
                "step": 0,
                "position": 0,
                "provider_call_id": "x",
                "tool": tool,
                "arguments_data": arguments or {},
                "tool_call_status": "requested",
            },
        )
        await calls.add_approval(
            facts
            | {
                "user_id": user_id,
                "approver_role": approver_role,
                "approval_status": "pending",
                "effect_data": effect,
                "expires_at": datetime.now(UTC) + lasts,
            },
        )
        approval = await calls.approval(call_id)
    assert approval is not None
    return WaitingCall(agent_run_id, call_id, approval.approval_id, user_id)


async def add_link(sessions: Sessions, asked: WaitingCall, user_id: UUID, **values: Any) -> str:
    """Store a link of a user, and return its token."""
    token = make_link_token()
    async with sessions.begin() as session:
        approval = await session.get_one(Approval, asked.approval_id)
        defaults = {
            "token_sha256": digest(token),
            "approval_id": asked.approval_id,
            "args_sha256": approval.args_sha256,
            "user_id": user_id,
            "expires_at": approval.expires_at,
        }
        await ApprovalLinkRepository(session).add(ApprovalLink(**(defaults | values)))
    return token


async def links_of(sessions: Sessions, approval_id: UUID) -> list[ApprovalLink]:
    """Return the links to an approval, oldest first."""
    async with sessions() as session:
        found = select(ApprovalLink).where(ApprovalLink.approval_id == approval_id)
        return list(await session.scalars(found.order_by(ApprovalLink.created_at)))


async def mails_to(outside: Outside, email: str) -> list[dict[str, Any]]:
    """Return the mails that an address has got, oldest first."""
    async with httpx.AsyncClient(base_url=outside.mail, timeout=100) as http:
        reply = await http.get("/_sandbox/mails", params={"to": email})
        items: list[dict[str, Any]] = reply.json()["items"]
        return items


async def mailed_token(outside: Outside, email: str) -> str:
    """Wait for a mail with a link to an address, and return the token of the newest one."""

    async def look() -> str | None:
        found = [LINK.search(each["text"]) for each in await mails_to(outside, email)]
        tokens = [match[1] for match in found if match]
        return tokens[-1] if tokens else None

    token: str = await eventually(look)
    return token
