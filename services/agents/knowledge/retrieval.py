"""Finds the passages that answer a run's question, and stores them with the run."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import structlog

from agents.guards import screen
from agents.registry import find_agent
from database.agents.agent_runs import AgentRunRepository
from database.agents.conversations import ConversationRepository
from database.agents.messages import MessageRepository
from database.agents.models import AgentRun
from database.agents.run_events import RunEventRepository
from database.knowledge.documents import DocumentRepository
from database.session import Sessions
from domain.agents.citations import CitedPassage, number_passages
from domain.agents.run_events import NewRunEvent, RunEventKind
from domain.errors import ApplicationError, NotFoundError
from domain.ids import agent_run_workflow_id
from domain.knowledge.documents import Passage
from services.agents.knowledge.look_ups import CHROMA, EMBEDDINGS, LookUps, is_overdue
from services.knowledge.search import KnowledgeSearch

log = structlog.get_logger(__name__)

RETRIEVE = "retrieve"


class Retrieval:
    """Searches a user's documents before a run's first step; used within activities only."""

    def __init__(self, library: KnowledgeSearch, sessions: Sessions) -> None:
        self._library = library
        self._sessions = sessions
        self._look_ups = LookUps(sessions)

    async def retrieve(self, agent_run_id: UUID) -> int:
        """Find the passages that answer a run's question, and store them with the run.

        If the search still fails after some attempts, the run goes on without passages, and its
        stream tells the reason.

        Args:
            agent_run_id: The run.

        Returns:
            The number of passages; a repeated call returns the stored number.

        Raises:
            UnavailableError: Chroma or the embedding model does not answer now.
        """
        async with self._sessions() as session:
            run = await AgentRunRepository(session).get(agent_run_id, None)
            key = f"{agent_run_workflow_id(agent_run_id)}:input"
            question = await MessageRepository(session).content_of(key)
            has_documents = run and await DocumentRepository(session).has_ready(run.user_id)
        if run is None or question is None:
            raise NotFoundError("there is no such run")
        if run.passages_data is not None:
            return len(run.passages_data)
        try:
            # Reason: without documents, there is nothing that a search could find.
            passages = await self._search(run, question) if has_documents else []
            skip_reason = None
        except ApplicationError as error:
            if error.is_retryable and not is_overdue():
                raise
            log.warning(
                "retrieval_skipped", agent_run_id=str(run.agent_run_id), **error_facts(error)
            )
            passages, skip_reason = [], error
        return await self._keep(run, passages, skip_reason)

    async def _search(self, run: AgentRun, question: str) -> list[Passage]:
        limit = find_agent(run.agent).passage_count
        embedding = self._library.vector_of(question)
        vector = await self._look_ups.wait(run.agent_run_id, RETRIEVE, EMBEDDINGS, embedding)
        searching = self._library.passages_near(run.user_id, vector, limit)
        return await self._look_ups.wait(run.agent_run_id, RETRIEVE, CHROMA, searching)

    async def _keep(
        self,
        run: AgentRun,
        passages: list[Passage],
        skip_reason: ApplicationError | None,
    ) -> int:
        """Number the passages and store them with the run, unless the run is closed already."""
        async with self._sessions.begin() as session:
            # Reason: a run that was canceled meanwhile must not use up passage numbers.
            await ConversationRepository(session).lock(run.conversation_id)
            runs = AgentRunRepository(session)
            locked_run = await runs.lock(run.agent_run_id)
            if locked_run is None or locked_run.completed_at is not None:
                return 0
            known_keys = await runs.passage_keys(run.conversation_id) if passages else {}
            cited = _cited(number_passages(passages, known_keys))
            kept = [passage.model_dump(mode="json") for passage in cited]
            await runs.change(run.agent_run_id, {"passages_data": kept})
            event = NewRunEvent(kind=RunEventKind.STEP, data=_event_data(cited, skip_reason))
            await RunEventRepository(session).append(run.agent_run_id, [event])
        return len(kept)


def _cited(numbered: Mapping[int, Passage]) -> list[CitedPassage]:
    return [
        CitedPassage(
            number=number,
            document_id=passage.document_id,
            chunk_index=passage.chunk_index,
            page_number=passage.page_number,
            title=passage.title,
            text=passage.text,
            suspicions=screen(f"{passage.title}\n{passage.text}"),
        )
        for number, passage in numbered.items()
    ]


def _event_data(cited: list[CitedPassage], skip_reason: ApplicationError | None) -> dict[str, Any]:
    """Return the data of a retrieval's stream event."""
    facts: dict[str, Any] = {
        "step": RETRIEVE,
        "passages": [
            {
                "number": passage.number,
                "document_id": str(passage.document_id),
                "suspicions": list(passage.suspicions),
            }
            for passage in cited
        ],
    }
    return facts if skip_reason is None else facts | {"skipped": error_facts(skip_reason)}


def error_facts(error: ApplicationError) -> dict[str, str]:
    """Return what an event or a log line tells about an error."""
    return {"code": error.error_code, "message": error.message}
