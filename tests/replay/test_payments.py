"""Payments, recorded and replayed: with `--record` their histories replace the committed ones."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from domain.payments.rules import PaymentStatus
from domain.workflow_names import PAYMENT_HINT
from tests.api.support import eventually
from tests.support.histories import current_run, keep
from tests.support.payers import start_paying
from tests.support.world import World
from tests.workflows.payment_retries.test_owed_invoices import break_down

REFUSED = {"match": "POST /v1/payment_intents", "before": 400}


@pytest.fixture
async def faults(world: World) -> AsyncIterator[None]:
    yield
    await break_down(world)


async def test_a_payment_and_its_refund(world: World, histories: Path) -> None:
    payer = await start_paying(world, "ok")
    run = await current_run(payer.handle)
    await payer.reaches(PaymentStatus.SUCCEEDED)
    await payer.ends()
    await keep(run, histories / "payment-succeeded.json", "pay")
    await payer.commands.refund(payer.refund_input(500))
    run = await current_run(payer.handle)
    await payer.ends()
    await keep(run, histories / "payment-refunded.json", "refund", "refund_payment")


async def test_a_payment_that_is_canceled(world: World, histories: Path) -> None:
    payer = await start_paying(world, "authentication_required")
    run = await current_run(payer.handle)
    await payer.reaches(PaymentStatus.REQUIRES_ACTION)
    await payer.handle.signal(PAYMENT_HINT, ["evt_1"])
    await payer.commands.cancel(payer.payment_id, payer.payment_id)
    await payer.ends()
    await keep(run, histories / "payment-canceled.json", PAYMENT_HINT, "cancel_payment")


@pytest.mark.usefixtures("faults")
async def test_a_payment_that_is_parked(world: World, histories: Path) -> None:
    await break_down(world, REFUSED)
    payer = await start_paying(world, "ok")
    run = await current_run(payer.handle)

    async def is_parked() -> bool:
        row = await payer.row()
        return row is not None and row.parked_data != []

    await eventually(is_parked)
    await break_down(world)
    await payer.commands.retry_parked(payer.payment_id, uuid4())
    await payer.reaches(PaymentStatus.SUCCEEDED)
    await payer.ends()
    await keep(run, histories / "payment-parked.json", "park_payment", "retry_parked")
