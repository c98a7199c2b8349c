"""Sets up the webhook endpoint and the customer portal's configuration at Stripe."""

from urllib.parse import urlsplit

from adapters.stripe.client import open_client
from adapters.stripe.setup import StripeSetup
from commands.stripe.advice import ANY_URL, SENDS_ITSELF
from commands.stripe.changes import Changes, Say
from commands.stripe.endpoint import EndpointSetup
from commands.stripe.portal import PortalSetup
from commands.targets import Target
from config import StripeSettings
from domain.errors import InvalidInputError
from domain.webhooks.endpoints import WEBHOOK_PATH

NO_STACK = Target()


async def set_up_stripe(
    settings: StripeSettings,
    url: str,
    say: Say,
    *,
    is_dry_run: bool = False,
    is_old_removed: bool = False,
    target: Target = NO_STACK,
) -> None:
    """Make or update the webhook endpoint and the portal's configuration; safe to repeat.

    Args:
        settings: Settings of Stripe, with the key.
        url: The public address of `POST /api/v1/webhooks/stripe`.
        say: Prints a line.
        is_dry_run: Print the changes, but make none.
        is_old_removed: Delete the endpoints of other API versions at this address.
        target: The stack that the command was called for, if any.

    Raises:
        InvalidInputError: Stripe cannot send to this address, or is the stack's own sandbox.
        ApplicationError: Stripe refuses, or is down.
    """
    _check_url(url, is_real_stripe=settings.is_real_stripe)
    if target.is_stripe_own:
        raise InvalidInputError(
            f"{settings.api_base} is the stack's own sandbox for Stripe and {SENDS_ITSELF}: with "
            "an endpoint each event would arrive twice",
        )
    if not settings.is_real_stripe:
        say(
            f"{settings.api_base} is a sandbox for Stripe: if it was started with --webhook-url, "
            "each event arrives twice",
        )
    changes = Changes(say, is_dry_run=is_dry_run)
    async with open_client(settings.api_key.get_secret_value(), settings.api_base) as client:
        stripe = StripeSetup(client)
        endpoint = EndpointSetup(stripe, url, changes, target.stack)
        await endpoint.set_up(is_old_removed=is_old_removed)
        await PortalSetup(stripe, changes).set_up()
    if changes.count == 0:
        say("nothing to change")


def _check_url(url: str, *, is_real_stripe: bool) -> None:
    """Refuse an address that Stripe would refuse, or that is not the path of our webhook.

    Raises:
        InvalidInputError: Stripe cannot send webhooks to this address.
    """
    parts = urlsplit(url)
    schemes = {"https"} if is_real_stripe else {"https", "http"}
    if parts.scheme not in schemes or not parts.hostname or not parts.path.endswith(WEBHOOK_PATH):
        raise InvalidInputError(f"--url must be {ANY_URL}")
