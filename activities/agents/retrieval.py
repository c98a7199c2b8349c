"""Retrieves passages and stores memories for runs that began with these steps of their own."""

import structlog
from temporalio import activity

from database.agents.agent_runs import AgentRunRepository
from database.agents.messages import MessageRepository
from database.session import Sessions
from domain.agents.runs import StepInput
from domain.errors import ApplicationError
from domain.ids import agent_run_workflow_id
from services.agents.knowledge.memory_writer import memory_of
from services.agents.knowledge.retrieval import Retrieval, error_facts
from services.knowledge.search import KnowledgeSearch

log = structlog.get_logger(__name__)


class RetrievalActivities:
    """The activities that search a user's documents and add to a user's memories."""

    def __init__(self, retrieval: Retrieval, library: KnowledgeSearch, sessions: Sessions) -> None:
        self._retrieval = retrieval
        self._library = library
        self._sessions = sessions

    @activity.defn
    async def retrieve(self, step_input: StepInput) -> int:
        """Find the passages that answer a run's question, and store them with the run.

        Args:
            step_input: The run.

        Returns:
            The number of passages; a repeated call returns the stored number.

        Raises:
            UnavailableError: Chroma or the embedding model does not answer now.
        """
        return await self._retrieval.retrieve(step_input.agent_run_id)

    @activity.defn
    async def remember_run(self, step_input: StepInput) -> None:
        """Store a run's question and answer as a memory of its user.

        Args:
            step_input: The run; without an answer nothing is stored.

        Raises:
            UnavailableError: Chroma or the embedding model does not answer.
        """
        async with self._sessions() as session:
            run = await AgentRunRepository(session).get(step_input.agent_run_id, None)
            key = f"{agent_run_workflow_id(step_input.agent_run_id)}:input"
            question = await MessageRepository(session).content_of(key)
        if run is None or run.output is None or run.completed_at is None:
            return
        try:
            await self._library.remember([memory_of(run, question)])
        except ApplicationError as error:
            # Reason: no caller waits for the memory, so its loss is only visible in the log.
            log.warning(
                "memory_not_stored", agent_run_id=str(run.agent_run_id), **error_facts(error)
            )
            raise
