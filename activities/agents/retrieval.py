"""What a run looks up before its first step, and what it leaves behind after its last."""

from collections.abc import Mapping
from typing import Any

import structlog
from temporalio import activity

from agents.guards import screen
from agents.registry import find_agent
from database.agents.agent_runs import AgentRunRepository
from database.agents.conversations import ConversationRepository
from database.agents.messages import MessageRepository
from database.agents.models import AgentRun
from database.agents.run_events import RunEventRepository
from database.session import Sessions
from domain.agents.citations import CitedPassage, number_passages
from domain.agents.run_events import NewRunEvent, RunEventKind
from domain.agents.runs import StepInput
from domain.errors import ApplicationError, NotFoundError
from domain.ids import agent_run_workflow_id
from domain.knowledge.documents import Passage
from services.agents.look_ups import CHROMA, EMBEDDINGS, LookUps, is_overdue
from services.knowledge.search import KnowledgeSearch

log = structlog.get_logger(__name__)

RETRIEVE = "retrieve"


class RetrievalActivities:
    """Looks into a user's documents, and adds to a user's memories."""

    def __init__(self, library: KnowledgeSearch, sessions: Sessions) -> None:
        self._library = library
        self._sessions = sessions
        self._look_ups = LookUps(sessions)

    @activity.defn
    async def retrieve(self, order: StepInput) -> int:
        """Find the passages that answer a run's question, and keep them with the run.

        What cannot be searched after some tries, or at all, has no passages: the run goes on
        without, and its stream says why.

        Args:
            order: Which run.

        Returns:
            How many were found; doing it again finds what is kept.

        Raises:
            UnavailableError: Chroma, or the embedding model, does not answer now.
        """
        async with self._sessions() as session:
            run = await AgentRunRepository(session).get(order.agent_run_id, None)
            key = f"{agent_run_workflow_id(order.agent_run_id)}:input"
            question = await MessageRepository(session).content_of(key)
        if run is None or question is None:
            raise NotFoundError("there is no such run")
        if run.passages_data is not None:
            return len(run.passages_data)
        try:
            found, why = await self._search(run, question), None
        except ApplicationError as error:
            if error.is_retryable and not is_overdue():
                raise
            log.warning("retrieval_skipped", agent_run_id=str(run.agent_run_id), **_named(error))
            found, why = [], error
        return await self._keep(run, found, why)

    async def _search(self, run: AgentRun, question: str) -> list[Passage]:
        limit = find_agent(run.agent).passage_count
        embedding = self._library.vector_of(question)
        vector = await self._look_ups.wait(run.agent_run_id, RETRIEVE, EMBEDDINGS, embedding)
        searching = self._library.passages_near(run.user_id, vector, limit)
        return await self._look_ups.wait(run.agent_run_id, RETRIEVE, CHROMA, searching)

    async def _keep(
        self,
        run: AgentRun,
        found: list[Passage],
        why: ApplicationError | None,
    ) -> int:
        """Number what was found, and keep it with the run, unless the run is over already."""
        async with self._sessions.begin() as session:
            # Reason: a run that was canceled meanwhile must not take the next one's numbers.
            await ConversationRepository(session).lock(run.conversation_id)
            runs = AgentRunRepository(session)
            now = await runs.lock(run.agent_run_id)
            if now is None or now.completed_at is not None:
                return 0
            known = await runs.passage_keys(run.conversation_id)
            passages = _cited(number_passages(found, known))
            kept = [passage.model_dump(mode="json") for passage in passages]
            await runs.change(run.agent_run_id, {"passages_data": kept})
            note = NewRunEvent(kind=RunEventKind.STEP, data=_told(passages, why))
            await RunEventRepository(session).append(run.agent_run_id, [note])
        return len(kept)

    @activity.defn
    async def remember_run(self, order: StepInput) -> None:
        """Keep a run's question and answer among its user's memories.

        Args:
            order: Which run; one that gave no answer leaves nothing behind.

        Raises:
            UnavailableError: Chroma does not answer.
        """
        async with self._sessions() as session:
            run = await AgentRunRepository(session).get(order.agent_run_id, None)
            key = f"{agent_run_workflow_id(order.agent_run_id)}:input"
            question = await MessageRepository(session).content_of(key)
        if run is None or run.output is None or run.completed_at is None:
            return
        try:
            await self._library.remember(
                run.user_id,
                run.agent_run_id,
                f"The user asked: {question}\nThe answer was: {run.output}",
                conversation_id=run.conversation_id,
                agent_run_id=run.agent_run_id,
                created_at=run.completed_at,
            )
        except ApplicationError as error:
            # Reason: nobody waits for a memory, so a log is where its loss is seen.
            log.warning("memory_not_stored", agent_run_id=str(run.agent_run_id), **_named(error))
            raise


def _cited(numbered: Mapping[int, Passage]) -> list[CitedPassage]:
    return [
        CitedPassage(
            number=number,
            document_id=passage.document_id,
            chunk_index=passage.chunk_index,
            title=passage.title,
            text=passage.text,
            suspicions=screen(f"{passage.title}\n{passage.text}"),
        )
        for number, passage in numbered.items()
    ]


def _told(passages: list[CitedPassage], why: ApplicationError | None) -> dict[str, Any]:
    """Return what the stream tells of a retrieval."""
    facts: dict[str, Any] = {
        "step": RETRIEVE,
        "passages": [
            {
                "number": passage.number,
                "document_id": str(passage.document_id),
                "suspicions": list(passage.suspicions),
            }
            for passage in passages
        ],
    }
    return facts if why is None else facts | {"skipped": _named(why)}


def _named(error: ApplicationError) -> dict[str, str]:
    return {"code": error.error_code, "message": error.message}
