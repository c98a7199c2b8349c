"""TLS context with the trusted certificate authorities."""

import ssl
from functools import cache

import httpx


@cache
def trusted() -> ssl.SSLContext:
    """Return the TLS context of this process, for the argument `verify` of HTTP clients.

    Returns:
        Context with the authorities of `SSL_CERT_FILE` or `SSL_CERT_DIR`, else those of certifi.
    """
    # Reason: each httpx client would read all authorities again and block the event loop for 20 ms.
    return httpx.create_ssl_context()
