"""Settings as an environment gives them."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from adapters.email.settings import MailSettings
from adapters.llm.providers.settings import LLMSettings
from config import (
    AgentSettings,
    DocumentSettings,
    EmbeddingsSettings,
    ServingSettings,
    Settings,
    StripeSettings,
)


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As whoever copies `.env.example` and fills in half of it has them."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://somewhere")
    monkeypatch.setenv("AUTH__JWT_SECRET", "x" * 32)
    sections: dict[str, type[BaseModel]] = {
        "LLM": LLMSettings,
        "EMBEDDINGS": EmbeddingsSettings,
        "DOCUMENTS": DocumentSettings,
    }
    for section, kind in sections.items():
        for name in kind.model_fields:
            monkeypatch.setenv(f"{section}__{name.upper()}", "")
    settings = Settings(_env_file=None)
    assert settings.llm == LLMSettings()
    assert settings.embeddings == EmbeddingsSettings()
    assert settings.documents == DocumentSettings()


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"fallback": {"large_model": "m", "small_model": "", "provider": ""}}, None),
        ({"fallback": {"large_model": "", "api_key": ""}}, None),
        ({"fallback": {"large_model": "", "api_key": "k"}}, "LLM__FALLBACK__LARGE_MODEL"),
        ({"fallback": {"large_model": "m", "provider": "acme"}}, "should be one of"),
        ({"fallback": {"large_model": "m"}, "fallback_model": "f"}, "not both"),
    ],
)
def test_a_second_provider_is_whole_and_the_only_fallback(
    given: dict[str, Any], problem: str | None
) -> None:
    if problem is None:
        found = LLMSettings.model_validate(given)
        large_model = given["fallback"]["large_model"]
        assert (found.second is not None) == bool(large_model)
        assert found.make_names().second_large == (large_model or None)
        return
    with pytest.raises(ValidationError, match=problem):
        LLMSettings.model_validate(given)


SIGNED = {"webhook_secret": "whsec_" + "x" * 32}


@pytest.mark.parametrize(
    ("stripe", "is_refused"),
    [
        ({}, True),
        ({"webhook_secret": "whsec_sandbox"}, True),
        ({"webhook_secret": ""}, True),
        ({"api_base": ""}, True),
        ({"api_base": "https://api.stripe.com"}, True),
        ({"api_base": "https://API.Stripe.com/"}, True),
        (SIGNED | {"previous_webhook_secret": "whsec_sandbox"}, True),
        (SIGNED, False),
        (SIGNED | {"api_base": "https://api.stripe.com"}, False),
        ({"api_base": "http://127.0.0.1:8420"}, False),
        ({"api_base": "http://stripe.com.example:8420"}, False),
    ],
)
def test_stripe_itself_needs_a_secret_of_its_own(
    stripe: dict[str, str],
    is_refused: bool,
) -> None:
    given: dict[str, Any] = {
        "_env_file": None,
        "database_url": "postgresql://somewhere",
        "auth": {"jwt_secret": "x" * 32},
        "stripe": StripeSettings(**stripe),
    }
    Settings(**given)  # commands that serve nobody go on
    if not is_refused:
        ServingSettings(**given)
        return
    with pytest.raises(ValidationError, match="STRIPE__WEBHOOK_SECRET"):
        ServingSettings(**given)


@pytest.mark.parametrize(
    ("mail", "is_refused"),
    [
        ({"smtp_host": "mail.example", "username": "u", "password": "p"}, True),
        ({"smtp_host": "mail.example", "password": "p"}, True),
        ({"smtp_host": "10.0.0.1", "username": "u", "tls": "none"}, True),
        ({"smtp_host": "mail.example", "username": "u", "is_tls": "true"}, True),
        ({"smtp_host": "mail.example", "username": "u", "tls": "opportunistic"}, True),
        ({"smtp_host": "mail.example", "username": "u", "tls": "starttls"}, False),
        ({"smtp_host": "mail.example", "username": "u", "tls": "implicit"}, False),
        ({"smtp_host": "mail.example"}, False),
        ({"smtp_host": "mail.example", "username": "", "password": ""}, False),
        ({"smtp_host": "127.0.0.1", "username": "u"}, False),
        ({"smtp_host": "::1", "username": "u"}, False),
        ({"smtp_host": "localhost", "username": "u"}, False),
    ],
)
def test_credentials_never_go_in_clear(
    mail: dict[str, str],
    is_refused: bool,
) -> None:
    if not is_refused:
        MailSettings.model_validate(mail)
        return
    with pytest.raises(ValidationError):
        MailSettings.model_validate(mail)


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ("", ()),
        ("https://app.example", ("https://app.example",)),
        (
            "https://a.example, http://127.0.0.1:8001,",
            ("https://a.example", "http://127.0.0.1:8001"),
        ),
        ("*", ("*",)),
        ("https://app.example/", None),
        ("https://app.example/shop", None),
        ("app.example", None),
        ("https://App.example", None),
        ('["https://app.example"]', None),
        ("https://*.example", None),
    ],
)
def test_origins_are_a_list_with_commas(
    monkeypatch: pytest.MonkeyPatch, given: str, origins: tuple[str, ...] | None
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://somewhere")
    monkeypatch.setenv("AUTH__JWT_SECRET", "x" * 32)
    monkeypatch.setenv("API__CORS_ORIGINS", given)
    if origins is None:
        with pytest.raises(ValidationError, match="cors_origins"):
            Settings(_env_file=None)
    else:
        assert Settings(_env_file=None).api.cors_origins == origins


@pytest.mark.parametrize(
    ("is_mailing", "public_url", "is_refused"),
    [
        (True, "https://api.example", False),
        (True, "http://127.0.0.1:8000", False),
        (True, "http://localhost:8000", False),
        (True, "http://api.example", True),
        (True, "api.example", True),
        (False, "http://api.example", False),
    ],
)
def test_links_that_decide_never_go_in_clear(
    is_mailing: bool, public_url: str, is_refused: bool
) -> None:
    given: dict[str, Any] = {
        "database_url": "postgresql://somewhere",
        "auth": {"jwt_secret": "x" * 32},
        "agents": AgentSettings(is_mailing_approvals=is_mailing),
        "public_url": public_url,
    }
    if is_refused:
        with pytest.raises(ValidationError, match="needs a PUBLIC_URL with https"):
            Settings(_env_file=None, **given)
        return
    assert Settings(_env_file=None, **given).agents.is_mailing_approvals is is_mailing


def test_nobody_is_mailed_about_approvals_unless_it_is_asked_for() -> None:
    assert not AgentSettings().is_mailing_approvals
