"""Calls models of any provider, with a circuit breaker and metrics for each model."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from adapters.llm.pricing import Prices
from adapters.llm.provider import ModelProvider, OnText, Progress
from adapters.llm.providers import PROVIDERS
from domain.errors import ApplicationError, ProviderRejectedError, ProviderUnavailableError
from domain.llm.circuit_breaker import (
    Breaker,
    BreakerRules,
    BreakerState,
    admit,
    fail,
    release,
    succeed,
)
from domain.llm.messages import ModelReply, ModelRequest, TokenUsage
from domain.llm.routing import is_failure
from observability.metrics import CIRCUIT_BREAKER_STATE, LLM_COST_CENTS, LLM_REQUESTS, LLM_TOKENS

RULES = BreakerRules()
_GAUGE = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}


class Models:
    """Calls the models of one provider.

    Args:
        provider: Provider of the models.
        prices: Prices of the provider, for the metrics.
        rules: Rules of the circuit breakers.
    """

    def __init__(
        self,
        provider: ModelProvider,
        prices: Prices,
        rules: BreakerRules = RULES,
    ) -> None:
        self._provider = provider
        self._prices = prices
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
        model = request.model
        self._admit(model)
        outcome = "canceled"
        try:
            reply = await self._provider.stream(request, on_text, progress or Progress())
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
            self._count(model, reply.usage)
            return reply
        finally:
            LLM_REQUESTS.labels(model, outcome).inc()

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

    def _count(self, model: str, usage: TokenUsage | None) -> None:
        if usage is None:
            return
        LLM_TOKENS.labels(model, "prompt").inc(usage.prompt_tokens)
        LLM_TOKENS.labels(model, "completion").inc(usage.completion_tokens)
        LLM_COST_CENTS.labels(model).inc(float(self._prices.cost(model, usage).cents))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


@asynccontextmanager
async def open_models(
    provider: str,
    base_url: str | None,
    api_key: str,
    timeout_seconds: float,
    prices: Prices,
) -> AsyncIterator[Models]:
    """Open the client of a provider.

    Args:
        provider: Name in `PROVIDERS`.
        base_url: Address of the provider; None means the provider's own API.
        api_key: Key of the provider.
        timeout_seconds: Longest pause of a stream.
        prices: Prices of the provider, for the metrics.

    Yields:
        Models, until the block ends.
    """
    await prices.load()
    found = PROVIDERS[provider]
    async with found.open(base_url or found.url, api_key, timeout_seconds) as client:
        yield Models(client, prices)
