"""Repository of the links in mails about approvals; the caller owns the transaction."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from database.notifications.models import ApprovalLink


class ApprovalLinkRepository:
    """Reads and writes `approval_links` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, link: ApprovalLink) -> None:
        """Store a new link."""
        self._session.add(link)
        await self._session.flush()

    async def find(self, token_sha256: str) -> ApprovalLink | None:
        """Return the link whose token has this digest, or None."""
        # Reason: an index is searched for a digest, so its time tells nothing about a token.
        statement = select(ApprovalLink).where(ApprovalLink.token_sha256 == token_sha256)
        return await self._session.scalar(statement)

    async def use(
        self,
        approval_link_id: UUID,
        approval_id: UUID,
        args_sha256: str,
        user_id: UUID,
        at: datetime,
    ) -> bool:
        """Use a link up, and return whether it was usable.

        Args:
            approval_link_id: The link.
            approval_id: Approval that is decided.
            args_sha256: Digest of the arguments that are decided about.
            user_id: User who decides.
            at: Current time, on the clock of `expires_at`.

        Returns:
            False if the link is used or expired, or belongs to another approval or user.
        """
        statement = (
            update(ApprovalLink)
            .where(
                ApprovalLink.approval_link_id == approval_link_id,
                ApprovalLink.approval_id == approval_id,
                ApprovalLink.args_sha256 == args_sha256,
                ApprovalLink.user_id == user_id,
                ApprovalLink.expires_at > at,
                ApprovalLink.used_at.is_(None),
            )
            .values(used_at=at)
            .returning(ApprovalLink.approval_link_id)
        )
        return await self._session.scalar(statement) is not None

    async def delete_old(self, older_than: timedelta) -> None:
        """Delete links that expired long ago."""
        await self._session.execute(
            delete(ApprovalLink).where(ApprovalLink.expires_at < func.now() - older_than),
        )
