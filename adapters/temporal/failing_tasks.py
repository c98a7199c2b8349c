"""Finds workflows that stand still because their workflow tasks fail."""

from typing import NamedTuple

from temporalio.client import Client, WorkflowExecution
from temporalio.common import SearchAttributeKey

# Reason: Temporal sets this attribute after some failures of a workflow task in a row, and clears
# it with the first success.
_PROBLEMS = SearchAttributeKey.for_keyword_list("TemporalReportedProblems")
_QUERY = (
    "ExecutionStatus = 'Running' AND TemporalReportedProblems IN "
    "('category=WorkflowTaskFailed', 'category=WorkflowTaskTimedOut')"
)
_CAUSE = "cause=WorkflowTaskFailedCause"


class FailingWorkflow(NamedTuple):
    """A running workflow whose workflow tasks fail again and again."""

    workflow_id: str
    workflow_type: str
    cause: str


async def count_failing_workflows(client: Client) -> int:
    """Count the running workflows whose workflow tasks fail.

    Raises:
        RPCError: Temporal cannot be reached, or is too old to tell.
    """
    return (await client.count_workflows(_QUERY)).count


async def find_failing_workflows(client: Client, limit: int) -> list[FailingWorkflow]:
    """Find the running workflows whose workflow tasks fail.

    Args:
        client: Client of Temporal.
        limit: Number of workflows to return at most.

    Raises:
        RPCError: Temporal cannot be reached, or is too old to tell.
    """
    found = client.list_workflows(_QUERY, limit=limit)
    return [FailingWorkflow(each.id, each.workflow_type, _cause_of(each)) async for each in found]


def _cause_of(execution: WorkflowExecution) -> str:
    problems = execution.typed_search_attributes.get(_PROBLEMS, [])
    causes = [each.removeprefix(_CAUSE) for each in problems if each.startswith(_CAUSE)]
    return causes[0] if causes else "a workflow task timed out"
