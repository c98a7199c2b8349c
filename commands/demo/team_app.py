"""The app of a team: a server that receives Perdure's webhooks and verifies their signatures."""

import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

from commands.demo.api_client import Document


class TeamApp:
    """Receives webhooks on a free port of this machine; it keeps them once, in their order."""

    def __init__(self) -> None:
        self._secret: str | None = None
        self._events: dict[str, Document] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """Return host and port."""
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def events(self) -> list[Document]:
        """Return the verified events, in the order of their arrival."""
        return list(self._events.values())

    def trust(self, secret: str) -> None:
        """Verify all webhooks with a secret."""
        self._secret = secret

    def receive(self, headers: Mapping[str, str], body: bytes) -> int:
        """Keep a webhook if its signature is right; one that comes twice is kept once.

        Returns:
            The status to answer.
        """
        try:
            event = Webhook(self._secret or "").verify(body, dict(headers))
        except (WebhookVerificationError, RuntimeError):
            return 401
        self._events.setdefault(headers["webhook-id"], event)
        return 204

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()


def _handler(team_app: TeamApp) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Answer a webhook."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(team_app.receive(headers, body))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Write no line for each request."""

    return Handler
