"""A provider of models is one module and one name; everything that asks for one finds it there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from pydantic import ValidationError

from adapters.health import ModelsHealth
from adapters.llm.gateway import open_models
from adapters.llm.pricing import Prices
from adapters.llm.provider import Incoming, OnText, Progress
from adapters.llm.providers import PROVIDERS, HealthRequest, Provider
from adapters.llm.providers.settings import LLMSettings
from adapters.tls import trusted
from commands.doctor.examine import examine
from config import Settings
from domain.llm.messages import (
    ChatMessage,
    FinishReason,
    ModelReply,
    ModelRequest,
    Role,
    TokenUsage,
)
from stack.addresses import find_addresses
from stack.data_dir import Secrets
from stack.ports import Ports
from tests.conftest import Outside

QUESTION = ChatMessage(role=Role.USER, content="the moon is made of cheese")


class AcmeModels:
    """A provider without an SDK, which does not stream."""

    batches = None

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def stream(
        self, request: ModelRequest, on_text: OnText, progress: Progress
    ) -> ModelReply:
        messages = [{"role": each.role, "content": each.content} for each in request.messages]
        body = {"model": request.model, "messages": messages, "max_tokens": request.max_tokens}
        said = (await self._http.post("/chat/completions", json=body)).raise_for_status().json()
        incoming, used = Incoming(request, on_text, progress), said["usage"]
        incoming.begin()
        incoming.add_text(said["choices"][0]["message"]["content"])
        usage = TokenUsage(
            prompt_tokens=used["prompt_tokens"], completion_tokens=used["completion_tokens"]
        )
        incoming.report(usage, is_final=True)
        return incoming.reply(FinishReason.STOP, (), {})


@asynccontextmanager
async def open_acme(
    base_url: str, api_key: str, timeout_seconds: float
) -> AsyncIterator[AcmeModels]:
    headers = {"Authorization": f"Bearer {api_key}"}
    async with httpx.AsyncClient(
        base_url=base_url, headers=headers, timeout=timeout_seconds, verify=trusted()
    ) as http:
        yield AcmeModels(http)


def ask_acme_for_health(base_url: str, api_key: str) -> HealthRequest:
    return HealthRequest(f"{base_url}/models", {"Authorization": f"Bearer {api_key}"})


async def test_a_provider_is_added(
    outside: Outside, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{outside.llm}/v1"
    with pytest.raises(ValidationError, match="should be one of: openai, anthropic"):
        LLMSettings(provider="acme")
    acme = Provider(url, open_acme, ask_acme_for_health, __name__)
    monkeypatch.setitem(PROVIDERS, "acme", acme)

    llm = LLMSettings(provider="acme", model="acme-1")
    pieces: list[str] = []
    request = ModelRequest(model="acme-1", messages=(QUESTION,), max_tokens=100)
    async with open_models("acme", None, "none", 5, Prices("acme")) as models:
        reply = await models.ask(request, pieces.append)
    assert reply.text == "".join(pieces) != ""
    assert reply.usage is not None
    assert not Prices("acme").cost("acme-1", reply.usage).is_priced

    health = ModelsHealth("acme", None, "none")
    assert health.url == f"{url}/models"
    await health.ping()
    found = {each.what: each for each in await examine(settings.model_copy(update={"llm": llm}))}
    assert found["models"].detail == f"{url}/models answers; provider acme, model acme-1"
    environ = {"LLM__PROVIDER": "acme", "LLM__API_KEY": "sk-acme"}
    ports = Ports(
        api=1, temporal=2, temporal_ui=3, chroma=4, stripe=5, mail=6, smtp=7, postgres=8, llm=9
    )
    assert find_addresses(environ, ports, Secrets()).llm == url
