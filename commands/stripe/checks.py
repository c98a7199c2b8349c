"""Checks the webhook endpoint and the customer portal at Stripe, for `doctor`."""

import shlex
from collections.abc import Sequence

from adapters.stripe.client import open_client
from adapters.stripe.setup import PINNED_VERSION, StripeSetup
from commands.doctor.findings import CheckDoubtfulError, CheckFailedError
from commands.stripe.advice import ANY_URL, SENDS_ITSELF, setup_command
from commands.targets import Target
from config import Settings
from domain.webhooks.endpoints import (
    WEBHOOK_PATH,
    EndpointSnapshot,
    PortalSnapshot,
    endpoints_of_product,
)

NO_STACK = Target()
_SHOWN_TYPE_COUNT = 3


async def check_endpoint(settings: Settings, target: Target = NO_STACK) -> str:
    """Check that Stripe has the product's webhook endpoint, with the right API version and events.

    Args:
        settings: Settings of Stripe, and the API's public address.
        target: The stack that `doctor` was called for, if any.

    Returns:
        The finding as a line.

    Raises:
        CheckFailedError: Events do not arrive, or in another API version than this release reads.
        CheckDoubtfulError: Events arrive twice.
        ApplicationError: Stripe is down, or refuses our key.
    """
    stripe = settings.stripe
    async with open_client(stripe.api_key.get_secret_value(), stripe.api_base) as client:
        return check_endpoints(await StripeSetup(client).endpoints(), settings, target)


def check_endpoints(
    endpoints: Sequence[EndpointSnapshot],
    settings: Settings,
    target: Target = NO_STACK,
) -> str:
    """Check that one of the account's endpoints is as the product needs it.

    Args:
        endpoints: All endpoints of the account.
        settings: Settings of Stripe, and the API's public address.
        target: The stack that `doctor` was called for, if any.

    Returns:
        The finding as a line.

    Raises:
        CheckFailedError: Events do not arrive, or in another API version than this release reads.
        CheckDoubtfulError: Events arrive twice.
    """
    known = endpoints_of_product(endpoints, settings.public_url)
    if target.is_stripe_own and known:
        raise CheckDoubtfulError(
            f"{_name(known[0])} is one too many: Stripe's sandbox {SENDS_ITSELF}, so each event "
            f"arrives twice; run `{_removal(settings, known[0])}`",
        )
    if not known:
        return _no_endpoint(settings, target)
    best = min(known, key=lambda each: len(_flaws(each)))
    if flaws := _flaws(best):
        raise CheckFailedError(
            f"{_name(best)} {flaws[0]}: run `{setup_command(best.url, target.stack)}`",
        )
    if others := [each for each in known if each.url == best.url and each != best]:
        command = setup_command(best.url, target.stack, is_old_removed=True)
        raise CheckDoubtfulError(
            f"{_name(others[0])} still exists beside {best.endpoint_id}: once its secret is no "
            f"longer in use, run `{command}`",
        )
    return f"{_name(best)}, API version {PINNED_VERSION}, {len(best.event_types)} event types"


async def check_portal(settings: Settings, target: Target = NO_STACK) -> str:
    """Check that the customer portal's configuration offers what the product needs.

    Args:
        settings: Settings of Stripe.
        target: The stack that `doctor` was called for, if any.

    Returns:
        The finding as a line.

    Raises:
        CheckFailedError: The configuration is missing, inactive or incomplete.
        ApplicationError: Stripe is down, or refuses our key.
    """
    stripe = settings.stripe
    async with open_client(stripe.api_key.get_secret_value(), stripe.api_base) as client:
        return check_portals(await StripeSetup(client).portals(), settings, target)


def check_portals(
    portals: Sequence[PortalSnapshot],
    settings: Settings,
    target: Target = NO_STACK,
) -> str:
    """Check that the product's portal configuration is active and complete.

    Args:
        portals: All portal configurations of the account.
        settings: Settings of Stripe, and the API's public address.
        target: The stack that `doctor` was called for, if any.

    Returns:
        The finding as a line.

    Raises:
        CheckFailedError: The configuration is missing, inactive or incomplete.
    """
    stripe, command = settings.stripe, setup_command(_url(settings), target.stack)
    ours = next((each for each in portals if each.is_ours), None)
    if target.is_stripe_own:
        return f"not needed at the sandbox {stripe.api_base}"
    if ours is None and not stripe.is_real_stripe:
        return f"none at {stripe.api_base}, a sandbox, where none is needed"
    if ours is None:
        raise CheckFailedError(f"Stripe has no portal configuration of ours: run `{command}`")
    if not ours.is_active:
        raise CheckFailedError(f"{ours.configuration_id} is not active: run `{command}`")
    if ours.lacking:
        lacking = ", ".join(ours.lacking)
        raise CheckFailedError(f"{ours.configuration_id} does not offer {lacking}: run `{command}`")
    return f"{ours.configuration_id} offers {', '.join(sorted(ours.features))}"


def _no_endpoint(settings: Settings, target: Target) -> str:
    stripe = settings.stripe
    if stripe.is_real_stripe:
        command = setup_command(_url(settings), target.stack)
        raise CheckFailedError(f"Stripe has no endpoint of ours: run `{command}`")
    if target.is_stripe_own:
        return f"none is needed: the sandbox at {stripe.api_base} {SENDS_ITSELF}"
    return f"none at {stripe.api_base}, a sandbox, which sends to the address of its --webhook-url"


def _flaws(endpoint: EndpointSnapshot) -> Sequence[str]:
    flaws = []
    if endpoint.api_version != PINNED_VERSION:
        version = endpoint.api_version or "the account's API version"
        flaws.append(f"sends {version}, and this release reads {PINNED_VERSION}")
    if not endpoint.is_enabled:
        flaws.append("is disabled")
    if missing := endpoint.missing_types:
        left = len(missing) - _SHOWN_TYPE_COUNT
        more = f" and {left} more" if left > 0 else ""
        flaws.append(f"is not subscribed to {', '.join(missing[:_SHOWN_TYPE_COUNT])}{more}")
    return flaws


def _name(endpoint: EndpointSnapshot) -> str:
    return f"{endpoint.endpoint_id} at {endpoint.url}"


def _removal(settings: Settings, endpoint: EndpointSnapshot) -> str:
    # Reason: a sandbox accepts every test key, and the real key must not be printed.
    address = f"{settings.stripe.api_base}/v1/webhook_endpoints/{endpoint.endpoint_id}"
    return shlex.join(["curl", "-X", "DELETE", address, "-u", "sk_test_any:"])


def _url(settings: Settings) -> str:
    is_public = settings.public_url.startswith("https://")
    if settings.stripe.is_real_stripe and not is_public:
        return ANY_URL  # Stripe sends webhooks to public https addresses only
    return settings.public_url.rstrip("/") + WEBHOOK_PATH
