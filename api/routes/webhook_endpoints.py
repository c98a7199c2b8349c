"""Routes for the endpoints that webhooks are sent to. Administrators only."""

import socket
from collections.abc import Collection
from functools import cache
from typing import Annotated, Any
from uuid import UUID

import httpx
from fastapi import Query
from fastapi.responses import JSONResponse

from adapters.egress import AddressRefusedError, Egress
from api.deps import AdminDep, PagingDep, SessionsDep, SettingsDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.lookup import now, or_404
from api.openapi.problems import (
    ADMIN_REQUIRED,
    WEBHOOK_ADDRESS_REFUSED,
    WEBHOOK_ENDPOINT_OFF,
    no_such,
    problems,
)
from api.schemas.common import NO_CARD, Listing
from api.schemas.webhook_endpoints import (
    NewWebhookEndpoint,
    RedeliveryIn,
    SecretRotationIn,
    WebhookDeliveryOut,
    WebhookEndpointChangeIn,
    WebhookEndpointOut,
    WebhookEndpointSecretOut,
)
from config import Settings
from database.session import Sessions
from database.webhooks.models import WebhookEndpoint
from database.webhooks.webhook_delivery_log import WebhookDeliveryLog
from database.webhooks.webhook_endpoints import WebhookEndpointRepository
from domain.errors import IllegalCommandError, InvalidInputError
from domain.webhooks.outgoing import DeliveryStatus, make_secret

router = ApiRouter(prefix="/webhook-endpoints", tags=["webhook-endpoints"])

ENDPOINT = "webhook endpoint"


@router.post(
    "",
    status_code=201,
    response_model=WebhookEndpointSecretOut,
    responses=problems(ADMIN_REQUIRED, WEBHOOK_ADDRESS_REFUSED),
)
async def create_webhook_endpoint(
    body: NewWebhookEndpoint,
    caller: AdminDep,
    settings: SettingsDep,
    sessions: SessionsDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Create an endpoint. Its secret is shown once, and verifies webhooks (Standard Webhooks)."""

    async def work(claim: Claim) -> WebhookEndpointSecretOut:
        url = str(body.url)
        await _check_address(settings, url)
        secret = make_secret()
        async with sessions.begin() as session:
            row, is_new = await WebhookEndpointRepository(session).add(
                claim.resource_id, caller.user_id, url, list(body.event_types), secret
            )
        return WebhookEndpointSecretOut.of(row, secret=secret if is_new else None)

    return await once.run(
        caller.user_id, work, status=201, location="webhook_endpoint_id", secret=["secret"]
    )


@router.get("", responses=problems(ADMIN_REQUIRED))
async def list_webhook_endpoints(
    _: AdminDep, sessions: SessionsDep, paging: PagingDep
) -> Listing[WebhookEndpointOut]:
    """List endpoints, newest first."""
    async with sessions() as session:
        page = await WebhookEndpointRepository(session).list(paging.limit, paging.cursor)
    return Listing[WebhookEndpointOut].of(page, WebhookEndpointOut.of)


@router.get("/{webhook_endpoint_id}", responses=problems(ADMIN_REQUIRED, no_such(ENDPOINT)))
async def get_webhook_endpoint(
    webhook_endpoint_id: UUID, _: AdminDep, sessions: SessionsDep
) -> WebhookEndpointOut:
    """Return an endpoint."""
    return WebhookEndpointOut.of(await _read(sessions, webhook_endpoint_id))


@router.patch(
    "/{webhook_endpoint_id}",
    responses=problems(ADMIN_REQUIRED, no_such(ENDPOINT), WEBHOOK_ADDRESS_REFUSED),
)
async def change_webhook_endpoint(
    webhook_endpoint_id: UUID,
    body: WebhookEndpointChangeIn,
    _: AdminDep,
    settings: SettingsDep,
    sessions: SessionsDep,
) -> WebhookEndpointOut:
    """Change an endpoint. Once it is active again, what is pending is due at once."""
    changes: dict[str, Any] = {}
    if body.url is not None:
        changes["url"] = str(body.url)
        await _check_address(settings, changes["url"])
    if body.event_types is not None:
        changes["event_type_list"] = list(body.event_types)
    if body.is_active is not None:
        changes["is_active"] = body.is_active
        changes |= {"failing_since": None, "switched_off_at": None} if body.is_active else {}
    async with sessions.begin() as session:
        row = await WebhookEndpointRepository(session).change(webhook_endpoint_id, changes)
        if row is not None and body.is_active:
            await WebhookDeliveryLog(session).make_due(webhook_endpoint_id)
    return WebhookEndpointOut.of(or_404(row, ENDPOINT))


@router.delete(
    "/{webhook_endpoint_id}",
    status_code=204,
    responses=problems(ADMIN_REQUIRED, no_such(ENDPOINT)),
)
async def delete_webhook_endpoint(
    webhook_endpoint_id: UUID, _: AdminDep, sessions: SessionsDep
) -> None:
    """Delete an endpoint with its deliveries; what is pending is not sent any more."""
    async with sessions.begin() as session:
        is_deleted = await WebhookEndpointRepository(session).delete(webhook_endpoint_id)
    or_404(is_deleted or None, ENDPOINT)


@router.post(
    "/{webhook_endpoint_id}/rotate-secret",
    response_model=WebhookEndpointSecretOut,
    responses=problems(ADMIN_REQUIRED, no_such(ENDPOINT)),
)
async def rotate_webhook_secret(
    webhook_endpoint_id: UUID,
    caller: AdminDep,
    sessions: SessionsDep,
    once: IdempotentDep,
    body: SecretRotationIn | None = None,
) -> JSONResponse:
    """Make a new secret; until the overlap is over, webhooks are signed with both."""
    overlap = (body or SecretRotationIn()).overlap

    async def work(claim: Claim) -> WebhookEndpointSecretOut:
        secret = make_secret()
        async with sessions.begin() as session:
            row, is_new = await WebhookEndpointRepository(session).rotate(
                webhook_endpoint_id, claim.command_id, secret, now() + overlap
            )
        found = or_404(row, ENDPOINT)
        return WebhookEndpointSecretOut.of(found, secret=secret if is_new else None)

    return await once.run(caller.user_id, work, secret=["secret"])


@router.post(
    "/{webhook_endpoint_id}/test",
    status_code=202,
    response_model=WebhookDeliveryOut,
    responses=problems(ADMIN_REQUIRED, no_such(ENDPOINT), WEBHOOK_ENDPOINT_OFF),
)
async def send_test_webhook(
    webhook_endpoint_id: UUID, caller: AdminDep, sessions: SessionsDep, once: IdempotentDep
) -> JSONResponse:
    """Send a `webhook_endpoint.test` event, once; its delivery shows what came of it."""

    async def work(claim: Claim) -> WebhookDeliveryOut:
        _check_active(await _read(sessions, webhook_endpoint_id))
        async with sessions.begin() as session:
            row = await WebhookDeliveryLog(session).add_test(webhook_endpoint_id, claim.resource_id)
        return WebhookDeliveryOut.of(row)

    return await once.run(caller.user_id, work, status=202)


@router.get(
    "/{webhook_endpoint_id}/deliveries", responses=problems(ADMIN_REQUIRED, no_such(ENDPOINT))
)
async def list_webhook_deliveries(
    webhook_endpoint_id: UUID,
    _: AdminDep,
    sessions: SessionsDep,
    paging: PagingDep,
    delivery_status: DeliveryStatus | None = None,
    event_type: Annotated[Annotated[str, NO_CARD] | None, Query(max_length=255)] = None,
) -> Listing[WebhookDeliveryOut]:
    """List the deliveries of an endpoint, newest first. Settled ones are kept for 30 days."""
    await _read(sessions, webhook_endpoint_id)
    async with sessions() as session:
        page = await WebhookDeliveryLog(session).list(
            webhook_endpoint_id, delivery_status, event_type, paging.limit, paging.cursor
        )
    return Listing[WebhookDeliveryOut].of(page, WebhookDeliveryOut.of)


@router.post(
    "/{webhook_endpoint_id}/redeliver",
    response_model=WebhookDeliveryOut,
    responses=problems(
        ADMIN_REQUIRED, no_such(ENDPOINT), no_such("webhook delivery"), WEBHOOK_ENDPOINT_OFF
    ),
)
async def redeliver_webhook(
    webhook_endpoint_id: UUID,
    body: RedeliveryIn,
    caller: AdminDep,
    sessions: SessionsDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Send a delivery again, whatever its status, with the same `webhook-id`.

    Until it is delivered or dropped, later events of its resource wait.
    """

    async def work(_: Claim) -> WebhookDeliveryOut:
        _check_active(await _read(sessions, webhook_endpoint_id))
        async with sessions.begin() as session:
            row = await WebhookDeliveryLog(session).redeliver(
                webhook_endpoint_id, body.webhook_delivery_id
            )
        return WebhookDeliveryOut.of(or_404(row, "webhook delivery"))

    return await once.run(caller.user_id, work)


@cache
def _egress(allowed_private_hosts: Collection[str]) -> Egress:
    return Egress(allowed_private_hosts)


async def _check_address(settings: Settings, address: str) -> None:
    """Refuse an address that leads inward; it is checked again before each connection.

    Raises:
        InvalidInputError: The address is refused.
    """
    egress, url = _egress(settings.egress.allowed_private_hosts), httpx.URL(address)
    try:
        await egress.resolve(url)
    except socket.gaierror:
        pass  # the host may be set up later
    except (AddressRefusedError, UnicodeError) as error:
        raise InvalidInputError("the address is not public", "webhook_address_refused") from error
    if url.userinfo:
        message = "the address must have no user name and password"
        raise InvalidInputError(message, "webhook_address_refused")
    if url.scheme != "https" and not egress.is_allowed_private(url):
        raise InvalidInputError("the address must use https", "webhook_address_refused")


def _check_active(endpoint: WebhookEndpoint) -> None:
    if not endpoint.is_active:
        raise IllegalCommandError("the webhook endpoint is off", details={"is_active": False})


async def _read(sessions: Sessions, webhook_endpoint_id: UUID) -> WebhookEndpoint:
    async with sessions() as session:
        row = await WebhookEndpointRepository(session).get(webhook_endpoint_id)
    return or_404(row, ENDPOINT)
