"""What a run looks up before its first step, and what it leaves behind after its last."""

from temporalio import activity

from activities.library import Library
from agents.guards import screen
from agents.registry import find_agent
from database.agent_runs import AgentRunRepository
from database.messages import MessageRepository
from database.run_events import RunEventRepository
from database.session import Sessions
from domain.agent_runs import StepOrder
from domain.citations import CitedPassage
from domain.errors import NotFoundError
from domain.ids import agent_run_workflow_id
from domain.run_events import RunEventKind, RunEventNote


class RetrievalActivities:
    """Looks into a user's documents, and adds to a user's memories."""

    def __init__(self, library: Library, sessions: Sessions) -> None:
        self._library = library
        self._sessions = sessions

    @activity.defn
    async def retrieve(self, order: StepOrder) -> int:
        """Find the passages that answer a run's question, and keep them with the run.

        Args:
            order: Which run.

        Returns:
            How many were found; doing it again finds what is kept.

        Raises:
            UnavailableError: Chroma does not answer.
        """
        async with self._sessions() as session:
            run = await AgentRunRepository(session).get(order.agent_run_id, None)
            key = f"{agent_run_workflow_id(order.agent_run_id)}:input"
            question = await MessageRepository(session).content_of(key)
        if run is None or question is None:
            raise NotFoundError("there is no such run")
        if run.passages_data is not None:
            return len(run.passages_data)
        limit = find_agent(run.agent).passage_count
        found = await self._library.search_documents(run.user_id, question, limit)
        passages = [
            CitedPassage(
                number=number,
                document_id=passage.document_id,
                title=passage.title,
                text=passage.text,
                suspicions=screen(passage.text),
            )
            for number, passage in enumerate(found, 1)
        ]
        kept = [passage.model_dump(mode="json") for passage in passages]
        facts = {
            "step": "retrieve",
            "passages": [
                {
                    "number": passage.number,
                    "document_id": str(passage.document_id),
                    "suspicions": list(passage.suspicions),
                }
                for passage in passages
            ],
        }
        async with self._sessions.begin() as session:
            values = {"passages_data": kept}
            await AgentRunRepository(session).change(run.agent_run_id, values)
            note = RunEventNote(kind=RunEventKind.STEP, data=facts)
            await RunEventRepository(session).append(run.agent_run_id, [note])
        return len(kept)

    @activity.defn
    async def remember_run(self, order: StepOrder) -> None:
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
        await self._library.remember(
            run.user_id,
            run.agent_run_id,
            f"The user asked: {question}\nThe answer was: {run.output}",
            conversation_id=run.conversation_id,
            agent_run_id=run.agent_run_id,
            created_at=run.completed_at,
        )
