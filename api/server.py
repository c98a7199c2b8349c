"""How uvicorn serves the API, in a stack, in a container and in tests."""

from typing import Any

# The longest message that a client of a WebSocket may send; none is ever read.
MESSAGE_LIMIT_BYTES = 4_096

SERVER_OPTIONS: dict[str, Any] = {
    "ws": "websockets-sansio",
    "ws_max_size": MESSAGE_LIMIT_BYTES,
    # Reason: the app writes a line of its own for each request, without its query.
    "access_log": False,
    "log_config": None,
    "server_header": False,
}
