"""Sets up the customer portal's configuration at Stripe."""

from adapters.stripe.setup import StripeSetup
from commands.stripe.changes import Changes
from domain.webhooks.endpoints import PORTAL_FEATURES, PortalSnapshot
from services.stripe_idempotency import post_once


class PortalSetup:
    """Sets up our configuration of the customer portal; other configurations stay unchanged."""

    def __init__(self, stripe: StripeSetup, changes: Changes) -> None:
        self._stripe = stripe
        self._changes = changes

    async def set_up(self) -> None:
        """Make our configuration, or activate it and add the features that the product needs.

        Raises:
            ApplicationError: Stripe refuses, or is down.
        """
        portal = await self._find()
        if portal is None:
            await self._make()
        elif portal.is_active and not portal.lacking:
            self._changes.say(f"customer portal {portal.configuration_id}: up to date")
        else:
            await self._change(portal)

    async def _find(self) -> PortalSnapshot | None:
        return next((each for each in await self._stripe.portals() if each.is_ours), None)

    async def _make(self) -> None:
        if not self._changes.begin("customer portal", [f"made, with {', '.join(PORTAL_FEATURES)}"]):
            return

        async def find() -> str | None:
            made = await self._find()
            return None if made is None else made.configuration_id

        key = self._changes.key("portal")
        self._changes.say(f"  its id is {await post_once(key, self._stripe.create_portal, find)}")

    async def _change(self, portal: PortalSnapshot) -> None:
        changes = [] if portal.is_active else ["activated"]
        if portal.lacking:
            changes.append(f"extended by {', '.join(portal.lacking)}")
        if not self._changes.begin(f"customer portal {portal.configuration_id}", changes):
            return

        async def find() -> bool | None:
            found = await self._find()
            return True if found is not None and found.is_active and not found.lacking else None

        async def post(key: str) -> bool:
            await self._stripe.change_portal(portal.configuration_id, key)
            return True

        await post_once(self._changes.key("portal"), post, find)
