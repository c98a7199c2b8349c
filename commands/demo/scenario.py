"""Order of the demo's steps.

A customer's renewals fail, an agent refunds one; another customer's subscription is changed.
"""

from commands.demo.context import DemoContext
from commands.demo.steps.changes import cancel_and_return, pause_and_resume, upgrade
from commands.demo.steps.documents import answer, ingest
from commands.demo.steps.explain import look_back
from commands.demo.steps.failed_renewal import kill_worker_during_retry, replace_a_lost_card
from commands.demo.steps.refund import refund, refund_again
from commands.demo.steps.replay import replay_all
from commands.demo.steps.subscribe import sign_up, subscribe
from commands.demo.steps.trial import end_trial, start_trial
from commands.demo.steps.usage import meter
from commands.demo.steps.webhooks_out import check_webhooks

STEPS = (
    sign_up,
    subscribe,
    kill_worker_during_retry,
    replace_a_lost_card,
    look_back,
    ingest,
    answer,
    refund,
    refund_again,
    meter,
    start_trial,
    end_trial,
    upgrade,
    pause_and_resume,
    cancel_and_return,
    check_webhooks,
)


async def play(context: DemoContext) -> None:
    """Run all steps in order.

    Args:
        context: Context of the steps, with a running stack.

    Raises:
        DemoError: A step or one of its checks failed.
    """
    for step in STEPS:
        step(context)
    await replay_all(context)
