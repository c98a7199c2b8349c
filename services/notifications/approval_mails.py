"""Fills the mails about approvals right before they are sent, each with a link of its own."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from database.accounts.models import User
from database.agents.models import AgentRun, Approval, ToolCall
from database.notifications.approval_links import ApprovalLinkRepository
from database.notifications.models import ApprovalLink, DueMail
from database.session import Sessions
from domain.accounts import digest, make_link_token
from domain.agents.approvals import OWNER
from domain.agents.shown_calls import shortened, shown_facts, visible
from domain.notifications import APPROVAL_LINK_PATH

# Reason: a mail only announces what its page shows in full.
MAX_FACTS = 12
MAX_VALUE_LENGTH = 200
MAX_NAME_LENGTH = 100


class ApprovalMails:
    """Reads what a mail about an approval says, and makes its link.

    Args:
        sessions: Database sessions.
        public_url: Public address of the API, with which links begin.
    """

    def __init__(self, sessions: Sessions, public_url: str) -> None:
        self._sessions = sessions
        self._links_begin = public_url.rstrip("/") + APPROVAL_LINK_PATH

    async def variables(self, mail: DueMail) -> dict[str, Any]:
        """Return what a mail says, and store a new link of its recipient.

        Args:
            mail: The mail; its `resource_id` is the approval.
        """
        token = make_link_token()
        async with self._sessions.begin() as session:
            approval = await session.get_one(Approval, mail.resource_id)
            link = ApprovalLink(
                token_sha256=digest(token),
                approval_id=approval.approval_id,
                args_sha256=approval.args_sha256,
                user_id=mail.user_id,
                expires_at=approval.expires_at,
            )
            await ApprovalLinkRepository(session).add(link)
            said = await _said_of(session, approval)
        return {**said, "link": f"{self._links_begin}{token}"}


async def _said_of(session: AsyncSession, approval: Approval) -> dict[str, Any]:
    call = await session.get_one(ToolCall, approval.call_id)
    run = await session.get_one(AgentRun, approval.agent_run_id)
    user = await session.get_one(User, run.user_id)
    facts = approval.effect_data or call.arguments_data
    return {
        "tool": visible(call.tool),
        "agent": run.agent,
        "asked_by": shortened(visible(user.name or user.email), MAX_NAME_LENGTH),
        "facts": shown_facts(facts, MAX_VALUE_LENGTH)[:MAX_FACTS],
        "is_question": approval.approver_role == OWNER,
        "expires_at": approval.expires_at.isoformat(),
    }
