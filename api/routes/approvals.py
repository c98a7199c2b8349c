"""Routes for the inbox of approvals."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import Depends
from fastapi.responses import JSONResponse

from api.deps import AdminDep, CallerDep, PagingDep, ScopeDep, SessionsDep, SettingsDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.lookup import or_404
from api.openapi.problems import ADMIN_REQUIRED, APPROVAL_CLOSED, no_such, problems
from api.schemas.approvals import ApprovalOut, DelegateIn
from api.schemas.common import Listing
from database.accounts.users import UserRepository
from database.agents.approvals import ApprovalRepository
from database.agents.models import Approval
from database.session import Session, Sessions
from domain.agents.approvals import ApprovalStatus, closed_approval
from services.agents.approvals import add_delegation_mail

router = ApiRouter(prefix="/approvals", tags=["approvals"])


async def find_approval(sessions: Sessions, approval_id: UUID, user_id: UUID | None) -> Approval:
    """Return an approval.

    Args:
        sessions: Database sessions.
        approval_id: Id of the approval.
        user_id: Only approvals of this user's runs, or delegated to this user, are found; None
            finds all.

    Raises:
        NotFoundError: There is no such approval.
    """
    async with sessions() as session:
        row = await ApprovalRepository(session).find(approval_id, user_id)
    return or_404(row, "approval")


async def get_own(approval_id: UUID, caller: CallerDep, sessions: SessionsDep) -> Approval:
    """Return the approval in the path, or answer 404 if the caller may not see it."""
    return await find_approval(sessions, approval_id, caller.scope)


OwnDep = Annotated[Approval, Depends(get_own)]


@router.get("", responses=problems(no_such("user")))
async def list_approvals(
    scope: ScopeDep,
    sessions: SessionsDep,
    paging: PagingDep,
    approval_status: ApprovalStatus | None = None,
    agent_run_id: UUID | None = None,
) -> Listing[ApprovalOut]:
    """List approvals, newest first: those of the caller's runs, or delegated to the caller.

    Administrators see all. Decide them by `POST agent-runs/{agent_run_id}/approve`.
    """
    filters = {"approval_status": approval_status, "agent_run_id": agent_run_id}
    async with sessions() as session:
        page = await ApprovalRepository(session).list(scope, paging.limit, paging.cursor, filters)
        items = await _shown(session, page.items)
    return Listing[ApprovalOut](items=items, next_cursor=page.next_cursor)


@router.get("/{approval_id}", responses=problems(no_such("approval")))
async def get_approval(row: OwnDep, sessions: SessionsDep) -> ApprovalOut:
    """Return one approval."""
    async with sessions() as session:
        return (await _shown(session, [row]))[0]


@router.post(
    "/{approval_id}/delegate",
    response_model=ApprovalOut,
    responses=problems(ADMIN_REQUIRED, no_such("approval"), no_such("user"), APPROVAL_CLOSED),
)
async def delegate_approval(
    body: DelegateIn,
    row: OwnDep,
    admin: AdminDep,
    sessions: SessionsDep,
    settings: SettingsDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Let a user decide an approval as well. The last user named replaces any other."""

    async def work(_: Claim) -> ApprovalOut:
        async with sessions.begin() as session:
            or_404(await UserRepository(session).get(body.user_id), "user")
            approvals = ApprovalRepository(session)
            if not await approvals.delegate(row.approval_id, body.user_id):
                raise closed_approval(ApprovalStatus(row.approval_status))
            if settings.agents.is_mailing_approvals:
                await add_delegation_mail(session, row, body.user_id)
        changed = await find_approval(sessions, row.approval_id, None)
        async with sessions() as session:
            return (await _shown(session, [changed]))[0]

    return await once.run(admin.user_id, work)


async def _shown(session: Session, rows: Sequence[Approval]) -> list[ApprovalOut]:
    calls = await ApprovalRepository(session).calls(rows)
    return [ApprovalOut.of(row, calls[row.call_id]) for row in rows]
