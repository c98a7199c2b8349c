"""The health check of the containers, against a real HTTP server."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def healthcheck(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "deploy/healthcheck.py", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture
def url() -> Iterator[str]:
    """Serve 200 at /health and 503 elsewhere."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 503)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_url_is_healthy_when_it_answers_with_success(url: str) -> None:
    assert healthcheck(f"{url}/health").returncode == 0

    ill = healthcheck(f"{url}/other")
    assert ill.returncode == 1
    assert "503" in ill.stderr


def test_nobody_listening_is_unhealthy() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        gone = healthcheck(f"http://127.0.0.1:{bound.getsockname()[1]}/health")

    assert gone.returncode == 1
    assert gone.stderr.startswith("unhealthy:")


def test_a_wrong_call_says_how_it_is_meant() -> None:
    assert healthcheck("what").stderr == "usage: healthcheck.py URL\n"
