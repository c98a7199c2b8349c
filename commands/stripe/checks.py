"""Read back what `stripe setup` makes, for the doctor."""

import shlex
from collections.abc import Sequence

from adapters.stripe.client import open_client
from adapters.stripe.setup import PINNED_VERSION, StripeSetup
from commands.findings import CheckDoubtfulError, CheckFailedError
from commands.stripe.advice import ANY_URL, SENDS_ITSELF, setup_command
from commands.targets import Target
from config import Settings
from domain.webhooks.endpoints import (
    WEBHOOK_PATH,
    EndpointSnapshot,
    PortalSnapshot,
    endpoints_of_product,
)

HERE = Target()
_SHOWN_TYPE_COUNT = 3


async def check_endpoint(settings: Settings, place: Target = HERE) -> str:
    """Read the webhook endpoint back.

    Args:
        settings: Where Stripe is, and where the API is reached.
        place: What the doctor was called for.

    Returns:
        What is well.

    Raises:
        CheckFailedError: Events do not come, or not as this release reads them.
        CheckDoubtfulError: They come twice.
        ApplicationError: Stripe is down, or refuses our key.
    """
    stripe = settings.stripe
    async with open_client(stripe.api_key.get_secret_value(), stripe.api_base) as client:
        return judge_endpoints(await StripeSetup(client).endpoints(), settings, place)


def judge_endpoints(
    endpoints: Sequence[EndpointSnapshot],
    settings: Settings,
    place: Target = HERE,
) -> str:
    """Say whether events come as this release reads them.

    Args:
        endpoints: All of the account.
        settings: Where Stripe is, and where the API is reached.
        place: What the doctor was called for.

    Returns:
        What is well.

    Raises:
        CheckFailedError: Events do not come, or not as this release reads them.
        CheckDoubtfulError: They come twice.
    """
    known = endpoints_of_product(endpoints, settings.public_url)
    if place.is_stripe_own and known:
        raise CheckDoubtfulError(
            f"{_name(known[0])} is one too many: Stripe's stand-in {SENDS_ITSELF}, so each comes "
            f"twice; run `{_removal(settings, known[0])}`",
        )
    if not known:
        return _tell_of_none(settings, place)
    best = min(known, key=lambda each: len(_flaws(each)))
    if flaws := _flaws(best):
        raise CheckFailedError(
            f"{_name(best)} {flaws[0]}: run `{setup_command(best.url, place.stack)}`",
        )
    if twins := [each for each in known if each.url == best.url and each != best]:
        old = f"{_name(twins[0])} is still there too"
        command = setup_command(best.url, place.stack, is_old_removed=True)
        raise CheckDoubtfulError(f"{old}: once its secret is replaced, run `{command}`")
    return f"{_name(best)}, API version {PINNED_VERSION}, {len(best.event_types)} event types"


async def check_portal(settings: Settings, place: Target = HERE) -> str:
    """Read the customer portal's configuration back.

    Args:
        settings: Where Stripe is.
        place: What the doctor was called for.

    Returns:
        What is well.

    Raises:
        CheckFailedError: It is missing, or does not offer what the product needs.
        ApplicationError: Stripe is down, or refuses our key.
    """
    stripe = settings.stripe
    async with open_client(stripe.api_key.get_secret_value(), stripe.api_base) as client:
        return judge_portals(await StripeSetup(client).portals(), settings, place)


def judge_portals(
    portals: Sequence[PortalSnapshot],
    settings: Settings,
    place: Target = HERE,
) -> str:
    """Say whether the customer portal offers what the product needs.

    Args:
        portals: All configurations of the account.
        settings: Where Stripe is, and where the API is reached.
        place: What the doctor was called for.

    Returns:
        What is well.

    Raises:
        CheckFailedError: Ours is missing, or does not offer what the product needs.
    """
    stripe, command = settings.stripe, setup_command(_url(settings), place.stack)
    ours = next((each for each in portals if each.is_ours), None)
    if place.is_stripe_own:
        return f"of {stripe.api_base}, a stand-in, where nothing needs one"
    if ours is None and not stripe.is_stripe_itself:
        return f"none at {stripe.api_base}, a stand-in, where nothing needs one"
    if ours is None:
        raise CheckFailedError(f"there is no configuration of ours: run `{command}`")
    if not ours.is_active:
        raise CheckFailedError(f"{ours.configuration_id} is not active: run `{command}`")
    if ours.lacking:
        lacking = ", ".join(ours.lacking)
        raise CheckFailedError(f"{ours.configuration_id} does not offer {lacking}: run `{command}`")
    return f"{ours.configuration_id} offers {', '.join(sorted(ours.features))}"


def _tell_of_none(settings: Settings, place: Target) -> str:
    stripe = settings.stripe
    if stripe.is_stripe_itself:
        command = setup_command(_url(settings), place.stack)
        raise CheckFailedError(f"Stripe has no endpoint of ours: run `{command}`")
    if place.is_stripe_own:
        return f"none is needed: the stand-in at {stripe.api_base} {SENDS_ITSELF}"
    return f"none at {stripe.api_base}, a stand-in, which sends to where it was started for"


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
        flaws.append(f"is not told of {', '.join(missing[:_SHOWN_TYPE_COUNT])}{more}")
    return flaws


def _name(endpoint: EndpointSnapshot) -> str:
    return f"{endpoint.endpoint_id} at {endpoint.url}"


def _removal(settings: Settings, endpoint: EndpointSnapshot) -> str:
    # Reason: a stand-in takes every test key, and a real one is to be on no screen.
    address = f"{settings.stripe.api_base}/v1/webhook_endpoints/{endpoint.endpoint_id}"
    return shlex.join(["curl", "-X", "DELETE", address, "-u", "sk_test_any:"])


def _url(settings: Settings) -> str:
    is_public = settings.public_url.startswith("https://")
    if settings.stripe.is_stripe_itself and not is_public:
        return ANY_URL  # Stripe sends to no other
    return settings.public_url.rstrip("/") + WEBHOOK_PATH
