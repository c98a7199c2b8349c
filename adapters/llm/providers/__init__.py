"""The providers of models: what each of them needs; an SDK is imported when it is opened."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NamedTuple

from adapters.llm.provider import ModelProvider

_ANTHROPIC_VERSION = "2023-06-01"


class HealthRequest(NamedTuple):
    """A GET that tells whether a provider answers and accepts our key, without calling a model."""

    url: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Provider:
    """What a provider of models needs.

    Args:
        url: Address of the provider's own API.
        open: Opens a client, from its base address, key and the longest pause of a stream in
            seconds.
        health_request: Makes the request of the health check, from base address and key.
        module: The module that `open` imports, for processes that load it beforehand.
        has_batches: Whether runs that may wait can be answered by its batch endpoint.
    """

    url: str
    open: Callable[[str, str, float], AbstractAsyncContextManager[ModelProvider]]
    health_request: Callable[[str, str], HealthRequest]
    module: str
    has_batches: bool = False


def _open_openai(
    base_url: str, api_key: str, timeout_seconds: float
) -> AbstractAsyncContextManager[ModelProvider]:
    # Reason: each SDK takes a second to import, and a worker needs only one of them.
    from adapters.llm.providers.openai_provider import OpenAIModels  # noqa: PLC0415

    return OpenAIModels.opened(base_url, api_key, timeout_seconds)


def _openai_health(base_url: str, api_key: str) -> HealthRequest:
    return HealthRequest(f"{base_url.rstrip('/')}/models", {"Authorization": f"Bearer {api_key}"})


def _open_anthropic(
    base_url: str, api_key: str, timeout_seconds: float
) -> AbstractAsyncContextManager[ModelProvider]:
    from adapters.llm.providers.anthropic_provider import AnthropicModels  # noqa: PLC0415

    return AnthropicModels.opened(base_url, api_key, timeout_seconds)


def _anthropic_health(base_url: str, api_key: str) -> HealthRequest:
    # Reason: one setting serves all providers, so its address may end in `/v1`.
    base = base_url.rstrip("/").removesuffix("/v1")
    headers = {"x-api-key": api_key, "anthropic-version": _ANTHROPIC_VERSION}
    return HealthRequest(f"{base}/v1/models", headers)


# The providers that `LLM__PROVIDER` may name.
PROVIDERS: dict[str, Provider] = {
    "openai": Provider(
        "https://api.openai.com/v1",
        _open_openai,
        _openai_health,
        "adapters.llm.providers.openai_provider",
        has_batches=True,
    ),
    "anthropic": Provider(
        "https://api.anthropic.com",
        _open_anthropic,
        _anthropic_health,
        "adapters.llm.providers.anthropic_provider",
    ),
}
