"""Set up Stripe for this product: the webhook endpoint, and the customer portal's configuration."""

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

HERE = Target()


async def set_up_stripe(
    settings: StripeSettings,
    url: str,
    say: Say,
    *,
    is_dry_run: bool = False,
    is_old_removed: bool = False,
    place: Target = HERE,
) -> None:
    """Bring Stripe's side to what the product needs; a second time there is nothing to change.

    Args:
        settings: Where Stripe is, and our key.
        url: The public address of `POST /api/v1/webhooks/stripe`.
        say: Takes each line that tells what is changed.
        is_dry_run: Tell what would be changed, and change nothing.
        is_old_removed: Delete the endpoints of other API versions at this address.
        place: What the command was called for.

    Raises:
        InvalidInputError: Stripe cannot send to this address, or is the stack's own stand-in.
        ApplicationError: Stripe refuses, or is down.
    """
    _check(url, is_stripe_itself=settings.is_stripe_itself)
    if place.is_stripe_own:
        raise InvalidInputError(
            f"{settings.api_base} is the stack's own stand-in for Stripe and {SENDS_ITSELF}: with "
            "an endpoint each would come twice",
        )
    if not settings.is_stripe_itself:
        say(
            f"{settings.api_base} is a stand-in for Stripe: if it was started with --webhook-url, "
            "each event comes twice",
        )
    changes = Changes(say, is_dry_run=is_dry_run)
    async with open_client(settings.api_key.get_secret_value(), settings.api_base) as client:
        stripe = StripeSetup(client)
        await EndpointSetup(stripe, url, changes, place.stack).set_up(is_old_removed=is_old_removed)
        await PortalSetup(stripe, changes).set_up()
    if changes.count == 0:
        say("nothing to change")


def _check(url: str, *, is_stripe_itself: bool) -> None:
    """Refuse an address early that Stripe would refuse, or that leads to no webhook of ours.

    Raises:
        InvalidInputError: It is no such address.
    """
    parts = urlsplit(url)
    schemes = {"https"} if is_stripe_itself else {"https", "http"}
    if parts.scheme not in schemes or not parts.hostname or not parts.path.endswith(WEBHOOK_PATH):
        raise InvalidInputError(f"--url must be {ANY_URL}")
