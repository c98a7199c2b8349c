"""The story: a customer, two months, a worker that dies, an agent that wants to refund."""

from commands.demo.context import DemoContext
from commands.demo.steps.documents import answer, ingest
from commands.demo.steps.explain import look_back
from commands.demo.steps.failed_renewal import replace_a_lost_card, survive_a_failed_renewal
from commands.demo.steps.refund import refund, refund_again
from commands.demo.steps.replay import replay_all
from commands.demo.steps.subscribe import sign_up, subscribe
from commands.demo.steps.usage import meter

CHAPTERS = (
    sign_up,
    subscribe,
    survive_a_failed_renewal,
    replace_a_lost_card,
    look_back,
    ingest,
    answer,
    refund,
    refund_again,
    meter,
)


async def play(context: DemoContext) -> None:
    """Tell it, chapter by chapter.

    Args:
        context: A running stack, and the audience.

    Raises:
        DemoError: Something did not happen.
    """
    for chapter in CHAPTERS:
        chapter(context)
    await replay_all(context)
