"""Settings of the providers of models: `LLM__...`, and `LLM__FALLBACK__...` of the second one."""

from decimal import Decimal
from typing import NamedTuple

from pydantic import Field, SecretStr, field_validator, model_validator

from adapters.llm.pricing import Prices
from adapters.llm.providers import PROVIDERS
from domain.base import IgnoringEmpty
from domain.llm.rate_limits import RateLimits
from domain.llm.routing import ModelNames


class ProviderSettings(IgnoringEmpty):
    """What is known of each provider of models."""

    provider: str = Field(
        default="openai", description="`openai` serves compatible servers, too; or `anthropic`."
    )
    base_url: str | None = Field(default=None, description="Address; None for the provider's own.")
    api_key: SecretStr = SecretStr("sandbox")
    prompt_cents_per_million: Decimal | None = Field(
        default=None, ge=0, description="Price of prompts, for a model that is in no price list."
    )
    completion_cents_per_million: Decimal | None = Field(default=None, ge=0)
    cached_cents_per_million: Decimal | None = Field(
        default=None,
        ge=0,
        description="Price of prompts read from a cache; None for that of other prompts.",
    )
    cache_write_cents_per_million: Decimal | None = Field(
        default=None,
        ge=0,
        description="Price of prompts written to a cache; None for that of other prompts.",
    )

    requests_per_minute: int | None = Field(
        default=None, gt=0, description="Most calls that a worker makes; None for no limit."
    )
    tokens_per_minute: int | None = Field(
        default=None, gt=0, description="Most tokens of a worker's calls; None for no limit."
    )

    @field_validator("provider")
    @classmethod
    def _refuse_unknown_provider(cls, name: str) -> str:
        if name not in PROVIDERS:
            raise ValueError(f"should be one of: {', '.join(PROVIDERS)}")
        return name

    def make_rate_limits(self) -> RateLimits:
        """Return the limits of the provider's key."""
        return RateLimits(
            requests_per_minute=self.requests_per_minute,
            tokens_per_minute=self.tokens_per_minute,
        )

    def make_prices(self) -> Prices:
        """Return the provider's price table, with the prices from the settings."""
        return Prices(
            self.provider,
            self.prompt_cents_per_million,
            self.completion_cents_per_million,
            self.cached_cents_per_million,
            self.cache_write_cents_per_million,
        )


class FallbackProvider(NamedTuple):
    """The provider that takes the place of the first one; see `open_models` for the fields."""

    provider: str
    base_url: str | None
    api_key: str
    prices: Prices


class FallbackSettings(ProviderSettings):
    """The provider that takes the place of the first one after failures."""

    large_model: str | None = Field(
        default=None, description="Model of difficult steps; without it there is no such provider."
    )
    small_model: str | None = Field(default=None, description="Model of easy steps, if another.")

    @model_validator(mode="after")
    def _refuse_half(self) -> "FallbackSettings":
        if self.model_fields_set and self.large_model is None:
            raise ValueError("LLM__FALLBACK__... needs LLM__FALLBACK__LARGE_MODEL")
        return self

    @property
    def names(self) -> list[str]:
        """Names of its models, without duplicates."""
        return _unique(self.large_model, self.small_model)


class LLMSettings(ProviderSettings):
    """Models of agents; the sandbox accepts every model name."""

    model: str = Field(default="gpt-4.1", description="Model of difficult steps.")
    small_model: str | None = Field(default=None, description="Model of easy steps, if another.")
    fallback_model: str | None = Field(default=None, description="Model after others' failures.")
    timeout_seconds: float = Field(
        default=120.0, gt=0, description="Longest pause between two parts of a stream."
    )
    fallback: FallbackSettings = FallbackSettings()

    @model_validator(mode="after")
    def _refuse_two_fallbacks(self) -> "LLMSettings":
        if self.second is not None and self.fallback_model is not None:
            raise ValueError("set LLM__FALLBACK_MODEL or LLM__FALLBACK__..., not both")
        return self

    @property
    def names(self) -> list[str]:
        """Names of the models of the first provider, without duplicates."""
        return _unique(self.model, self.small_model, self.fallback_model)

    @property
    def providers(self) -> "list[LLMSettings | FallbackSettings]":
        """The providers in the order in which they are asked."""
        return [self] if self.second is None else [self, self.second]

    @property
    def second(self) -> FallbackSettings | None:
        """The provider that takes the place of this one; None if there is none."""
        return None if self.fallback.large_model is None else self.fallback

    def make_fallback(self) -> FallbackProvider | None:
        """Return the provider that takes the place of this one; None if there is none."""
        if (second := self.second) is None:
            return None
        secret = second.api_key.get_secret_value()
        return FallbackProvider(second.provider, second.base_url, secret, second.make_prices())

    def make_names(self) -> ModelNames:
        """Return the names of the models, by the steps that they are for."""
        second = self.second
        return ModelNames(
            small=self.small_model or self.model,
            large=self.model,
            fallback=self.fallback_model,
            second_small=None if second is None else second.small_model,
            second_large=None if second is None else second.large_model,
        )


def _unique(*names: str | None) -> list[str]:
    return list(dict.fromkeys(name for name in names if name))
