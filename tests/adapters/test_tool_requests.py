"""The requests of tools, to a server that answers as badly as servers do."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from adapters.egress import Egress
from adapters.tool_requests import MAX_REDIRECTS, SendFailure, ToolReply, ToolRequests
from domain.agents.tools.http_requests import HttpRequest
from tests.conftest import free_port
from tests.support.team_api import TeamApi, team_api

LIMIT = 2.0
REQUESTS = ToolRequests(Egress(("127.0.0.1",)))


@pytest.fixture
async def api() -> AsyncIterator[TeamApi]:
    async with team_api() as api:
        yield api


async def get(url: str, redirect_count: int = 0) -> ToolReply | SendFailure:
    request = HttpRequest("GET", url, {"Authorization": "Bearer secret"}, None)
    return await REQUESTS.send(request, LIMIT, 100_000, redirect_count)


async def post(api: TeamApi, *manners: str) -> ToolReply | SendFailure:
    api.manners.extend(manners)
    request = HttpRequest("POST", f"{api.url}/orders", {"X-Call": "c"}, b'{"sku": "A"}')
    return await REQUESTS.send(request, LIMIT, 100_000)


async def test_an_answer_is_read(api: TeamApi) -> None:
    reply = await get(f"{api.url}/echo?a=1")
    assert isinstance(reply, ToolReply)
    assert (reply.status, reply.media_type, reply.is_cut) == (200, "application/json", False)
    seen = json.loads(reply.body)
    assert seen["target"] == "/echo?a=1"
    assert seen["headers"]["host"] == f"127.0.0.1:{api.port}"
    assert seen["headers"]["accept-encoding"] == "identity"
    assert seen["headers"]["authorization"] == "Bearer secret"


async def test_an_endless_answer_is_cut(api: TeamApi) -> None:
    reply = await get(f"{api.url}/endless")
    assert isinstance(reply, ToolReply)
    assert (len(reply.body), reply.is_cut) == (100_000, True)


async def test_a_slow_body_has_an_end(api: TeamApi) -> None:
    async with asyncio.timeout(60):
        reply = await get(f"{api.url}/trickle")
    assert isinstance(reply, ToolReply)
    assert (reply.status, reply.is_cut) == (200, True)
    assert 0 < len(reply.body) < 100


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("hang", "no answer within 2 s"),
        ("cut_after", "the connection was cut, or the answer is not HTTP"),
        ("garbage", "the connection was cut, or the answer is not HTTP"),
    ],
)
async def test_a_lost_answer_was_sent(api: TeamApi, manner: str, reason: str) -> None:
    assert await post(api, manner) == SendFailure(reason, was_sent=True)
    assert len(api.orders) == len(api.posts) == 1


async def test_a_status_is_known_although_the_body_breaks_off(api: TeamApi) -> None:
    reply = await post(api, "cut_body")
    assert isinstance(reply, ToolReply)
    assert (reply.status, reply.is_cut) == (201, True)


async def test_what_was_not_sent_is_told(api: TeamApi) -> None:
    closed = await get(f"http://127.0.0.1:{free_port()}/")
    assert closed == SendFailure("the server cannot be reached", was_sent=False)
    nowhere = await get("http://nowhere.invalid/")
    assert nowhere == SendFailure("the host cannot be resolved", was_sent=False)


@pytest.mark.parametrize(
    "url",
    ["http://localhost/", "http://169.254.169.254/", "http://[::1]/", "http://10.0.0.1/"],
)
async def test_private_addresses_are_refused(url: str) -> None:
    refused = await get(url)
    assert refused == SendFailure("the address is not public", was_sent=False, is_final=True)


async def test_a_redirect_of_a_read_is_followed_and_checked(api: TeamApi) -> None:
    async def follow(to: str) -> ToolReply | SendFailure:
        return await get(f"{api.url}/moved?to={to}", MAX_REDIRECTS)

    reply = await follow("/echo")
    assert isinstance(reply, ToolReply)
    assert "authorization" in json.loads(reply.body)["headers"]
    inward = await follow("http://169.254.169.254/latest/meta-data")
    assert inward == SendFailure("the address is not public", was_sent=False, is_final=True)
    loop = await get(f"{api.url}/moved?to=/moved%3Fto%3D/echo", 1)
    assert loop == SendFailure("too many redirects", was_sent=True, is_final=True)
    async with team_api() as other:
        reply = await follow(f"{other.url}/echo")
        assert isinstance(reply, ToolReply)
        assert other.requests[0].headers.keys().isdisjoint({"authorization"})


async def test_a_redirect_of_a_write_is_an_answer(api: TeamApi) -> None:
    reply = await post(api, "redirect")
    assert isinstance(reply, ToolReply)
    assert reply.status == 302
    assert len(api.requests) == 1
