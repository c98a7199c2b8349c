"""Sets up the webhook endpoint at Stripe."""

from collections.abc import Sequence
from pathlib import Path

from adapters.stripe.setup import PINNED_VERSION, StripeSetup
from commands.stripe.advice import setup_command
from commands.stripe.changes import Changes
from domain.webhooks.endpoints import REQUIRED_EVENT_TYPES, CreatedEndpoint, EndpointSnapshot
from services.stripe_idempotency import post_once

_ANSWER_LOST = (
    "Stripe's answer with its secret was lost: reveal the secret in Stripe's Dashboard, or delete "
    "the endpoint there and run this command again"
)


class EndpointSetup:
    """Sets up the endpoint at one address; Stripe cannot change an endpoint's API version."""

    def __init__(
        self,
        stripe: StripeSetup,
        url: str,
        changes: Changes,
        stack: Path | None,
    ) -> None:
        self._stripe = stripe
        self._url = url
        self._changes = changes
        self._stack = stack

    async def set_up(self, *, is_old_removed: bool) -> None:
        """Make or update the endpoint of the pinned API version; report or delete other versions.

        Args:
            is_old_removed: Delete endpoints of other API versions, unless this run makes the new
                endpoint.

        Raises:
            ApplicationError: Stripe refuses, or is down.
        """
        existing = await self._list_endpoints()
        current = [each for each in existing if each.api_version == PINNED_VERSION]
        old = [each for each in existing if each.api_version != PINNED_VERSION]
        if current:
            # Reason: of several endpoints, the settings have the secret of the enabled one.
            await self._change(max(current, key=lambda each: each.is_enabled))
        else:
            await self._make({each.endpoint_id for each in existing})
        if current and is_old_removed:
            await self._remove(old)
        elif old:
            self._report_old(old)

    async def _list_endpoints(self) -> Sequence[EndpointSnapshot]:
        return [each for each in await self._stripe.endpoints() if each.url == self._url]

    async def _make(self, known_ids: set[str]) -> None:
        made = f"made, for API version {PINNED_VERSION} and {len(REQUIRED_EVENT_TYPES)} event types"
        if not self._changes.begin(f"webhook endpoint {self._url}", [made]):
            return

        async def find() -> CreatedEndpoint | None:
            listed = await self._list_endpoints()
            new = [each for each in listed if each.endpoint_id not in known_ids]
            return CreatedEndpoint(endpoint_id=new[0].endpoint_id, secret=None) if new else None

        async def post(key: str) -> CreatedEndpoint:
            return await self._stripe.create_endpoint(self._url, key)

        endpoint = await post_once(self._changes.key("endpoint"), post, find)
        if endpoint.secret is None:
            self._changes.say(f"  its id is {endpoint.endpoint_id}; {_ANSWER_LOST}")
            return
        self._changes.say(f"  its id is {endpoint.endpoint_id}; its secret, shown only now:")
        self._changes.say(f"STRIPE__WEBHOOK_SECRET={endpoint.secret}")

    async def _change(self, endpoint: EndpointSnapshot) -> None:
        what = f"webhook endpoint {endpoint.endpoint_id}"
        if endpoint.is_up_to_date:
            version = f"API version {endpoint.api_version}, {len(REQUIRED_EVENT_TYPES)} event types"
            self._changes.say(f"{what}: up to date, {version}")
            return
        changes = [] if endpoint.is_enabled else ["enabled"]
        if endpoint.missing_types:
            changes.append(f"subscribed to {', '.join(endpoint.missing_types)}")
        if endpoint.surplus_types:
            changes.append(f"unsubscribed from {', '.join(endpoint.surplus_types)}")
        if not self._changes.begin(what, changes):
            return

        async def find() -> bool | None:
            by_id = {each.endpoint_id: each for each in await self._list_endpoints()}
            return True if by_id[endpoint.endpoint_id].is_up_to_date else None

        async def post(key: str) -> bool:
            await self._stripe.change_endpoint(endpoint.endpoint_id, key)
            return True

        await post_once(self._changes.key("endpoint"), post, find)

    async def _remove(self, old: Sequence[EndpointSnapshot]) -> None:
        for endpoint in old:
            what = f"webhook endpoint {endpoint.endpoint_id}, API version {_version(endpoint)}"
            if self._changes.begin(what, ["removed"]):
                await self._stripe.delete_endpoint(endpoint.endpoint_id)

    def _report_old(self, old: Sequence[EndpointSnapshot]) -> None:
        for endpoint in old:
            self._changes.say(
                f"webhook endpoint {endpoint.endpoint_id} at the same address stays: it sends API "
                f"version {_version(endpoint)}, and Stripe cannot change that",
            )
        command = setup_command(self._url, self._stack, is_old_removed=True)
        self._changes.say(
            "  1. set STRIPE__PREVIOUS_WEBHOOK_SECRET to the secret in use, STRIPE__WEBHOOK_SECRET "
            "to the secret of the new endpoint, and restart the API\n"
            f"  2. then remove the old endpoints: {command}\n"
            "  3. then unset STRIPE__PREVIOUS_WEBHOOK_SECRET",
        )


def _version(endpoint: EndpointSnapshot) -> str:
    return endpoint.api_version or "of the account"
