"""The recorded histories."""

from commands.demo.checks import expect
from commands.demo.context import DemoContext
from commands.replay import fetch_history, replay
from config import TemporalSettings


async def replay_all(context: DemoContext) -> None:
    """Run what was recorded against today's code."""
    context.chapter("The recorded histories, run against today's code")
    facts = context.facts
    temporal = TemporalSettings(address=facts["temporal"], namespace=facts["namespace"])
    workflow_ids = [context.customer.subscription()["workflow_id"]]
    workflow_ids += [retry["workflow_id"] for retry in context.customer.retries()]
    workflow_ids += context.results.workflow_ids
    for workflow_id in workflow_ids:
        verdict = await replay(await fetch_history(temporal, workflow_id))
        expect(verdict.difference is None, f"{workflow_id} replays", verdict.difference)
        context.say(f"{verdict.workflow_type}: all {verdict.event_count} events replay")
