"""Money that goes back long after a subscription has ended, and its workflows are deleted."""

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.service import RPCError, RPCStatusCode

from tests.reconciliation.lifecycles import Story, begin
from tests.reconciliation.shop import Json, Shop, created

REASON = "requested_by_customer"


async def test_a_refund_a_year_after_the_end(shop: Shop) -> None:
    life = await begin(shop, await shop.plan(), Story(("ok",), ()))
    path = f"subscriptions/{life.subscription['subscription_id']}"
    ended = created(await shop.post(life.person, f"{path}/cancel", mode="now"), 200)
    assert ended["subscription_status"] == "canceled"
    await shop.told([life.person])
    await shop.quiet()
    await shop.stripe.advance(366)
    (payment,) = (await life.person.get("payments"))["items"]
    await forget(shop, life.subscription["workflow_id"])
    await forget(shop, f"payment-{payment['payment_id']}")

    body: Json = {"amount_cents": 900, "reason": REASON}
    refunded = created(
        await shop.post(shop.admin, f"payments/{payment['payment_id']}/refund", **body), 200
    )
    assert refunded["refunded_cents"] == 900
    await shop.stripe.send(
        "POST", "refunds", payment_intent=payment["stripe_payment_intent_id"], amount=2_000
    )

    async def is_refunded() -> bool:
        seen = await life.person.get(f"payments/{payment['payment_id']}")
        return (seen["payment_status"], seen["refunded_cents"]) == ("refunded", 2_900)

    await shop.wait("the refund of the Dashboard", is_refunded)
    await shop.told([life.person])
    await shop.quiet()
    seen = await life.person.get(path)
    assert (seen["subscription_status"], seen["access"]) == ("canceled", "none")
    assert await life.differences() == {}


async def forget(shop: Shop, workflow_id: str) -> None:
    """Delete a workflow, as Temporal does some time after it has ended."""
    request = DeleteWorkflowExecutionRequest(
        namespace=shop.temporal.namespace,
        workflow_execution=WorkflowExecution(workflow_id=workflow_id),
    )
    try:
        await shop.temporal.workflow_service.delete_workflow_execution(request)
    except RPCError as error:
        assert error.status is RPCStatusCode.NOT_FOUND, error  # noqa: PT017 - the rest is fine
