"""Whose address a request has, behind proxies that are trusted and others."""

from ipaddress import ip_network

import pytest
from starlette.requests import HTTPConnection

from api.http.client_address import client_address

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def connection(peer: str | None, *forwarded: str) -> HTTPConnection:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    client = (peer, 1) if peer else None
    return HTTPConnection({"type": "http", "client": client, "headers": headers})


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        # Nobody believes a client that is no proxy of ours.
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),
        ("10.0.0.2", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.2", ["192.0.2.9, 198.51.100.1, 10.0.0.3"], "198.51.100.1"),
        ("10.0.0.2", ["192.0.2.9", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.2", [], "10.0.0.2"),
        ("10.0.0.2", ["10.0.0.9"], "10.0.0.9"),
        ("fd00::1", ["2001:db8::5"], "2001:db8::5"),
        ("10.0.0.2", ["' OR 1=1"], "unknown"),
        ("10.0.0.2", ["198.51.100.1, "], "unknown"),
        (None, ["198.51.100.1"], "unknown"),
        ("testclient", [], "unknown"),
    ],
)
def test_whose_address(peer: str | None, forwarded: list[str], address: str) -> None:
    assert client_address(connection(peer, *forwarded), TRUSTED) == address


def test_a_long_chain_is_cut() -> None:
    chain = ", ".join(["10.0.0.5"] * 10_000)
    assert client_address(connection("10.0.0.2", chain), TRUSTED) == "10.0.0.5"
