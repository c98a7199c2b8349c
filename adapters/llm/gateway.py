"""Calls models of one or two providers, with a circuit breaker and metrics for each model."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from typing import NamedTuple
from uuid import uuid4

from adapters.llm.batches import BATCHES_UNSUPPORTED
from adapters.llm.pricing import FULL_PRICE, Prices
from adapters.llm.provider import BatchEndpoint, ModelProvider, OnText, Progress
from adapters.llm.providers import PROVIDERS
from adapters.llm.providers.settings import FallbackProvider
from domain.errors import ApplicationError, ProviderRejectedError, ProviderUnavailableError
from domain.llm.batches import PRICE_SHARE
from domain.llm.circuit_breaker import (
    Breaker,
    BreakerRules,
    BreakerState,
    admit,
    fail,
    release,
    succeed,
)
from domain.llm.messages import ModelReply, ModelRequest, ProviderSlot, TokenUsage
from domain.llm.routing import Target, is_failure
from observability.metrics import CIRCUIT_BREAKER_STATE, LLM_COST_CENTS, LLM_REQUESTS, LLM_TOKENS

RULES = BreakerRules()
_GAUGE = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}


class Backend(NamedTuple):
    """An open client of a provider, and its prices, for the metrics."""

    provider: ModelProvider
    prices: Prices


class Models:
    """Calls the models of a provider, and of one that takes its place.

    Args:
        provider: Provider of the models.
        prices: Prices of the provider, for the metrics.
        rules: Rules of the circuit breakers.
        fallback: The provider that takes its place; None if there is none.
    """

    def __init__(
        self,
        provider: ModelProvider,
        prices: Prices,
        rules: BreakerRules = RULES,
        fallback: Backend | None = None,
    ) -> None:
        self._backends = {ProviderSlot.PRIMARY: Backend(provider, prices)}
        if fallback is not None:
            self._backends[ProviderSlot.FALLBACK] = fallback
        self._rules = rules
        self._breakers: defaultdict[str, Breaker] = defaultdict(Breaker)

    async def ask(
        self,
        request: ModelRequest,
        on_text: OnText,
        progress: Progress | None = None,
        run: str | None = None,
    ) -> ModelReply:
        """Call a model; cancelling the awaiting task closes the connection at once.

        Args:
            request: Request to send.
            on_text: Called with each piece of text as it arrives.
            progress: Updated with what there is to pay for, also if the call is cancelled.
            run: Run that makes the call; the breaker counts the failures of one run once.

        Returns:
            The whole answer.

        Raises:
            ProviderUnavailableError: A retry can help: `model_unavailable`,
                `model_rate_limited`, `model_stream_incomplete`, or, without a call of the model,
                `model_circuit_open`. `details` has `retry_after_seconds` if it is known, and,
                after a call, `has_begun` and `received_token_count`.
            ProviderRejectedError: A retry cannot help: `model_rejected`, `model_credentials`,
                `model_not_found`, `model_context_too_long`.
        """
        model, backend = _label_of(request), self._backends[request.slot]
        self._admit(model)
        outcome = "canceled"
        try:
            reply = await backend.provider.stream(request, on_text, progress or Progress())
        except ApplicationError as error:
            outcome = error.error_code
            self._record_failure(model, error, run or uuid4().hex)
            raise
        except BaseException:
            # Reason: a cancelled call says nothing about the model, but it ends a probe.
            self._set(model, release(self._breakers[model]))
            raise
        else:
            outcome = "succeeded"
            self._set(model, succeed())
            self._count(request, backend.prices, reply.usage)
            return reply
        finally:
            LLM_REQUESTS.labels(model, outcome).inc()

    def batches(self, request: ModelRequest) -> BatchEndpoint:
        """Return the batch endpoint for a request. Circuit breakers have no say in batches.

        Raises:
            ProviderRejectedError: The provider has none (`batches_unsupported`).
        """
        endpoint = self._backends[request.slot].provider.batches
        if endpoint is None:
            raise ProviderRejectedError("the provider has no batches", BATCHES_UNSUPPORTED)
        return endpoint

    def note_batch(self, request: ModelRequest, outcome: str, usage: TokenUsage | None) -> None:
        """Count a call by the batch endpoint that has ended, for the metrics."""
        LLM_REQUESTS.labels(_label_of(request), outcome).inc()
        self._count(request, self._backends[request.slot].prices, usage, PRICE_SHARE)

    def is_shut(self, target: Target) -> bool:
        """Tell whether the breaker of a model lets no call through now."""
        return admit(self._breakers[target.label], self._rules, self._now())[1] > 0

    def _admit(self, model: str) -> None:
        breaker, wait = admit(self._breakers[model], self._rules, self._now())
        if wait:
            LLM_REQUESTS.labels(model, "model_circuit_open").inc()
            raise ProviderUnavailableError(
                "the model failed several times in a row and is not called for a while",
                "model_circuit_open",
                {"model": model, "retry_after_seconds": wait},
            )
        self._set(model, breaker)

    def _record_failure(self, model: str, error: ApplicationError, run: str) -> None:
        breaker = self._breakers[model]
        is_ignored = isinstance(error, ProviderRejectedError) or not is_failure(error.error_code)
        failed = fail(breaker, self._rules, self._now(), run)
        self._set(model, release(breaker) if is_ignored else failed)

    def _set(self, model: str, breaker: Breaker) -> None:
        self._breakers[model] = breaker
        CIRCUIT_BREAKER_STATE.labels(model).set(_GAUGE[breaker.state])

    @staticmethod
    def _count(
        request: ModelRequest,
        prices: Prices,
        usage: TokenUsage | None,
        share: Decimal = FULL_PRICE,
    ) -> None:
        if usage is None:
            return
        model = _label_of(request)
        LLM_TOKENS.labels(model, "prompt").inc(usage.prompt_tokens)
        LLM_TOKENS.labels(model, "completion").inc(usage.completion_tokens)
        cents = share * prices.cost(request.model, usage).cents
        LLM_COST_CENTS.labels(model).inc(float(cents))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _label_of(request: ModelRequest) -> str:
    return Target(model=request.model, slot=request.slot).label


@asynccontextmanager
async def open_models(
    provider: str,
    base_url: str | None,
    api_key: str,
    timeout_seconds: float,
    prices: Prices,
    fallback: FallbackProvider | None = None,
) -> AsyncIterator[Models]:
    """Open the clients of the providers.

    Args:
        provider: Name in `PROVIDERS`.
        base_url: Address of the provider; None means the provider's own API.
        api_key: Key of the provider.
        timeout_seconds: Longest pause of a stream.
        prices: Prices of the provider, for the metrics.
        fallback: The provider that takes its place; None if there is none.

    Yields:
        Models, until the block ends.
    """
    await prices.load()
    async with AsyncExitStack() as stack:

        async def enter(name: str, url: str | None, key: str) -> ModelProvider:
            found = PROVIDERS[name]
            return await stack.enter_async_context(
                found.open(url or found.url, key, timeout_seconds)
            )

        client, second = await enter(provider, base_url, api_key), None
        if fallback is not None:
            await fallback.prices.load()
            given = (fallback.provider, fallback.base_url, fallback.api_key)
            second = Backend(await enter(*given), fallback.prices)
        yield Models(client, prices, fallback=second)
