"""Settings: read once, at the edge, and passed inward as values.

Only `worker.py`, `cli.py` and `api/app.py` construct `Settings`.
"""

from decimal import Decimal
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_STRIPE_ITSELF = "https://api.stripe.com"
_SANDBOX_SECRET = "whsec_sandbox"  # noqa: S105 - known to everybody


class MailSecurity(StrEnum):
    """How the connection to the mail server is encrypted."""

    NONE = "none"
    STARTTLS = "starttls"
    IMPLICIT = "implicit"


class TemporalSettings(BaseModel):
    """Where workflows run."""

    address: str = "127.0.0.1:7233"
    namespace: str = "default"
    ui_url: str = "http://127.0.0.1:8233"
    api_key: SecretStr | None = None
    is_tls: bool = False


class StripeSettings(BaseModel):
    """Payment provider; a live key must be asked for by name."""

    api_key: SecretStr = SecretStr("sk_test_sandbox")
    api_base: str | None = Field(default=None, description="None means Stripe itself.")
    webhook_secret: SecretStr = SecretStr(_SANDBOX_SECRET)
    previous_webhook_secret: SecretStr | None = None
    is_live: bool = False
    calls_per_second: float = Field(default=80.0, gt=0)

    @property
    def is_stripe_itself(self) -> bool:
        """Whether calls go to Stripe, and not to a stand-in."""
        host = urlsplit(self.api_base or _STRIPE_ITSELF).hostname or ""
        return host == "stripe.com" or host.endswith(".stripe.com")

    @property
    def has_known_secret(self) -> bool:
        """Whether anybody could sign events, for a secret is missing or published."""
        previous = self.previous_webhook_secret
        secrets = [self.webhook_secret, *([previous] if previous else [])]
        values = [secret.get_secret_value() for secret in secrets]
        return not values[0] or _SANDBOX_SECRET in values

    @model_validator(mode="after")
    def _refuse_live_key_by_accident(self) -> Self:
        key = self.api_key.get_secret_value()
        if key.startswith(("sk_live_", "rk_live_")) and not self.is_live:
            raise ValueError("a live Stripe key needs STRIPE__IS_LIVE=true")
        return self


class MailSettings(BaseModel):
    """Outgoing mail, by SMTP."""

    smtp_host: str = "127.0.0.1"
    smtp_port: int = 8441
    username: str | None = None
    password: SecretStr | None = None
    tls: MailSecurity = Field(
        default=MailSecurity.NONE,
        description="`starttls` (port 587) and `implicit` (port 465) are never done without.",
    )
    sender: str = "billing@perdure.example"

    @model_validator(mode="before")
    @classmethod
    def _refuse_old_name(cls, given: Any) -> Any:
        old = given.get("is_tls") if isinstance(given, dict) else None
        if old not in {None, ""}:
            raise ValueError("MAIL__IS_TLS is now MAIL__TLS: none, starttls or implicit")
        return given

    @model_validator(mode="after")
    def _refuse_credentials_in_clear(self) -> Self:
        is_secret = bool(self.username) or bool(self.password)
        if is_secret and self.tls is MailSecurity.NONE and not _is_loopback(self.smtp_host):
            raise ValueError(
                "MAIL__USERNAME and MAIL__PASSWORD need MAIL__TLS=starttls or implicit"
            )
        return self


class _Given(BaseModel):
    """A section in which an empty variable means the same as none."""

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if value != ""}


class LLMSettings(_Given):
    """The models that agents think with; the stand-in answers to every name."""

    provider: Literal["openai", "anthropic"] = "openai"
    base_url: str | None = Field(default=None, description="None means the provider itself.")
    api_key: SecretStr = SecretStr("sandbox")
    model: str = Field(default="gpt-4.1", description="For difficult steps.")
    small_model: str | None = Field(default=None, description="For easy ones; None: `model`.")
    fallback_model: str | None = Field(default=None, description="After failures of the others.")
    prompt_cents_per_million: Decimal | None = Field(
        default=None, ge=0, description="Price of a model that no price list knows."
    )
    completion_cents_per_million: Decimal | None = Field(default=None, ge=0)
    cached_cents_per_million: Decimal | None = Field(
        default=None, ge=0, description="Of prompts from a cache; None: as other prompts."
    )
    cache_write_cents_per_million: Decimal | None = Field(
        default=None, ge=0, description="Of prompts written to a cache; None: as other prompts."
    )
    timeout_seconds: float = Field(default=120.0, gt=0, description="Longest silence of a stream.")


class EmbeddingsSettings(_Given):
    """What turns text into vectors; without an address, a small model in our own processes."""

    base_url: str | None = Field(default=None, description="OpenAI-compatible, ending in /v1.")
    api_key: SecretStr = SecretStr("none")
    model: str = "text-embedding-3-small"


class DocumentSettings(_Given):
    """What customers may hand in."""

    max_bytes: int = Field(default=1_000_000, gt=0)
    allowed_private_hosts: tuple[str, ...] = Field(
        default=(), description="Hosts in private networks that documents may come from."
    )


class AuthSettings(BaseModel):
    """Tokens of the API."""

    jwt_secret: SecretStr = Field(min_length=32)
    token_ttl_seconds: int = Field(default=3_600, gt=0)


class WorkerSettings(BaseModel):
    """Tuning of one worker process."""

    concurrent_activity_count: int = Field(default=100, gt=0)
    concurrent_workflow_task_count: int = Field(default=50, gt=1)
    cached_workflow_count: int = Field(default=500, ge=0)
    is_sandboxed: bool = True


class Settings(BaseSettings):
    """Everything the processes read from their environment, e.g. `STRIPE__API_KEY`."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_nested_delimiter="__",
        extra="ignore",
        frozen=True,
        # Reason: what is refused ends up in a log.
        hide_input_in_errors=True,
    )

    database_url: str = Field(description="postgresql://user:password@host:port/name")
    auth: AuthSettings
    temporal: TemporalSettings = TemporalSettings()
    stripe: StripeSettings = StripeSettings()
    mail: MailSettings = MailSettings()
    llm: LLMSettings = LLMSettings()
    embeddings: EmbeddingsSettings = EmbeddingsSettings()
    documents: DocumentSettings = DocumentSettings()
    worker: WorkerSettings = WorkerSettings()
    chroma_url: str = "http://127.0.0.1:8100"
    public_url: str = "http://127.0.0.1:8000"
    prometheus_multiproc_dir: Path | None = Field(
        default=None,
        description="Shared folder in which all processes count; None counts per process.",
    )
    is_card_number_guard_on: bool = Field(
        default=True,
        description="Card numbers are refused in names and ids, and masked in free text.",
    )
    cors_origins: tuple[str, ...] = Field(
        default=(), description="Origins whose pages may call the API, e.g. https://app.example."
    )
    status_host: str = "127.0.0.1"
    status_port: int | None = Field(
        default=None,
        ge=1,
        le=65_535,
        description="Where a process shows its metrics, and a worker its health; None: nowhere.",
    )
    log_level: str = "INFO"
    database_pool_size: int = Field(default=10, gt=0)


class ServingSettings(Settings):
    """What API and worker start with: they refuse what would let strangers in."""

    @model_validator(mode="after")
    def _refuse_known_webhook_secret(self) -> Self:
        if self.stripe.is_stripe_itself and self.stripe.has_known_secret:
            message = (
                "with Stripe's own address STRIPE__WEBHOOK_SECRET must be given, "
                "and must not be the sandbox's, which everybody knows"
            )
            raise ValueError(message)
        return self


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
