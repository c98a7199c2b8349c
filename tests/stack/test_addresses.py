"""Embedded services and outside ones, and what the product is told of them."""

import pytest

from config import Settings
from stack.addresses import external_services, find_addresses, product_environment
from stack.data_dir import Secrets
from stack.ports import Ports

PORTS = Ports(
    api=1, temporal=2, temporal_ui=3, chroma=4, stripe=5, mail=6, smtp=7, postgres=8, llm=9
)
SECRETS = Secrets()


def _environment(environ: dict[str, str]) -> dict[str, str]:
    addresses = find_addresses(environ, PORTS, SECRETS)
    return product_environment(environ, addresses, PORTS, SECRETS)


def test_everything_is_embedded_without_settings() -> None:
    addresses = find_addresses({}, PORTS, SECRETS)
    assert external_services({}) == frozenset()
    assert addresses.api == "http://127.0.0.1:1"
    assert addresses.temporal == "127.0.0.1:2"
    assert addresses.temporal_ui == "http://127.0.0.1:3"
    assert addresses.namespace == "default"
    assert addresses.chroma == "http://127.0.0.1:4"
    assert addresses.stripe == "http://127.0.0.1:5"
    assert addresses.mail == "http://127.0.0.1:6"
    assert addresses.llm == "http://127.0.0.1:9"
    assert addresses.database_url.endswith("@127.0.0.1:8/perdure")


@pytest.mark.parametrize(
    ("environ", "service", "field", "address"),
    [
        ({"DATABASE_URL": "postgresql://db/x"}, "postgres", "database_url", "postgresql://db/x"),
        ({"TEMPORAL__ADDRESS": "cloud:7233"}, "temporal", "temporal", "cloud:7233"),
        ({"TEMPORAL__ADDRESS": "cloud:7233"}, "temporal", "temporal_ui", "http://cloud:8233"),
        ({"CHROMA_URL": "http://chroma:8000"}, "chroma", "chroma", "http://chroma:8000"),
        ({"STRIPE__API_BASE": "http://other"}, "stripe", "stripe", "http://other"),
        ({"STRIPE__API_KEY": "sk_test_x"}, "stripe", "stripe", "https://api.stripe.com"),
        ({"LLM__BASE_URL": "http://other/v1"}, "llm", "llm", "http://other/v1"),
        ({"LLM__API_KEY": "sk-x"}, "llm", "llm", "https://api.openai.com/v1"),
        (
            {"LLM__API_KEY": "sk-x", "LLM__PROVIDER": "anthropic"},
            "llm",
            "llm",
            "https://api.anthropic.com",
        ),
        ({"MAIL__SMTP_HOST": "smtp.example"}, "mail", "mail", "smtp://smtp.example:8441"),
        (
            {"MAIL__SMTP_HOST": "smtp.example", "MAIL__SMTP_PORT": "25"},
            "mail",
            "mail",
            "smtp://smtp.example:25",
        ),
    ],
)
def test_a_setting_places_a_part_outside(
    environ: dict[str, str], service: str, field: str, address: str
) -> None:
    assert external_services(environ) == {service}
    assert getattr(find_addresses(environ, PORTS, SECRETS), field) == address


def test_the_product_understands_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = _environment({})
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings(_env_file=None)
    assert settings.temporal.address == "127.0.0.1:2"
    assert settings.stripe.api_base == "http://127.0.0.1:5"
    assert settings.stripe.webhook_secret.get_secret_value() == SECRETS.stripe_webhook_secret
    assert settings.mail.smtp_port == 7
    assert settings.llm.base_url == "http://127.0.0.1:9/v1"
    assert settings.llm.api_key.get_secret_value() == "sandbox"
    assert settings.auth.jwt_secret.get_secret_value() == SECRETS.jwt_secret
    assert settings.public_url == "http://127.0.0.1:1"


def test_stripe_itself_is_not_given_a_base() -> None:
    environment = _environment({"STRIPE__API_KEY": "sk_test_x"})
    assert environment["STRIPE__API_KEY"] == "sk_test_x"
    assert "STRIPE__API_BASE" not in environment


@pytest.mark.parametrize(
    ("environ", "base_url", "key"),
    [
        ({"LLM__BASE_URL": "", "LLM__API_KEY": ""}, "http://127.0.0.1:9/v1", "sandbox"),
        ({"LLM__PROVIDER": "anthropic"}, "http://127.0.0.1:9/v1", "sandbox"),
        ({"LLM__API_KEY": "sk-x", "LLM__BASE_URL": ""}, "https://api.openai.com/v1", "sk-x"),
        ({"LLM__BASE_URL": "http://ollama:11434/v1"}, "http://ollama:11434/v1", "sandbox"),
    ],
)
def test_models_have_an_address_as_their_sdk_takes_it(
    environ: dict[str, str], base_url: str, key: str
) -> None:
    environment = _environment(environ)
    assert (environment["LLM__BASE_URL"], environment["LLM__API_KEY"]) == (base_url, key)


def test_what_a_person_sets_wins() -> None:
    given = {"PUBLIC_URL": "https://perdure.example", "PERDURE_ADMIN_API_KEY": "pk_mine"}
    environment = _environment(given)
    assert given.items() <= environment.items()


@pytest.mark.parametrize("key", ["", "sk_test_sandbox"])
def test_no_key_and_the_sandboxs_key_mean_the_sandbox(key: str) -> None:
    assert external_services({"STRIPE__API_KEY": key}) == frozenset()
    environment = _environment({"STRIPE__API_KEY": key})
    assert environment["STRIPE__API_KEY"] == "sk_test_sandbox"
    assert environment["STRIPE__API_BASE"] == "http://127.0.0.1:5"
