"""Options with which uvicorn serves the API in the stack, in a container and in tests."""

from typing import Any

# Maximum size of a WebSocket message from a client; the API discards all of them.
MESSAGE_LIMIT_BYTES = 4_096

SERVER_OPTIONS: dict[str, Any] = {
    "ws": "websockets-sansio",
    "ws_max_size": MESSAGE_LIMIT_BYTES,
    # Reason: the app itself logs each request, without the query string.
    "access_log": False,
    "log_config": None,
    "server_header": False,
    # Reason: `API__TRUSTED_PROXIES` tells whose headers are believed.
    "proxy_headers": False,
}
