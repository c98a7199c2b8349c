"""Routes of the links in mails by which people decide approvals; the token is the credential."""

from datetime import UTC, datetime
from typing import Annotated, cast

from fastapi import Depends, Form, Path, Request
from fastapi.responses import HTMLResponse
from structlog.contextvars import bind_contextvars

from api.deps import Caller, Role, SessionsDep, TemporalDep
from api.http.handled_request import note_created
from api.http.pages import PageRoute, page_texts
from api.http.routing import ApiRouter
from api.idempotency import Claim
from api.lookup import or_404
from api.openapi.problems import (
    APPROVAL_CLOSED,
    APPROVER_REQUIRED,
    LINK_EXPIRED,
    TEMPORAL_DOWN,
    WORKFLOW_MISSING,
    illegal,
    no_such,
    pending,
    problems,
)
from api.pages.approval_pages import approval_page
from api.schemas.run_decisions import LinkDecisionIn
from api.starters.approvals import send_decision
from database.session import Sessions
from domain.agents.approvals import (
    OWNER,
    ApprovalCommand,
    ApprovalStatus,
    Decision,
    closed_approval,
)
from domain.errors import InvalidInputError
from domain.ids import link_command_id
from services.agents.approval_links import OpenedLink, open_link

router = ApiRouter(prefix="/approval-links", tags=["approvals"], route_class=PageRoute)

TokenPath = Annotated[str, Path(max_length=5_000)]
_REFUSALS = (no_such("approval link"), LINK_EXPIRED, APPROVER_REQUIRED)


async def find_link(sessions: Sessions, token: str) -> OpenedLink:
    """Return the link with a token.

    Raises:
        NotFoundError: There is no such link.
    """
    async with sessions() as session:
        return or_404(await open_link(session, token), "approval link")


async def get_link(
    request: Request,
    token: TokenPath,
    sessions: SessionsDep,
) -> OpenedLink:
    """Return the link in the path, or refuse the request if it cannot decide any more."""
    opened = await find_link(sessions, token)
    request.state.locale = opened.user.locale
    opened.check_open(datetime.now(UTC))
    return opened


LinkDep = Annotated[OpenedLink, Depends(get_link)]


@router.get("/{token}", response_class=HTMLResponse, responses=problems(*_REFUSALS))
async def get_approval_link(opened: LinkDep, request: Request) -> HTMLResponse:
    """Show the tool call that a link is about, with a form to decide it.

    Opening it decides nothing, however often, so scanners of mails use nothing up. No login: the
    token is the credential. Browsers get errors as pages.
    """
    return approval_page(opened, page_texts(request))


@router.post(
    "/{token}",
    response_class=HTMLResponse,
    responses=problems(
        *_REFUSALS,
        APPROVAL_CLOSED,
        illegal("run", "run_status", "completed"),
        pending("agent_run_id"),
        TEMPORAL_DOWN,
        WORKFLOW_MISSING,
    ),
)
async def decide_approval_link(
    body: Annotated[LinkDecisionIn, Form()],
    token: TokenPath,
    opened: LinkDep,
    request: Request,
    sessions: SessionsDep,
    temporal: TemporalDep,
) -> HTMLResponse:
    """Approve or reject the tool call that a link is about, as the user of the link.

    It decides once. Repeating the decision shows its result again; another one is refused.
    """
    # Reason: nothing protects the form from being sent by other sites. They would have to know the
    # token, and whoever knows it may decide anyway; cookies or logins play no part here.
    _note_decider(request, opened)
    _check_answer(opened, body)
    approval_id = opened.approval.approval_id
    command_id = link_command_id(opened.link.approval_link_id, body.decision)
    command = ApprovalCommand(
        command_id=command_id,
        agent_run_id=opened.run.agent_run_id,
        call_id=opened.call.call_id,
        args_sha256=opened.link.args_sha256,
        decision=body.decision,
        reason=body.reason,
        decided_by=opened.user.user_id,
        role=opened.role,
        approval_link_id=opened.link.approval_link_id,
    )
    claim = Claim(approval_id, command_id, datetime.now(UTC))
    tool = opened.call.tool
    await send_decision(temporal, sessions, opened.run, opened.approval, tool, claim, command)
    return approval_page(await find_link(sessions, token), page_texts(request))


def _note_decider(request: Request, opened: OpenedLink) -> None:
    """Note who decides what, for the log line of the request and for added middlewares."""
    user = opened.user
    request.state.caller = Caller(user.user_id, cast("Role", user.role))
    bind_contextvars(user_id=str(user.user_id))
    note_created(request.scope, opened.approval.approval_id)


def _check_answer(opened: OpenedLink, body: LinkDecisionIn) -> None:
    """Check the text of an answer, if the call is a question.

    Raises:
        InvalidInputError: The answer is empty.
        ConflictError: The question was answered in another way.
    """
    approval = opened.approval
    if approval.approver_role != OWNER or body.decision is not Decision.APPROVE:
        return
    if body.reason is None:
        fault = {"field": "body.reason", "message": "a question needs an answer"}
        raise InvalidInputError("the input is not valid", details={"errors": [fault]})
    if approval.decided_at is not None and approval.reason != body.reason:
        raise closed_approval(ApprovalStatus(approval.approval_status))
