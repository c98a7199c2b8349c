"""Settings of the connection to the mail server."""

from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, Field, SecretStr, model_validator

from domain.loopback import is_loopback


class MailSecurity(StrEnum):
    """How the connection to the mail server is encrypted."""

    NONE = "none"
    STARTTLS = "starttls"
    IMPLICIT = "implicit"


class MailSettings(BaseModel):
    """Outgoing email over SMTP."""

    smtp_host: str = "127.0.0.1"
    smtp_port: int = 8441
    username: str | None = None
    password: SecretStr | None = None
    tls: MailSecurity = Field(
        default=MailSecurity.NONE,
        description="`starttls` (port 587) and `implicit` (port 465) never use clear text.",
    )
    sender: str = "billing@perdure.example"
    templates_folder: str = Field(default="", description="Folder of your own templates of mails.")

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
        if is_secret and self.tls is MailSecurity.NONE and not is_loopback(self.smtp_host):
            raise ValueError(
                "MAIL__USERNAME and MAIL__PASSWORD need MAIL__TLS=starttls or implicit"
            )
        return self
