"""Email over SMTP: encryption that was asked for is never done without."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator

import pytest

from adapters.email.mailer import IMPLICIT, NONE, STARTTLS, Mailer
from domain.errors import UnavailableError
from domain.notifications import Email

PASSWORD = "the password of the mail server"


class PlainServer:
    """An SMTP server that knows no encryption, and keeps what it is told."""

    def __init__(self) -> None:
        self.told = b""
        self.port = 0

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        is_data = False
        writer.write(b"220 plain\r\n")
        while line := await reader.readline():
            self.told += line
            if is_data:
                is_data = line != b".\r\n"
                if is_data:
                    continue
            word = line[:4].upper()
            is_data = word == b"DATA"
            replies = {b"EHLO": b"250-plain\r\n250 AUTH PLAIN LOGIN\r\n", b"DATA": b"354 go\r\n"}
            writer.write(
                replies.get(word, b"235 2.7.0 ok\r\n" if word == b"AUTH" else b"250 ok\r\n")
            )
            await writer.drain()
            if word == b"QUIT":
                break
        writer.close()


@pytest.fixture
async def plain() -> AsyncIterator[PlainServer]:
    server = PlainServer()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server


def mailer(plain: PlainServer, security: str) -> Mailer:
    return Mailer(
        "127.0.0.1",
        plain.port,
        "a@example.com",
        username="somebody",
        password=PASSWORD,
        security=security,
    )


MAIL = Email(subject="subject of the mail", text="text of the mail")


@pytest.mark.parametrize("security", [STARTTLS, IMPLICIT])
async def test_a_server_without_encryption_hears_nothing(
    plain: PlainServer,
    security: str,
) -> None:
    with pytest.raises(UnavailableError):
        async with asyncio.timeout(60):
            await mailer(plain, security).send("b@example.com", MAIL, "key")
    assert b"AUTH" not in plain.told.upper()
    assert b"mail" not in plain.told.lower()


async def test_none_is_in_clear(plain: PlainServer) -> None:
    async with asyncio.timeout(60):
        await mailer(plain, NONE).send("b@example.com", MAIL, "key")
    assert b"AUTH" in plain.told
    assert b"text of the mail" in plain.told
