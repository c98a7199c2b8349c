"""Builds the activities of agents and of their knowledge, by task queue."""

from activities.agents.approvals import ApprovalActivities
from activities.agents.completion import RunClosingActivities
from activities.agents.conversation_queue import ConversationQueueActivities
from activities.agents.model_calls import ModelCallActivities
from activities.agents.retrieval import RetrievalActivities
from activities.agents.runs import RunActivities
from activities.agents.scheduled_runs import ScheduledRunActivities
from activities.agents.teams import TeamActivities
from activities.agents.tool_calls import ToolActivities
from bootstrap.resources import Activities, Resources
from domain.workflow_names import AGENTS, MODELS, TOOLS
from services.agents.knowledge.retrieval import Retrieval
from services.agents.model_calls.attempts import ModelAttempts
from services.agents.recovery.lost_runs import LostRuns
from services.agents.run_closing import RunClosing
from services.agents.tools.catalog import ToolResources
from services.agents.usage import UsageMeter
from services.payments.commands import PaymentCommands
from services.subscriptions.mailboxes import Mailboxes


def build_lost_runs(resources: Resources) -> LostRuns:
    """Build the service that closes open runs whose workflow has ended."""
    closing = RunClosing(resources.sessions, _usage_meter(resources), resources.stream)
    return LostRuns(resources.temporal, resources.sessions, closing)


def _tool_resources(resources: Resources) -> ToolResources:
    """Gather what tools may use of this process."""
    return ToolResources(
        resources.library,
        resources.pages,
        PaymentCommands(resources.temporal),
        Mailboxes(resources.temporal),
        resources.sessions,
        resources.python,
    )


def _usage_meter(resources: Resources) -> UsageMeter:
    return UsageMeter(resources.prices, resources.fallback_prices)


def _model_calls(resources: Resources, retrieval: Retrieval) -> ModelCallActivities:
    """Build the activity that calls models."""
    attempts = ModelAttempts(
        resources.sessions,
        resources.names,
        _usage_meter(resources),
        resources.tools,
        resources.models.is_shut,
        resources.limiter,
    )
    return ModelCallActivities(
        resources.sessions,
        resources.models,
        attempts,
        resources.stream,
        retrieval,
        is_mailing_approvals=resources.is_mailing_approvals,
    )


def agent_activities(resources: Resources) -> Activities:
    """Build the activities of agents and documents, by task queue."""
    sessions, stream, documents = resources.sessions, resources.stream, resources.documents
    usage_meter = _usage_meter(resources)
    runs = RunActivities(sessions, resources.tools)
    retrieval = Retrieval(resources.library, sessions)
    closing = RunClosing(sessions, usage_meter, stream, resources.memories.wake)
    run_closing = RunClosingActivities(closing)
    conversation_queue = ConversationQueueActivities(sessions, build_lost_runs(resources))
    teams = TeamActivities(sessions)
    scheduled = ScheduledRunActivities(sessions)
    approvals = ApprovalActivities(sessions, resources.tools)
    steps = _model_calls(resources, retrieval)
    old_steps = RetrievalActivities(retrieval, resources.library, sessions)
    tools = ToolActivities(resources.tools, _tool_resources(resources), sessions)
    return {
        AGENTS: [
            documents.fail_document,
            runs.open_run,
            runs.add_run_message,
            runs.raise_budget,
            run_closing.close_run,
            conversation_queue.start_if_first,
            approvals.decide_approval,
            approvals.expire_approval,
            teams.open_child_run,
            teams.plan_team_step,
            teams.read_run_status,
            scheduled.prepare_scheduled_run,
            scheduled.note_scheduled_run,
        ],
        MODELS: [steps.ask_model, steps.cancel_model_batch],
        TOOLS: [
            old_steps.retrieve,
            old_steps.remember_run,
            tools.run_tool,
            documents.fetch_document,
            documents.store_passages,
            documents.finish_document,
        ],
    }
