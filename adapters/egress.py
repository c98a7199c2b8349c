"""Connects to addresses that others have named; private addresses are refused unless allowed."""

import asyncio
import ipaddress
import socket
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx

from adapters.tls import trusted

MAX_PORT = 65_535
# Reason: a resolver may take long, and must not occupy the threads of the shared pool.
RESOLVER_THREAD_COUNT = 16
_DEFAULT_PORTS = {"http": 80, "https": 443}
_IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
# Reason: addresses outside of it lead to local networks, or contain an IPv4 address.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
# Networks that older versions of Python take for public: 6to4, its relays, documentation, tests.
_SPECIAL = tuple(
    map(ipaddress.ip_network, ("2002::/16", "3fff::/20", "192.0.0.0/24", "192.88.99.0/24"))
)


class AddressRefusedError(ValueError):
    """An address is not connected to; the message says why."""


class Egress:
    """Resolves host names, and refuses those that lead into private networks.

    Args:
        allowed_private_hosts: Hosts (`host`, or `host:port` for one port) that may be private.
    """

    def __init__(self, allowed_private_hosts: Collection[str] = ()) -> None:
        self._allowed = frozenset(host.casefold() for host in allowed_private_hosts)
        self._threads = ThreadPoolExecutor(RESOLVER_THREAD_COUNT, thread_name_prefix="resolver")

    def is_allowed_private(self, url: httpx.URL) -> bool:
        """Return whether the host of a URL may be in a private network."""
        host = url.host.casefold()
        port = url.port or _DEFAULT_PORTS.get(url.scheme)
        return not self._allowed.isdisjoint({host, f"{host}:{port}"})

    async def resolve(self, url: httpx.URL) -> list[str]:
        """Return the addresses of the host of a URL, after checking each of them.

        Raises:
            AddressRefusedError: The URL is not one of the web, or an address is not public.
            gaierror: The host cannot be resolved.
            UnicodeError: The host is not a valid name.
        """
        is_web = url.scheme in _DEFAULT_PORTS and bool(url.host)
        if not is_web or (url.port or 0) > MAX_PORT:
            raise AddressRefusedError("only http and https addresses are connected to")
        loop = asyncio.get_running_loop()
        # Reason: other letters would be encoded once more here, by older rules, to another name.
        host = url.raw_host.decode("ascii")
        resolve = partial(socket.getaddrinfo, host, url.port, type=socket.SOCK_STREAM)
        found = await loop.run_in_executor(self._threads, resolve)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not self.is_allowed_private(url) and not all(map(is_public, addresses)):
            raise AddressRefusedError("the address is not public")
        return addresses


def open_http(timeout_seconds: float) -> httpx.AsyncClient:
    """Return an HTTP client for requests of `pinned_request`.

    Args:
        timeout_seconds: Longest silence of a server.
    """
    # Reason: a proxy would resolve the host again, and might connect to an unchecked address.
    return httpx.AsyncClient(verify=trusted(), timeout=timeout_seconds, trust_env=False)


def pinned_request(
    http: httpx.AsyncClient,
    method: str,
    url: httpx.URL,
    address: str,
    headers: Mapping[str, str],
    content: bytes | None = None,
) -> httpx.Request:
    """Return a request that goes to an address which was checked already."""
    # Reason: a host name may resolve differently the next time, so the request goes to the
    # checked address; the name is kept for the certificate and for virtual hosts.
    return http.build_request(
        method,
        url.copy_with(host=address),
        headers={"Host": url.netloc.decode(), **headers},
        content=content,
        extensions={"sni_hostname": url.raw_host.decode("ascii")},
    )


def is_public(address: str) -> bool:
    """Tell whether an IP address is public."""
    found: _IPAddress = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        elif found not in _GLOBAL_UNICAST:
            return False
    if any(found in network for network in _SPECIAL):
        return False
    return found.is_global and not found.is_multicast
