"""Finds the address of the client that sent a request, behind proxies that are trusted."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from starlette.requests import HTTPConnection

Network = IPv4Network | IPv6Network
UNKNOWN = "unknown"
_LONGEST_CHAIN = 20


def client_address(connection: HTTPConnection, trusted: Sequence[Network]) -> str:
    """Return the address of the client.

    Args:
        connection: The request, or the WebSocket.
        trusted: Networks of proxies whose `X-Forwarded-For` is believed.

    Returns:
        The last address of the chain that is no trusted proxy; `unknown` if there is none.
    """
    peer = connection.client.host if connection.client else UNKNOWN
    headers = connection.headers.getlist("x-forwarded-for")
    chain = [part.strip() for header in headers for part in header.split(",")][-_LONGEST_CHAIN:]
    # Reason: each proxy appends whom it has heard; what stands before an untrusted address is made
    # up by the client.
    while chain and _is_trusted(peer, trusted):
        peer = chain.pop()
    return _plain(peer)


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in trusted)


def _plain(address: str) -> str:
    """Return an address without a port, or `unknown`."""
    try:
        return str(ip_address(address))
    except ValueError:
        return UNKNOWN
