"""Payments, recorded and replayed."""

from pathlib import Path

import pytest

from domain.payments.rules import PaymentStatus
from domain.workflow_names import PAYMENT_HINT
from tests.replay.test_replay import HISTORIES, keep
from tests.support.payers import start_paying
from tests.support.world import World


async def test_payments_can_be_recorded_and_replayed(
    world: World,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """With `--record` their histories replace the committed ones."""
    folder = HISTORIES if request.config.getoption("--record") else tmp_path

    payer = await start_paying(world, "ok")
    await payer.reaches(PaymentStatus.SUCCEEDED)
    await payer.ends()
    await keep(payer.handle, folder / "payment-succeeded.json")
    await payer.commands.refund(payer.refund_input(500))
    await payer.ends()
    await keep(payer.handle, folder / "payment-refunded.json")

    payer = await start_paying(world, "authentication_required")
    await payer.reaches(PaymentStatus.REQUIRES_ACTION)
    await payer.handle.signal(PAYMENT_HINT, ["evt_1"])
    await payer.commands.cancel(payer.payment_id, payer.payment_id)
    await payer.ends()
    await keep(payer.handle, folder / "payment-canceled.json")
