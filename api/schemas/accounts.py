"""Schemas of users, tokens and API keys."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from api.schemas.common import Email, Input, Name, Output

# Language, script and region, as in BCP 47.
Locale = Annotated[
    str,
    StringConstraints(max_length=12, pattern=r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?$"),
]
Password = Annotated[str, StringConstraints(min_length=8, max_length=256)]


class NewUser(Input):
    """A new user, who signs up or is imported by an administrator from another login system."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"email": "ada@example.com", "password": "correct horse battery", "name": "Ada"},
                {"email": "bob@example.com", "external_id": "auth0|4711"},
            ],
        },
    )

    email: Email
    password: Password | None = None
    name: Name | None = None
    external_id: Name | None = Field(
        default=None,
        description="Id of the user in your own login system. Only administrators may set it.",
    )
    locale: Locale | None = Field(
        default=None,
        description="Language of the user's mails, such as `de` or `de-AT`; English by default.",
    )
    role: Literal["user", "admin"] = Field(
        default="user",
        description="Only administrators may set `admin`.",
    )

    @model_validator(mode="after")
    def _check_login(self) -> Self:
        if self.password is None and self.external_id is None:
            raise ValueError("a password or an external_id is required")
        return self


class UserChangeIn(Input):
    """A change of a user's account; a field that is left out stays as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"locale": "de"}]})

    locale: Locale | None = Field(
        default=None,
        description="Language of the user's mails, such as `de` or `de-AT`; null for English.",
    )
    user_id: UUID | None = Field(
        default=None,
        description="User on whose behalf an administrator acts; by default the caller.",
    )


class UserOut(Output):
    """A user account."""

    user_id: UUID
    email: str
    name: str | None
    locale: str | None = Field(description="Language of the user's mails; null for English.")
    role: str
    external_id: str | None
    is_active: bool
    created_at: datetime


class TimelineEntryOut(Output):
    """One thing that happened to a customer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "seq": 7,
                    "kind": "payment",
                    "occurred_at": "2026-11-01T09:00:02Z",
                    "summary": "A payment of 29.00 USD was made.",
                    "resource_id": "5b1e8e0c-2f5c-4a53-8f0a-3d1f0c1f7a55",
                },
            ],
        },
    )

    seq: int = Field(description="Place of the entry, from 1, in the order of time.")
    kind: str
    occurred_at: datetime
    summary: str
    resource_id: UUID = Field(
        description="Id of the subscription, payment, payment retry, payment method, agent run or"
        " user that it is about.",
    )


class ChangePasswordIn(Input):
    """The present password, and the one that takes its place."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"current": "correct horse battery", "new": "four unrelated quiet rivers"},
            ],
        },
    )

    current: Password
    new: Password


class PasswordResetIn(Input):
    """Whose password is to be set anew."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "ada@example.com"}]})

    email: Email


class NewPasswordIn(Input):
    """The token of a link in a mail, and a new password."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"token": "perdure_link_…", "password": "four unrelated quiet rivers"},
            ],
        },
    )

    token: Annotated[str, StringConstraints(pattern=r"^\S+$", max_length=200)]
    password: Password


class CreateTokenIn(BaseModel):
    """The form of OAuth2 for the grants `password` and `refresh_token`."""

    grant_type: Literal["password", "refresh_token"] = "password"
    username: str | None = Field(
        default=None, max_length=320, description="With `password`: the email address."
    )
    password: str | None = Field(
        default=None, max_length=256, json_schema_extra={"format": "password"}
    )
    refresh_token: str | None = Field(
        default=None, max_length=200, description="With `refresh_token`: the token."
    )

    @model_validator(mode="after")
    def _has_credentials(self) -> Self:
        is_password = self.grant_type == "password"
        needed = (self.username, self.password) if is_password else (self.refresh_token,)
        if None in needed:
            names = "username and password" if is_password else "refresh_token"
            raise ValueError(f"{names} must be sent")
        return self


class TokenOut(Output):
    """A bearer token (OAuth2)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "access_token": "eyJhbGciOi…",
                    "token_type": "bearer",
                    "expires_in": 3600,
                    "refresh_token": "n0Zt3…",
                },
            ],
        },
    )

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the name of a scheme
    expires_in: int = Field(description="Seconds until the access token expires.")
    refresh_token: str = Field(
        description="Send it once, with `grant_type=refresh_token`, to get the next two."
    )


class LogOutIn(Input):
    """Which sessions end."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"all": True}, {}]})

    all: bool = Field(default=False, description="All sessions of the user, not only this one.")


class NewApiKey(Input):
    """A new API key."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "backend"}]})

    name: Name = "default"


class ApiKeyOut(Output):
    """An API key, without the key itself."""

    api_key_id: UUID
    name: str
    key_prefix: str
    created_at: datetime


class CreatedApiKeyOut(ApiKeyOut):
    """A new API key with the key itself, which is shown once."""

    api_key: str | None = Field(
        description="The key itself. It is shown once; null when this answer is repeated.",
    )
