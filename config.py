"""Settings of all processes, read from the environment.

Only `worker.py`, `cli.py` and `api/app.py` construct `Settings`; other code gets values.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    IPvAnyNetwork,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from adapters.email.settings import MailSettings
from adapters.llm.providers.settings import LLMSettings
from agents.tools.page_settings import FetchPageSettings
from agents.tools.settings import ToolSettings
from domain.base import IgnoringEmpty
from domain.loopback import is_loopback

_STRIPE_ITSELF = "https://api.stripe.com"
_SANDBOX_SECRET = "whsec_sandbox"  # noqa: S105 - a public value
# As browsers send it: lower case, without a path, and without the default port.
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")

LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
    BeforeValidator(lambda given: given.upper() if isinstance(given, str) else given),
]


def _check_address(given: str) -> str:
    if not re.fullmatch(r"[^\s/]+:\d+", given):
        raise ValueError("must be host:port")
    return given


class TemporalSettings(BaseModel):
    """Connection to Temporal."""

    address: Annotated[str, AfterValidator(_check_address)] = "127.0.0.1:7233"
    namespace: str = "default"
    ui_url: str = "http://127.0.0.1:8233"
    api_key: SecretStr | None = None
    is_tls: bool = False


class StripeSettings(BaseModel):
    """Connection to Stripe; a live key is refused unless `is_live` is set."""

    api_key: SecretStr = SecretStr("sk_test_sandbox")
    api_base: str | None = Field(default=None, description="Address; None for Stripe's own.")
    webhook_secret: SecretStr = SecretStr(_SANDBOX_SECRET)
    previous_webhook_secret: SecretStr | None = None
    thin_webhook_secret: SecretStr | None = None  # of an event destination for thin events
    is_live: bool = False
    calls_per_second: float = Field(default=80.0, gt=0)
    reconciliation_share: float = Field(default=0.05, gt=0, le=1)

    @property
    def is_real_stripe(self) -> bool:
        """Whether calls go to Stripe itself, not to the sandbox."""
        host = urlsplit(self.api_base or _STRIPE_ITSELF).hostname or ""
        return host == "stripe.com" or host.endswith(".stripe.com")

    @property
    def has_known_secret(self) -> bool:
        """Whether a webhook secret is missing or publicly known, so that events can be forged."""
        others = (self.previous_webhook_secret, self.thin_webhook_secret)
        secrets = [self.webhook_secret, *(secret for secret in others if secret)]
        values = [secret.get_secret_value() for secret in secrets]
        return not values[0] or _SANDBOX_SECRET in values

    @model_validator(mode="after")
    def _refuse_live_key_by_accident(self) -> Self:
        key = self.api_key.get_secret_value()
        if key.startswith(("sk_live_", "rk_live_")) and not self.is_live:
            raise ValueError("a live Stripe key needs STRIPE__IS_LIVE=true")
        return self


class EmbeddingsSettings(IgnoringEmpty):
    """Embedding model; without an address, a small model runs in our own processes."""

    base_url: str | None = Field(default=None, description="OpenAI-compatible, ending in /v1.")
    api_key: SecretStr = SecretStr("none")
    model: str = "text-embedding-3-small"


class DocumentSettings(IgnoringEmpty):
    """Limits of the documents of customers."""

    max_bytes: int = Field(default=1_000_000, gt=0, description="Of the text of a document.")
    max_file_bytes: int = Field(default=10_000_000, gt=0, description="Of the file it comes from.")
    allowed_private_hosts: tuple[str, ...] = Field(
        default=(), description="Hosts in private networks that documents may come from."
    )


class EgressSettings(IgnoringEmpty):
    """Hosts of private networks that webhooks and tools may call: `host` or `host:port`."""

    allowed_private_hosts: tuple[str, ...] = ()


class ApiSettings(BaseModel):
    """What browsers may do with the API, and the proxies before it."""

    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Web origins that may call the API, with commas between them; none by default.",
    )

    trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], NoDecode] = Field(
        default=(),
        description="Networks of proxies whose X-Forwarded-For is believed, with commas between "
        "them, such as 10.0.0.0/8; none by default.",
    )

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _split(cls, given: Any) -> Any:
        if isinstance(given, str):
            return tuple(part.strip() for part in given.split(",") if part.strip())
        return given

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_and_check(cls, given: Any) -> Any:
        if isinstance(given, str):
            given = tuple(part.strip() for part in given.split(",") if part.strip())
        for origin in given:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError("takes origins without a path, such as https://app.example")
        return given


class AgentSettings(BaseModel):
    """What agents do beside their runs."""

    is_mailing_approvals: bool = Field(
        default=False,
        description="Whether those who may decide an approval get a mail with a link to decide it.",
    )


class AuthSettings(BaseModel):
    """Access tokens of the API."""

    jwt_secret: SecretStr = Field(min_length=32)
    token_ttl_seconds: int = Field(default=3_600, gt=0)
    refresh_ttl_seconds: int = Field(
        default=2_592_000, gt=0, description="After so long without use one logs in again."
    )
    password_reset_page: str | None = Field(
        default=None,
        description="Your page on which users set a new password, with {token} in it, such as "
        "https://app.example/password#token={token}; without it no such mails are sent.",
    )

    @field_validator("password_reset_page")
    @classmethod
    def _check_page(cls, given: str | None) -> str | None:
        if given is not None and "{token}" not in given:
            raise ValueError("must have {token} in it")
        return given


class WorkerSettings(BaseModel):
    """Tuning of one worker process."""

    concurrent_activity_count: int = Field(default=100, gt=0)
    concurrent_workflow_task_count: int = Field(default=50, gt=1)
    cached_workflow_count: int = Field(default=500, ge=0)
    is_metering: bool = True  # whether workers of the queue `stripe` review and report usage
    is_sandboxed: bool = Field(
        default=False, description="Whether workflows run in Temporal's sandbox, as in all tests."
    )


class Settings(BaseSettings):
    """All settings that the processes read from the environment, e.g. `STRIPE__API_KEY`."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_nested_delimiter="__",
        extra="ignore",
        frozen=True,
        # Reason: refused values can be secrets, and errors go into logs.
        hide_input_in_errors=True,
    )

    database_url: str = Field(description="postgresql://user:password@host:port/name")
    auth: AuthSettings
    api: ApiSettings = ApiSettings()
    temporal: TemporalSettings = TemporalSettings()
    stripe: StripeSettings = StripeSettings()
    mail: MailSettings = MailSettings()
    llm: LLMSettings = LLMSettings()
    embeddings: EmbeddingsSettings = EmbeddingsSettings()
    documents: DocumentSettings = DocumentSettings()
    fetch_page: FetchPageSettings = FetchPageSettings()
    egress: EgressSettings = EgressSettings()
    tools: ToolSettings = ToolSettings()
    agents: AgentSettings = AgentSettings()
    worker: WorkerSettings = WorkerSettings()
    chroma_url: str = "http://127.0.0.1:8100"
    public_url: str = "http://127.0.0.1:8000"
    prometheus_multiproc_dir: Path | None = Field(
        default=None,
        description="Folder in which all processes share metrics; None for metrics per process.",
    )
    is_card_number_guard_on: bool = Field(
        default=True,
        description="Whether card numbers are refused in names and ids and masked in free text.",
    )
    status_host: str = "127.0.0.1"
    status_port: int | None = Field(
        default=None,
        ge=1,
        le=65_535,
        description="Port of a process's metrics and of a worker's health; None for no port.",
    )
    log_level: LogLevel = "INFO"
    database_pool_size: int = Field(default=10, gt=0)

    @model_validator(mode="after")
    def _refuse_links_in_clear(self) -> Self:
        address = urlsplit(self.public_url)
        is_private = address.scheme == "https" or is_loopback(address.hostname or "")
        if self.agents.is_mailing_approvals and not is_private:
            raise ValueError("AGENTS__IS_MAILING_APPROVALS needs a PUBLIC_URL with https")
        return self


class ServingSettings(Settings):
    """Settings of API and worker, which refuse a webhook secret that is publicly known."""

    @model_validator(mode="after")
    def _refuse_known_webhook_secret(self) -> Self:
        if self.stripe.is_real_stripe and self.stripe.has_known_secret:
            raise ValueError(
                "with Stripe's own address STRIPE__WEBHOOK_SECRET must be set, "
                "and must not be the secret of the sandbox, which is public"
            )
        return self
