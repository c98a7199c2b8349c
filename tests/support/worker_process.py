"""A worker as a process of its own, as operators run it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from temporalio.client import Client

from adapters.tls import trusted
from config import Settings
from tests.conftest import PROJECT, free_port

START_SECONDS = 100


@dataclass
class WorkerProcess:
    """A running worker process, its status port and its output."""

    process: subprocess.Popen[bytes]
    url: str
    output: Path

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(verify=trusted(), timeout=20) as http:
            return await http.get(f"{self.url}{path}")

    async def wait_until(self, status: int) -> dict[str, Any]:
        """Wait until readiness has a status, and return its body."""
        async with asyncio.timeout(START_SECONDS):
            while True:
                try:
                    reply = await self.get("/health/ready")
                except httpx.HTTPError:
                    reply = None
                if reply is not None and reply.status_code == status:
                    body: dict[str, Any] = reply.json()
                    return body
                assert self.process.poll() is None, self.output.read_text()
                await asyncio.sleep(0.1)

    async def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(self.process.wait, 100)

    def lines(self) -> list[dict[str, Any]]:
        """Return all lines of standard output and standard error, each of which is JSON."""
        return [json.loads(line) for line in self.output.read_text().splitlines()]


@asynccontextmanager
async def worker_process(
    temporal: Client, settings: Settings, folder: Path, *options: str
) -> AsyncIterator[WorkerProcess]:
    """Start `worker.py`, and wait until it is ready."""
    port, output = free_port(), folder / "worker.log"
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ},
        "PYTHONUNBUFFERED": "1",
        "AUTH__JWT_SECRET": settings.auth.jwt_secret.get_secret_value(),
        "CHROMA_URL": settings.chroma_url,
        "DATABASE_URL": settings.database_url,
        "LLM__BASE_URL": str(settings.llm.base_url),
        "MAIL__SMTP_PORT": str(settings.mail.smtp_port),
        "STATUS_PORT": str(port),
        "STRIPE__API_BASE": str(settings.stripe.api_base),
        "STRIPE__WEBHOOK_SECRET": settings.stripe.webhook_secret.get_secret_value(),
        "TEMPORAL__ADDRESS": temporal.service_client.config.target_host,
        "TEMPORAL__NAMESPACE": temporal.namespace,
    }
    process = _start(options, environment, output)
    running = WorkerProcess(process, f"http://127.0.0.1:{port}", output)
    try:
        await running.wait_until(200)
        yield running
    finally:
        process.kill()
        process.wait(100)


def _start(
    options: tuple[str, ...], environment: dict[str, str], output: Path
) -> subprocess.Popen[bytes]:
    with output.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "worker.py", *options],
            cwd=PROJECT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
