"""Customers with one payment each, in a world with skippable time."""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from temporalio.client import WorkflowHandle

from database.accounts.users import UserRepository
from database.payments.models import Payment
from database.payments.payments import PaymentRepository
from domain.ids import payment_workflow_id
from domain.payments.messages import PaymentRequest, PaymentStart, PaymentState, RefundInput
from domain.payments.rules import PaymentStatus
from domain.stripe_operations import AttachPaymentMethod
from domain.workflow_names import BILLING
from services.payments.commands import PaymentCommands
from tests.support.world import World
from workflows.payments.payment import PaymentWorkflow


@dataclass
class Payer:
    """A payment of a customer, with its workflow, row and ledger entries."""

    world: World
    payment_id: UUID

    @property
    def handle(self) -> WorkflowHandle[PaymentWorkflow, PaymentState | None]:
        workflow_id = payment_workflow_id(self.payment_id)
        return self.world.env.client.get_workflow_handle_for(PaymentWorkflow.run, workflow_id)

    @property
    def commands(self) -> PaymentCommands:
        return PaymentCommands(self.world.env.client)

    async def row(self) -> Payment | None:
        async with self.world.sessions() as session:
            return await PaymentRepository(session).get(self.payment_id, None)

    async def reaches(self, status: PaymentStatus) -> Payment:
        """Wait until the payment has a status."""
        async with asyncio.timeout(100):
            while (row := await self.row()) is None or row.payment_status != status:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return row

    async def ends(self) -> None:
        """Wait until the payment's workflow has ended, without skipping time."""
        with self.world.env.auto_time_skipping_disabled():
            await self.handle.result()

    def refund_input(self, amount_cents: int | None = None) -> RefundInput:
        return RefundInput(
            payment_id=self.payment_id,
            refund_id=uuid4(),
            amount_cents=amount_cents,
            reason="goodwill",
        )

    async def ledger(self, kind: str) -> list[tuple[str, int]]:
        row = await self.row()
        entries: list[dict[str, Any]] = (await self.world.http.get("/_sandbox/ledger")).json()[
            "items"
        ]
        return [
            (entry["outcome"], entry["amount"])
            for entry in entries
            if entry["kind"] == kind
            and row is not None
            and entry["payment_intent"] == row.stripe_payment_intent_id
        ]


async def start_paying(world: World, *script: str, continue_as_new_after: int = 1_500) -> Payer:
    """Sign up a customer with a card that answers charges by a script, and start a payment."""
    user_id, payer = uuid4(), Payer(world, uuid4())
    async with world.sessions.begin() as session:
        await UserRepository(session).add(user_id, f"{user_id.hex}@example.com")
    attached = await world.operate(
        AttachPaymentMethod,
        user_id=user_id,
        stripe_payment_method_id=await world.card(*script),
    )
    request = PaymentRequest(
        user_id=user_id,
        amount_cents=2_500,
        currency_code="usd",
        stripe_payment_method_id=attached.stripe_payment_method_id or "",
        return_url="https://example.com/back",
    )
    await world.env.client.start_workflow(
        PaymentWorkflow.run,
        PaymentStart(
            payment_id=payer.payment_id,
            request=request,
            continue_as_new_after=continue_as_new_after,
        ),
        id=payment_workflow_id(payer.payment_id),
        task_queue=BILLING,
    )
    return payer
