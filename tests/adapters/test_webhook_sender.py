"""Sending webhooks: signed, checked before each connection, and never redirected."""

import socket
from types import SimpleNamespace

import httpx
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from adapters import egress, webhook_sender
from adapters.egress import Egress
from adapters.webhook_sender import OutgoingMessage, SendOutcome, WebhookSender
from domain.webhooks.outgoing import make_secret
from tests.adapters.test_web_fetcher import page, redirect
from tests.support.receiver import receiving

MESSAGE = OutgoingMessage("msg_1", '{"type":"invoice.paid","data":{"name":"Zoë"}}')
SECRET = make_secret()


async def send(url: str, *secrets: str, allowed: tuple[str, ...] = ("127.0.0.1",)) -> SendOutcome:
    sender = WebhookSender(Egress(allowed))
    async with sender.open(url, secrets or (SECRET,)) as channel:
        return await channel.send(MESSAGE)


async def test_a_message_is_signed() -> None:
    with receiving() as receiver:
        assert await send(receiver.url) == SendOutcome(200, None)
    (got,) = receiver.requests
    assert got.verified(SECRET)["type"] == "invoice.paid"
    assert got.message_id == "msg_1"
    assert got.headers["content-type"] == "application/json"
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    with pytest.raises(WebhookVerificationError):
        got._replace(body=got.body.replace(b"paid", b"void")).verified(SECRET)
    with pytest.raises(WebhookVerificationError):
        got.verified(make_secret())


async def test_while_a_secret_is_rotated_both_verify() -> None:
    other = make_secret()
    with receiving() as receiver:
        await send(receiver.url, SECRET, other)
    (got,) = receiver.requests
    for secret in (SECRET, other):
        assert Webhook(secret).verify(got.body, dict(got.headers))


@pytest.mark.parametrize("status", [199 + 1, 204, 299])
async def test_any_success_counts(status: int) -> None:
    with receiving(lambda _: status) as receiver:
        assert (await send(receiver.url)).error is None


@pytest.mark.parametrize("status", [300, 400, 410, 429, 500, 503])
async def test_any_other_answer_is_a_failure(status: int) -> None:
    with receiving(lambda _: status) as receiver:
        outcome = await send(receiver.url)
    assert outcome == SendOutcome(status, f"the endpoint answered {status}")


async def test_redirects_are_not_followed() -> None:
    with receiving() as inside:
        async with page(redirect(inside.url)) as url:
            assert (await send(url)).response_status == 302
    assert inside.requests == []


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "2130706433", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]"),  # noqa: S104
        *("10.0.0.1", "169.254.169.254", "192.168.1.1", "172.16.0.1", "100.64.0.1"),
    ],
)
async def test_our_own_network_is_closed(host: str) -> None:
    with receiving() as receiver:
        outcome = await send(f"http://{host}:{receiver.port}/", allowed=("other.example",))
    assert outcome == SendOutcome(None, "the address is not public")
    assert receiver.requests == []


async def test_one_port_of_a_host_can_be_allowed() -> None:
    with receiving() as receiver, receiving() as other:
        allowed = (f"127.0.0.1:{receiver.port}",)
        assert (await send(receiver.url, allowed=allowed)).error is None
        assert (await send(other.url, allowed=allowed)).error == "the address is not public"
    assert other.requests == []


async def test_a_name_is_resolved_before_each_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is public at registration and leads inward later is refused."""
    answers = ["93.184.215.14", "127.0.0.1"]

    def resolve(host: str, port: int | None, **_: object) -> list[tuple[object, ...]]:
        return [(0, 0, 0, "", (answers.pop(0), port or 0))]

    changed = SimpleNamespace(**vars(socket) | {"getaddrinfo": resolve})
    monkeypatch.setattr(egress, "socket", changed)
    with receiving() as receiver:
        url = f"http://app.example:{receiver.port}/"
        assert await Egress().resolve(httpx.URL(url)) == ["93.184.215.14"]
        assert (await send(url, allowed=())).error == "the address is not public"
    assert receiver.requests == []


async def test_nobody_there() -> None:
    assert "cannot be reached" in str((await send("http://127.0.0.1:1/")).error)
    unknown = await send("http://nothing.invalid/")
    assert unknown == SendOutcome(None, "the host cannot be resolved")


async def test_a_silent_endpoint_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_sender, "TIMEOUT_SECONDS", 0.3)
    async with page(b"HTTP/1.1 200") as url:
        outcome = await send(url)
    assert outcome.response_status is None
    assert outcome.error
