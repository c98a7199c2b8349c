"""The story: a customer, two months, a worker that dies, an agent that wants to refund."""

from commands.demo.chapters.answering import answer, ingest
from commands.demo.chapters.failing import replace_a_lost_card, survive_a_failed_renewal
from commands.demo.chapters.looking_back import look_back
from commands.demo.chapters.metering import meter
from commands.demo.chapters.refunding import refund, refund_again
from commands.demo.chapters.replaying import replay_all
from commands.demo.chapters.subscribing import sign_up, subscribe
from commands.demo.stage import Stage

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


async def tell(stage: Stage) -> None:
    """Tell it, chapter by chapter.

    Args:
        stage: A running stack, and the audience.

    Raises:
        DemoError: Something did not happen.
    """
    for chapter in CHAPTERS:
        chapter(stage)
    await replay_all(stage)
