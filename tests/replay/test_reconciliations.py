"""Reconciliations, recorded and replayed."""

from pathlib import Path
from uuid import uuid4

import pytest

from domain.reconciliation.messages import ReconciliationScope, ReconciliationStart
from domain.workflow_names import BILLING
from tests.reconciliation.conftest import shop
from tests.reconciliation.shop import Shop
from tests.support.histories import keep

__all__ = ["shop"]


@pytest.mark.parametrize("scope", ReconciliationScope)
async def test_a_reconciliation_can_be_recorded_and_replayed(
    scope: ReconciliationScope,
    shop: Shop,
    histories: Path,
) -> None:
    """With `--record` their histories replace the committed ones."""
    person = await shop.customer()
    await shop.stripe.webhooks_of(person.email, off=True)
    await shop.subscribe(person, await shop.plan(), "ok")
    handle = await shop.temporal.start_workflow(
        "ReconciliationWorkflow",
        ReconciliationStart(scope=scope),
        id=f"reconciliation-{scope}-{uuid4().hex}",
        task_queue=BILLING,
    )
    result = await handle.result()
    assert result["counts"]["events_read"]
    assert result["repair_count"]
    names = {"reconcile_events", "close_reconciliation"}
    if scope is ReconciliationScope.FULL:
        names |= {
            "open_reconciliation",
            "reconcile_listed_subscriptions",
            "reconcile_unlisted_subscriptions",
            "check_inbox",
            "report_parked_steps",
            "report_expiring_cards",
        }
    await keep(handle, histories / f"reconciliation-{scope}.json", *names)
