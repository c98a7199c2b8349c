"""The deliveries' own HTTP client, against servers that answer badly."""

import asyncio

import pytest

from sandbox.stripe.poster import Poster


class Peer:
    """A server that answers each message on a connection with the next of its scripted bytes."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.connection_count = 0

    async def __aenter__(self) -> "Peer":
        self.server = await asyncio.start_server(self.talk, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/hooks?a=1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection_count += 1
        while self.answers:
            try:
                self.head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(2)
            except asyncio.IncompleteReadError:
                break
            answer = self.answers.pop(0)
            writer.write(answer)
            if b"ength" not in answer or b"!" in answer:
                break
        writer.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_a_connection_is_kept_while_its_answers_have_a_length() -> None:
    async with Peer(OK, OK, b"HTTP/1.1 503 Sorry\r\nContent-Length: 0\r\n\r\n") as peer:
        poster = Poster(peer.url)
        statuses = [await poster.post(b"{}", {"A": "b"}) for _ in range(3)]
        poster.close()
    assert (statuses, peer.connection_count) == ([200, 200, 503], 1)
    assert peer.head.startswith(b"POST /hooks?a=1 HTTP/1.1\r\nHost: 127.0.0.1:")


async def test_a_connection_that_was_closed_meanwhile_is_replaced() -> None:
    async with Peer(OK + b"!", b"HTTP/1.1 200 OK\r\n\r\nuntil the end", OK) as peer:
        poster = Poster(peer.url)
        statuses = []
        for _ in range(3):
            statuses.append(await poster.post(b"{}", {}))
            await asyncio.sleep(0.02)
        poster.close()
    assert (statuses, peer.connection_count) == ([200, 200, 200], 3)


@pytest.mark.parametrize("answer", [b"", b"hello\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-L"])
async def test_no_sensible_answer_is_an_error(answer: bytes) -> None:
    async with Peer(answer) as peer:
        with pytest.raises(OSError, match=r"answer|reset"):
            await Poster(peer.url).post(b"{}", {})


async def test_nobody_there_is_an_error() -> None:
    with pytest.raises(OSError, match="Connect"):
        await Poster("http://127.0.0.1:9/").post(b"{}", {})
    with pytest.raises(ValueError, match="not an http address"):
        Poster("ftp://127.0.0.1/")
