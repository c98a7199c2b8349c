"""Users, tokens and keys."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from api.schemas.common import Email, Input, Name, Output

Password = Annotated[str, StringConstraints(min_length=8, max_length=256)]


class NewUser(Input):
    """Who signs up, or whom an administrator brings along from another login."""

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
        description="What your own login calls them. Only administrators may give it.",
    )
    role: Literal["user", "admin"] = Field(
        default="user",
        description="Only administrators may give `admin`.",
    )

    @model_validator(mode="after")
    def _needs_a_way_in(self) -> Self:
        if self.password is None and self.external_id is None:
            raise ValueError("a password or an external_id is needed")
        return self


class UserOut(Output):
    """An account."""

    user_id: UUID
    email: str
    name: str | None
    role: str
    external_id: str | None
    is_active: bool
    created_at: datetime


class TokenOut(Output):
    """A bearer token, after OAuth2."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"access_token": "eyJhbGciOi…", "token_type": "bearer", "expires_in": 3600},
            ],
        },
    )

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the name of a scheme
    expires_in: int = Field(description="Seconds.")


class NewApiKey(Input):
    """What to call a key."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "backend"}]})

    name: Name = "default"


class ApiKeyOut(Output):
    """A key as its owner sees it afterwards."""

    api_key_id: UUID
    name: str
    key_prefix: str
    created_at: datetime


class MadeApiKey(ApiKeyOut):
    """A key as it is given out: once."""

    api_key: str | None = Field(
        description="The key itself. It is shown once; null when this answer is repeated.",
    )
