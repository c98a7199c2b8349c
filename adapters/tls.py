"""Which HTTPS servers are trusted."""

import ssl
from functools import cache

import httpx


@cache
def trusted() -> ssl.SSLContext:
    """Return the one context of this process, for every client's `verify`.

    Returns:
        The authorities of `SSL_CERT_FILE` or `SSL_CERT_DIR`, else those of certifi.
    """
    # Reason: each httpx client would read all authorities anew, 20 ms of the event loop.
    return httpx.create_ssl_context()
