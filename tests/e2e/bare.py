"""A workflow with one typed activity, and nothing else: what Temporal itself costs."""

from datetime import datetime, timedelta

from pydantic import BaseModel
from temporalio import activity, workflow

QUEUE = "bare"


class Order(BaseModel):
    """As typed as what a step is given."""

    agent_run_id: str
    step: int
    at: datetime


class Reply(BaseModel):
    """As typed as what a step answers."""

    is_answer: bool


@activity.defn
async def bare(order: Order) -> Reply:
    return Reply(is_answer=bool(order.step))


@workflow.defn(name="BareWorkflow")
class BareWorkflow:
    """One typed activity and nothing else."""

    @workflow.run
    async def run(self, order: Order) -> Reply:
        # The first one warms the workflow up, as `retrieve` does for `ask_model`.
        for _ in range(2):
            reply = await workflow.execute_activity(
                bare,
                order,
                start_to_close_timeout=timedelta(seconds=15),
                heartbeat_timeout=timedelta(seconds=3),
            )
        return reply
