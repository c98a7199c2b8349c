"""Subscriptions that were made in Stripe's Dashboard, for worlds with skippable time."""

from uuid import uuid4

from sqlalchemy import update

from database.accounts.models import User
from database.accounts.users import UserRepository
from domain.ids import adopted_subscription_id
from domain.subscriptions.adoption.decisions import Adoption
from services.subscriptions.mailboxes import Mailboxes
from tests.support.world import Customer, World
from tests.workflows.payment_retries.test_owed_invoices import at_stripe


async def subscribe_in_dashboard(world: World, *script: str, interval: str = "week") -> Customer:
    """Make a user whose customer and subscription were made in the Dashboard; adopt nothing."""
    user_id = uuid4()
    customer = await at_stripe(world, "POST", "customers", name="Made by hand")
    async with world.sessions.begin() as session:
        await UserRepository(session).add(user_id, f"{user_id.hex}@example.com")
        users = update(User).where(User.user_id == user_id)
        await session.execute(users.values(stripe_customer_id=customer["id"]))
    card = await world.card(*script)
    await at_stripe(world, "POST", f"payment_methods/{card}/attach", customer=customer["id"])
    default = {"invoice_settings[default_payment_method]": card}
    await at_stripe(world, "POST", f"customers/{customer['id']}", **default)
    product = await at_stripe(world, "POST", "products", name="Not ours")
    params = {"product": product["id"], "currency": "usd", "unit_amount": 700}
    recurring = {"recurring[interval]": interval}
    price = await at_stripe(world, "POST", "prices", **params, **recurring)
    wanted = {"customer": customer["id"], "items[0][price]": price["id"]}
    made = await at_stripe(world, "POST", "subscriptions", **wanted)
    account = (await at_stripe(world, "GET", "account"))["id"]
    return Customer(world, user_id, adopted_subscription_id(account, made["id"]), made["id"])


async def adopt(customer: Customer, *, is_imported: bool) -> None:
    """Start the mailbox as an import or an event does, and let the world wait for it."""
    world, stripe_id = customer.world, str(customer.first_run_id)
    found = await at_stripe(world, "GET", f"subscriptions/{stripe_id}")
    adoption = Adoption(
        user_id=customer.user_id,
        stripe_subscription_id=stripe_id,
        stripe_customer_id=found["customer"],
        stripe_price_id=found["items"]["data"][0]["price"]["id"],
        is_imported=is_imported,
    )
    mailboxes = Mailboxes(world.env.client)
    await mailboxes.hint(customer.subscription_id, customer.user_id, ["evt_1"], adoption)
    customer.first_run_id = None
    world.customers.append(customer)
    await world.settle()
