"""The sandboxes as processes, and a webhook receiver to listen to them."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import stripe

from adapters.tls import trusted
from stack.ports import free_ports
from tests.support.checked import CHECK, settle

ROOT = Path(__file__).parents[2]
SECRET = "whsec_of_these_tests"
# The environment of a sandbox that only works, and checks nothing.
UNCHECKED = {name: value for name, value in os.environ.items() if name != CHECK}


def free_port() -> int:
    """Return a port that nobody listens on."""
    (port,) = free_ports(1)
    return port


def wait_for(
    what: str,
    probe: Callable[[], Any],
    timeout_seconds: float = 100.0,
    pause_seconds: float = 0.02,
) -> Any:
    """Poll until `probe` answers something, or fail with what was waited for."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        answer = probe()
        if answer:
            return answer
        time.sleep(pause_seconds)
    raise AssertionError(f"waited {timeout_seconds:.0f} s for {what}")


@dataclass
class Sandbox:
    """A running Stripe sandbox."""

    process: subprocess.Popen[bytes]
    url: str

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.url, verify=trusted(), timeout=100)
        self.client = stripe.StripeClient(
            "sk_test_sandbox",
            base_addresses={"api": self.url},
            max_network_retries=0,
        )
        self.api: Any = self.client.v1

    def control(self, path: str, **body: Any) -> Any:
        reply = self.http.post(f"/_sandbox/{path}", json=body)
        assert reply.is_success, reply.text
        return reply.json()

    def see(self, path: str) -> Any:
        return self.http.get(f"/_sandbox/{path}").raise_for_status().json()

    def card(self, *script: str) -> str:
        return str(self.control("payment-methods", script=list(script))["id"])

    def advance(self, *, days: float = 0, seconds: float = 0) -> None:
        self.control("clock/advance", seconds=days * 86_400 + seconds)

    def now(self) -> float:
        return float(self.see("clock")["now"])

    def ledger(self, **match: Any) -> list[dict[str, Any]]:
        rows = self.see("ledger")["items"]
        return [row for row in rows if match.items() <= row.items()]

    def quiet(self) -> None:
        wait_for("webhooks", lambda: self.see("webhooks")["pending_count"] == 0)

    def stop(self) -> None:
        try:
            settle(self.url)
        finally:
            self.end()

    def end(self) -> None:
        """Stop without asking what was checked."""
        self.process.terminate()
        self.process.wait(100)
        self.http.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(100)
        self.http.close()


def start(
    data: Path,
    *,
    port: int | None = None,
    webhook_url: str | None = None,
    module: str = "sandbox.stripe",
    environ: Mapping[str, str] = os.environ,
) -> Sandbox:
    """Start a Stripe sandbox and wait until it answers."""
    port = port or free_port()
    command = [sys.executable, "-m", module, "--port", str(port), "--data", str(data)]
    if webhook_url:
        command += ["--webhook-url", webhook_url, "--webhook-secret", SECRET]
    sandbox = Sandbox(subprocess.Popen(command, cwd=ROOT, env=environ), f"http://127.0.0.1:{port}")
    wait_for("the sandbox", lambda: answers(sandbox.http))
    return sandbox


def answers(http: httpx.Client) -> bool:
    """Say whether a server is up."""
    try:
        return http.get("/_sandbox/health").is_success
    except httpx.TransportError:
        return False


@dataclass
class Receiver:
    """Takes webhooks; answers 500 to the next `refusals` of them."""

    url: str = ""
    secret: str = SECRET
    refusals: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)

    def take(self, payload: bytes, signature: str) -> int:
        self.arrivals.append(time.time())
        if self.refusals > 0:
            self.refusals -= 1
            return 500
        stripe.WebhookSignature.verify_header(payload.decode(), signature, self.secret, 300)
        event = json.loads(payload)
        self.events.append(event)
        return 200

    def types(self, object_id: str | None = None) -> list[str]:
        # Reason: thin events have no data.
        snapshots = [event for event in self.events if "data" in event]
        return [e["type"] for e in snapshots if object_id in {None, e["data"]["object"].get("id")}]


@contextmanager
def receiver(port: int | None = None) -> Iterator[Receiver]:
    """Listen for webhooks."""
    mine = Receiver()
    problems: list[BaseException] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version: ClassVar[str] = "HTTP/1.1"  # type: ignore[misc]

        def do_POST(self) -> None:
            payload = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                status = mine.take(payload, self.headers["Stripe-Signature"])
            except (AssertionError, stripe.StripeError) as problem:
                problems.append(problem)
                status = 200
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: Any) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", port or 0), Handler)
    server.daemon_threads = True
    mine.url = f"http://127.0.0.1:{server.server_address[1]}/hooks"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield mine
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
    assert not problems, problems[0]
