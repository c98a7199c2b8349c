"""Step that replays the histories of the demo's workflows."""

from commands.demo.checks import expect
from commands.demo.context import DemoContext
from commands.replay.command import replay
from commands.replay.histories import fetch_history
from config import TemporalSettings


async def replay_all(context: DemoContext) -> None:
    """Replay the histories of all workflows of the demo with the current code."""
    context.step("The recorded histories are replayed with the current code")
    facts = context.facts
    temporal = TemporalSettings(address=facts["temporal"], namespace=facts["namespace"])
    workflow_ids: list[str] = []
    for customer in context.customers:
        workflow_ids.append(customer.subscription()["workflow_id"])
        workflow_ids += [retry["workflow_id"] for retry in customer.retries()]
    workflow_ids += context.results.workflow_ids
    for workflow_id in workflow_ids:
        result = await replay(await fetch_history(temporal, workflow_id))
        expect(result.difference is None, f"{workflow_id} replays", result.difference)
        context.say(f"{result.workflow_type}: all {result.event_count} events replay")
