"""Repository of agent runs; the caller owns the transaction."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, bindparam, column, exists, func, select, true, update
from sqlalchemy.dialects.postgresql import JSONB, insert

from database.agents.models import AgentRun, Message
from database.paging import Page, newest_first
from database.repository import OwnedRepository
from database.usage.models import UsageRecord
from domain.agents.runs import RunStatus


class RunAtStep(NamedTuple):
    """A run at the beginning of a step.

    Args:
        run: The run.
        is_stored: Whether the message of the step is already stored.
        attempts: Usage records of all attempts of the run, oldest first.
    """

    run: AgentRun
    is_stored: bool
    attempts: Sequence[UsageRecord]


# Reason: building these statements takes longer than executing them, and every step needs them.
_AT_STEP = (
    select(
        AgentRun,
        exists().where(Message.message_key == bindparam("message_key")),
        UsageRecord,
    )
    .outerjoin(
        UsageRecord,
        (UsageRecord.agent_run_id == AgentRun.agent_run_id) & UsageRecord.attempt.is_not(None),
    )
    .where(AgentRun.agent_run_id == bindparam("agent_run_id"))
    .order_by(UsageRecord.step, UsageRecord.attempt)
)
_LOCK = (
    select(AgentRun)
    .where(AgentRun.agent_run_id == bindparam("agent_run_id"))
    .with_for_update(key_share=True)
    # Reason: a row that the session read before the lock may be out of date.
    .execution_options(populate_existing=True)
)

_ADD = insert(AgentRun).returning(AgentRun)
_OPEN_IN_CONVERSATION = (
    select(AgentRun)
    .where(
        AgentRun.conversation_id == bindparam("conversation_id"), AgentRun.completed_at.is_(None)
    )
    # Reason: `created_at` is when a transaction began, not when its run was queued.
    .order_by(AgentRun.started_at.asc().nulls_last(), AgentRun.created_at, AgentRun.agent_run_id)
)


class AgentRunRepository(OwnedRepository[AgentRun]):
    """Reads and writes `agent_runs` within one session."""

    table = AgentRun

    def owned(self, user_id: UUID | None) -> Select[AgentRun]:
        """Return a statement that selects the runs that a user began; None for all users'."""
        return super().owned(user_id).where(AgentRun.parent_run_id.is_(None))

    async def children(self, parent_run_id: UUID, limit: int, cursor: str | None) -> Page[AgentRun]:
        """Return one page of the runs that a run began, newest first.

        Raises:
            InvalidInputError: The cursor is malformed.
        """
        statement = self._all().where(AgentRun.parent_run_id == parent_run_id)
        sort_key = (AgentRun.created_at, AgentRun.agent_run_id)
        return await newest_first(self._session, statement, sort_key, limit, cursor)

    async def tree_ids(self, root_run_id: UUID) -> Sequence[UUID]:
        """Return the ids of a run that a user began, and of all runs below it."""
        statement = select(AgentRun.agent_run_id).where(AgentRun.root_run_id == root_run_id)
        return [root_run_id, *await self._session.scalars(statement)]

    async def of_ids(self, agent_run_ids: Sequence[UUID]) -> dict[UUID, AgentRun]:
        """Return runs by their ids; unknown ones are left out."""
        statement = select(AgentRun).where(AgentRun.agent_run_id.in_(agent_run_ids))
        return {row.agent_run_id: row for row in await self._session.scalars(statement)}

    async def add(self, values: Mapping[str, Any]) -> AgentRun:
        """Store a new run, and return its row."""
        return (await self._session.scalars(_ADD, dict(values))).one()

    async def at_step(self, agent_run_id: UUID, message_key: str) -> RunAtStep | None:
        """Return a run with what a step needs at its beginning; None if there is no such run."""
        parameters = {"agent_run_id": agent_run_id, "message_key": message_key}
        rows = (await self._session.execute(_AT_STEP, parameters)).all()
        if not rows:
            return None
        attempts = [row[2] for row in rows if row[2] is not None]
        return RunAtStep(run=rows[0][0], is_stored=rows[0][1], attempts=attempts)

    async def lock(self, agent_run_id: UUID) -> AgentRun | None:
        """Lock a run until the transaction ends, and return its current row.

        A caller that also locks its conversation or approvals locks the conversation before the
        run, and approvals after it.
        """
        return await self._session.scalar(_LOCK, {"agent_run_id": agent_run_id})

    async def change(self, agent_run_id: UUID, values: Mapping[str, Any]) -> None:
        """Change some columns of a run."""
        await self._session.execute(
            update(AgentRun).where(AgentRun.agent_run_id == agent_run_id).values(**values),
        )

    async def open_runs_of_conversation(self, conversation_id: UUID) -> Sequence[AgentRun]:
        """Return the open runs of a conversation: the one under way first, then oldest first."""
        parameters = {"conversation_id": conversation_id}
        return (await self._session.scalars(_OPEN_IN_CONVERSATION, parameters)).all()

    async def open_runs(self, workflow_ids: Sequence[str] | None) -> Sequence[AgentRun]:
        """Return the open runs of these workflows; for None, all open runs."""
        statement = select(AgentRun).where(AgentRun.completed_at.is_(None))
        if workflow_ids is not None:
            statement = statement.where(AgentRun.workflow_id.in_(workflow_ids))
        return (await self._session.scalars(statement)).all()

    async def passage_keys(self, conversation_id: UUID) -> dict[int, tuple[UUID, int | None]]:
        """Return the passages of a conversation by number: document id and index of the passage."""
        passages = func.jsonb_array_elements(AgentRun.passages_data).table_valued(
            column("value", JSONB), name="passages"
        )
        passage = passages.c.value
        key = (
            passage["number"].as_integer(),
            passage["document_id"].as_string(),
            passage["chunk_index"].as_integer(),
        )
        statement = (
            select(*key)
            .select_from(AgentRun)
            .join(passages, true())
            .where(AgentRun.conversation_id == conversation_id)
        )
        rows = await self._session.execute(statement)
        return {number: (UUID(document_id), index) for number, document_id, index in rows}

    async def active_count(self) -> int:
        """Return how many runs are under way, including those that wait for approval."""
        statement = select(func.count()).where(
            AgentRun.completed_at.is_(None),
            AgentRun.run_status != RunStatus.QUEUED,
        )
        return await self._session.scalar(statement) or 0
