"""Checks the providers of models without calling a model, which costs nothing."""

import httpx

from adapters.health import ModelsHealth
from adapters.llm.providers.settings import ProviderSettings
from commands.doctor.findings import CheckDoubtfulError, CheckFailedError
from commands.doctor.paid import model_names
from config import Settings
from domain.llm.messages import TokenUsage


async def check_models(settings: Settings) -> str:
    """Ask each provider whether it answers, without calling a model.

    Raises:
        CheckFailedError: One does not.
    """
    llm = settings.llm
    found = await _answers(llm, "LLM__BASE_URL")
    line = f"{found}; provider {llm.provider}, model {llm.model}"
    if (second := llm.second) is None:
        return line
    found = await _answers(second, "LLM__FALLBACK__BASE_URL")
    return f"{line}; fallback: {found}; provider {second.provider}, model {second.large_model}"


async def _answers(provider: ProviderSettings, setting: str) -> str:
    key = provider.api_key.get_secret_value()
    health = ModelsHealth(provider.provider, provider.base_url, key)
    try:
        await health.ping()
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        raise CheckFailedError(f"{health.url} answers {status}: check {setting}") from error
    except httpx.HTTPError as error:
        raise CheckFailedError(f"{health.url} does not answer") from error
    return f"{health.url} answers"


async def check_prices(settings: Settings) -> str:
    """Look up the price of each model.

    Raises:
        CheckDoubtfulError: No price is known for some.
    """
    names = model_names(settings.llm)
    unknown = []
    for provider in settings.llm.providers:
        prices = provider.make_prices()
        await prices.load()
        unknown += [
            name for name in provider.names if not prices.cost(name, TokenUsage()).is_priced
        ]
    if unknown:
        raise CheckDoubtfulError(
            f"no price is known for {', '.join(unknown)}: calls count as 0 cents, and a budget in "
            "cents refuses the model; set LLM__PROMPT_CENTS_PER_MILLION and "
            "LLM__COMPLETION_CENTS_PER_MILLION"
        )
    return f"known for {', '.join(names)}"
