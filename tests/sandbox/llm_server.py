"""The models' stand-in as a process, and both real SDKs pointed at it."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pydantic
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from adapters.tls import trusted
from tests.sandbox import servers

Model = TypeVar("Model", bound=pydantic.BaseModel)


@dataclass
class ModelServer:
    """A running stand-in."""

    process: subprocess.Popen[bytes]
    url: str

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.url, verify=trusted(), timeout=100)

    def script(self, *items: dict[str, Any]) -> None:
        reply = self.http.post("/_sandbox/script", json={"items": items})
        assert reply.is_success, reply.text

    def requests(self, text: str = "") -> list[dict[str, Any]]:
        """Return the log of what was asked with this text in it."""
        items = self.http.get("/_sandbox/requests").raise_for_status().json()["items"]
        return [item for item in items if text in str(item["body"])]

    @asynccontextmanager
    async def openai(self) -> AsyncIterator[AsyncOpenAI]:
        url = f"{self.url}/v1"
        async with AsyncOpenAI(base_url=url, api_key="sandbox", max_retries=0) as client:
            yield client

    @asynccontextmanager
    async def anthropic(self) -> AsyncIterator[AsyncAnthropic]:
        async with AsyncAnthropic(base_url=self.url, api_key="sandbox", max_retries=0) as client:
            yield client

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(5) == 0
        self.http.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(5)
        self.http.close()


def start(data: Path, *options: str, port: int | None = None) -> ModelServer:
    """Start a stand-in and wait until it answers."""
    port = port or servers.free_port()
    command = [sys.executable, "-m", "sandbox.llm", "--port", str(port), "--data", str(data)]
    process = subprocess.Popen([*command, *options], cwd=servers.ROOT)
    server = ModelServer(process, f"http://127.0.0.1:{port}")
    servers.wait_for("the models' sandbox", lambda: servers.answers(server.http))
    return server


def strictly(kind: type[Model], content: bytes) -> Model:
    """Hold an answer against a class of an SDK: no wrong type, no field that it does not know."""
    found = kind.model_validate_json(content, strict=True)
    unknown = list(_unknown_fields(found))
    assert not unknown, unknown
    return found


def _unknown_fields(value: object) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _unknown_fields(item)
    if isinstance(value, pydantic.BaseModel):
        yield from (f"{type(value).__name__}.{name}" for name in value.model_extra or ())
        for name in type(value).model_fields:
            yield from _unknown_fields(getattr(value, name))
