"""A server that receives webhooks, as the app of a team does."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from standardwebhooks import Webhook


class Received(NamedTuple):
    """One request, as it arrived."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event

    def verified(self, secret: str) -> dict[str, Any]:
        """Return the event, after Standard Webhooks' own library has verified it."""
        event: dict[str, Any] = Webhook(secret).verify(self.body, dict(self.headers))
        return event


Answer = Callable[[dict[str, Any]], int]


@dataclass
class Receiver:
    """Answers each event with the status that `answer` chooses, and keeps all requests."""

    answer: Answer = lambda _: 200
    requests: list[Received] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    open_count: int = 0
    most_at_once: int = 0
    port: int = 0
    host: str = "127.0.0.1"

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/hooks"

    @property
    def accepted(self) -> list[Received]:
        """Requests that were answered well."""
        with self.lock:
            return [each for each in self.requests if each.status < 300]

    def events(self, *types: str) -> list[dict[str, Any]]:
        """Return the accepted events of these types, or all."""
        found = [each.event for each in self.accepted]
        return [each for each in found if not types or each["type"] in types]

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        """Keep a request, and return the status to answer."""
        with self.lock:
            self.open_count += 1
            self.most_at_once = max(self.most_at_once, self.open_count)
        status = self.answer(json.loads(body))
        with self.lock:
            self.open_count -= 1
            self.requests.append(Received(path, headers, body, status))
        return status


@contextmanager
def receiving(answer: Answer = lambda _: 200) -> Iterator[Receiver]:
    """Run a receiver on a free port of this machine."""
    receiver = Receiver(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(receiver.take(self.path, headers, body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Write no line for each request."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
