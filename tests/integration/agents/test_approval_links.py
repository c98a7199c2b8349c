"""Decisions by links in mails, in the transaction that decides; and who gets such mails."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update

from activities.agents.approvals import ApprovalActivities
from database.accounts.models import User
from database.agents.models import Approval, RunEvent
from database.agents.tool_calls import ToolCallRepository
from database.notifications.approval_links import ApprovalLinkRepository
from database.notifications.models import ApprovalLink, DueMail
from database.session import Sessions
from domain.agents.approvals import OWNER, ApprovalCommand, ApprovalStatus, Decision
from domain.errors import ApplicationError, ConflictError, ForbiddenError, GoneError
from services.agents.approvals import add_approval_mails, add_delegation_mail
from services.agents.tools.catalog import ToolCatalog
from tests.api.support import add_user
from tests.support.approval_links import WaitingCall, add_asked, add_link, links_of

APPROVE, REJECT = Decision


@pytest.fixture
def deciding(sessions: Sessions) -> ApprovalActivities:
    return ApprovalActivities(sessions, ToolCatalog())


@pytest.fixture
async def admin_id(sessions: Sessions) -> UUID:
    return await add_user(sessions, "admin")


@pytest.fixture
async def asked(sessions: Sessions) -> WaitingCall:
    return await add_asked(sessions, await add_user(sessions))


async def command_by_link(
    sessions: Sessions,
    asked: WaitingCall,
    user_id: UUID,
    decision: Decision = APPROVE,
    **values: Any,
) -> ApprovalCommand:
    """Make a link of a user, and return a decision by it; the role in it is not what counts."""
    await add_link(sessions, asked, user_id)
    link = (await links_of(sessions, asked.approval_id))[-1]
    facts = {
        "command_id": uuid4(),
        "agent_run_id": asked.agent_run_id,
        "call_id": asked.call_id,
        "args_sha256": link.args_sha256,
        "decision": decision,
        "decided_by": user_id,
        "role": "admin",
        "approval_link_id": link.approval_link_id,
    }
    return ApprovalCommand(**(facts | values))


async def approval_of(sessions: Sessions, asked: WaitingCall) -> Approval:
    async with sessions() as session:
        return await session.get_one(Approval, asked.approval_id)


async def test_one_of_many_decisions_at_once_counts(
    sessions: Sessions, deciding: ApprovalActivities, asked: WaitingCall, admin_id: UUID
) -> None:
    commands = [
        await command_by_link(sessions, asked, admin_id, decision)
        for decision in (APPROVE, REJECT) * 4
    ]
    found = await asyncio.gather(*map(deciding.decide_approval, commands), return_exceptions=True)
    errors = [each for each in found if isinstance(each, BaseException)]
    assert len(errors) == 4
    assert all(isinstance(each, ConflictError) for each in errors)
    row = await approval_of(sessions, asked)
    assert (row.decided_by, row.decided_via) == (admin_id, "mail_link")
    assert [bool(each.used_at) for each in await links_of(sessions, asked.approval_id)].count(
        True
    ) == 1
    async with sessions() as session:
        told = await session.scalars(
            select(RunEvent.event_data).where(
                RunEvent.agent_run_id == asked.agent_run_id, RunEvent.kind == "approval_decided"
            )
        )
        (event,) = told
    assert event["decided_via"] == "mail_link"


async def test_the_same_attempt_again_changes_nothing(
    sessions: Sessions, deciding: ApprovalActivities, asked: WaitingCall, admin_id: UUID
) -> None:
    command = await command_by_link(sessions, asked, admin_id)
    first = await deciding.decide_approval(command)
    before = (await links_of(sessions, asked.approval_id))[0].used_at
    assert await deciding.decide_approval(command) == first
    assert (await links_of(sessions, asked.approval_id))[0].used_at == before


@pytest.mark.parametrize("lost", [{"role": "user"}, {"is_active": False}])
async def test_a_role_that_is_lost_after_the_form_was_sent_decides_nothing(
    sessions: Sessions,
    deciding: ApprovalActivities,
    asked: WaitingCall,
    admin_id: UUID,
    lost: dict[str, Any],
) -> None:
    command = await command_by_link(sessions, asked, admin_id)
    async with sessions.begin() as session:
        await session.execute(update(User).where(User.user_id == admin_id).values(**lost))
    with pytest.raises(ForbiddenError):
        await deciding.decide_approval(command)
    assert (await approval_of(sessions, asked)).approval_status == "pending"
    assert [each.used_at for each in await links_of(sessions, asked.approval_id)] == [None]


@pytest.mark.parametrize("role", ["admin", OWNER, "stranger"])
async def test_the_role_in_a_command_by_link_does_not_count(
    sessions: Sessions, deciding: ApprovalActivities, asked: WaitingCall, role: str
) -> None:
    command = await command_by_link(sessions, asked, await add_user(sessions), role=role)
    with pytest.raises(ForbiddenError):
        await deciding.decide_approval(command)


async def test_a_link_decides_nothing_but_what_it_was_made_for(
    sessions: Sessions, deciding: ApprovalActivities, asked: WaitingCall, admin_id: UUID
) -> None:
    other = await add_asked(sessions, asked.user_id)
    command = await command_by_link(sessions, asked, admin_id)
    in_use = {"agent_run_id": other.agent_run_id, "call_id": other.call_id}
    wrong: list[tuple[dict[str, Any], type[ApplicationError]]] = [
        (in_use, GoneError),
        ({"approval_link_id": uuid4()}, GoneError),
        ({"decided_by": await add_user(sessions, "admin")}, GoneError),
        ({"args_sha256": "1" * 64}, ConflictError),
        ({"at": datetime.now(UTC) + timedelta(hours=2)}, ConflictError),
    ]
    for changes, kind in wrong:
        with pytest.raises(kind):
            await deciding.decide_approval(command.model_copy(update=changes))
    for values in (
        {"expires_at": datetime.now(UTC)},
        {"expires_at": datetime.now(UTC) + timedelta(hours=1), "used_at": datetime.now(UTC)},
    ):
        async with sessions.begin() as session:
            await session.execute(
                update(ApprovalLink)
                .where(ApprovalLink.approval_id == asked.approval_id)
                .values(**values)
            )
        with pytest.raises(GoneError):
            await deciding.decide_approval(command)
    for each in (asked, other):
        assert (await approval_of(sessions, each)).approval_status == "pending"


async def test_over_the_api_no_link_is_needed_or_used(
    sessions: Sessions, deciding: ApprovalActivities, asked: WaitingCall, admin_id: UUID
) -> None:
    command = await command_by_link(sessions, asked, admin_id, approval_link_id=None)
    await deciding.decide_approval(command)
    assert (await approval_of(sessions, asked)).decided_via == "api"
    assert [each.used_at for each in await links_of(sessions, asked.approval_id)] == [None]


async def mailed(sessions: Sessions, asked: WaitingCall) -> Sequence[UUID]:
    """Return who is told of an approval, each as often as there are mails."""
    async with sessions() as session:
        found = select(DueMail.user_id).where(DueMail.resource_id == asked.approval_id)
        return (await session.scalars(found)).all()


@pytest.mark.parametrize("approver_role", ["admin", "user", OWNER])
async def test_those_who_may_decide_are_told_once_however_often_it_is_tried(
    sessions: Sessions, admin_id: UUID, approver_role: str
) -> None:
    former = await add_user(sessions, "admin")
    async with sessions.begin() as session:
        await session.execute(update(User).where(User.user_id == former).values(is_active=False))
    asked = await add_asked(sessions, await add_user(sessions), approver_role=approver_role)
    for _ in range(3):
        async with sessions.begin() as session:
            await add_approval_mails(session, [asked.call_id, uuid4()])
    told = await mailed(sessions, asked)
    assert len(told) == len(set(told))
    if approver_role == "admin":
        assert admin_id in told
        assert not {former, asked.user_id} & set(told)
    else:
        assert told == [asked.user_id]
    async with sessions() as session:
        variables = select(DueMail.variables_data).where(DueMail.resource_id == asked.approval_id)
        assert not any(await session.scalars(variables))


async def test_a_delegate_is_told_in_place_of_the_administrators(
    sessions: Sessions, asked: WaitingCall, admin_id: UUID
) -> None:
    delegate_id = await add_user(sessions)
    async with sessions.begin() as session:
        row = await session.get_one(Approval, asked.approval_id)
        row.delegated_to = delegate_id
        await session.flush()
        await add_approval_mails(session, [asked.call_id])
    assert await mailed(sessions, asked) == [delegate_id]
    for _ in range(2):  # a new fact for an administrator, who could decide before
        async with sessions.begin() as session:
            row = await session.get_one(Approval, asked.approval_id)
            await add_delegation_mail(session, row, admin_id)
    assert sorted(await mailed(sessions, asked)) == sorted([delegate_id, admin_id])


async def test_what_is_decided_is_told_to_nobody(
    sessions: Sessions, asked: WaitingCall, admin_id: UUID
) -> None:
    async with sessions.begin() as session:
        calls = ToolCallRepository(session)
        await calls.decide(asked.call_id, {"approval_status": ApprovalStatus.APPROVED})
        await add_approval_mails(session, [asked.call_id])
    assert await mailed(sessions, asked) == []


async def test_links_that_expired_long_ago_are_deleted(
    sessions: Sessions, asked: WaitingCall, admin_id: UUID
) -> None:
    now = datetime.now(UTC)
    for days in (29, 31):
        await add_link(sessions, asked, admin_id, expires_at=now - timedelta(days=days))
    async with sessions.begin() as session:
        await ApprovalLinkRepository(session).delete_old(timedelta(days=30))
    (left,) = await links_of(sessions, asked.approval_id)
    assert left.expires_at > now - timedelta(days=30)
