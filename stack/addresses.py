"""Addresses of the services: embedded on this machine, or external as the settings say."""

from collections.abc import Mapping
from dataclasses import dataclass

from adapters.email.settings import MailSettings
from adapters.llm.providers import PROVIDERS
from stack.data_dir import Secrets
from stack.ports import HOST, Ports

STRIPE_URL = "https://api.stripe.com"
_SANDBOX_KEY = "sk_test_sandbox"
_SANDBOX_LLM_KEY = "sandbox"


@dataclass(frozen=True)
class Addresses:
    """Address of each service, as written to `stack.json`."""

    api: str
    temporal: str
    temporal_ui: str
    namespace: str
    database_url: str
    chroma: str
    stripe: str
    llm: str
    mail: str
    metrics: str
    worker: str


def external_services(environ: Mapping[str, str]) -> frozenset[str]:
    """Return the names of external services, which the stack does not start.

    Args:
        environ: The settings as environment variables.

    Returns:
        Names of the services that the settings place outside of the stack.
    """
    setting_names = {
        "postgres": "DATABASE_URL",
        "temporal": "TEMPORAL__ADDRESS",
        "chroma": "CHROMA_URL",
        "stripe": "STRIPE__API_BASE",
        "llm": "LLM__BASE_URL",
        "mail": "MAIL__SMTP_HOST",
    }
    found = {service for service, name in setting_names.items() if environ.get(name)}
    # Reason: a key without a base address is for the API of Stripe or of the models' provider.
    if environ.get("STRIPE__API_KEY") not in {None, "", _SANDBOX_KEY}:
        found.add("stripe")
    if environ.get("LLM__API_KEY") not in {None, "", _SANDBOX_LLM_KEY}:
        found.add("llm")
    return frozenset(found)


def find_addresses(environ: Mapping[str, str], ports: Ports, secrets: Secrets) -> Addresses:
    """Return the address of each service.

    Args:
        environ: The settings as environment variables.
        ports: Ports of the embedded services.
        secrets: Secrets of the data folder, with the password of the embedded database.

    Returns:
        Addresses of embedded and of external services.
    """
    external = external_services(environ)
    temporal = environ.get("TEMPORAL__ADDRESS") or f"{HOST}:{ports.temporal}"
    ui_port = 8233 if "temporal" in external else ports.temporal_ui
    return Addresses(
        api=f"http://{HOST}:{ports.api}",
        temporal=temporal,
        temporal_ui=environ.get("TEMPORAL__UI_URL")
        or f"http://{temporal.rpartition(':')[0]}:{ui_port}",
        namespace=environ.get("TEMPORAL__NAMESPACE") or "default",
        database_url=environ.get("DATABASE_URL")
        or f"postgresql://perdure:{secrets.postgres_password}@{HOST}:{ports.postgres}/perdure",
        chroma=environ.get("CHROMA_URL") or f"http://{HOST}:{ports.chroma}",
        stripe=_stripe_address(environ, ports),
        llm=_llm_address(environ, ports),
        mail=_mail_address(environ, ports),
        metrics=f"http://{HOST}:{ports.metrics}",
        worker=f"http://{HOST}:{ports.worker}",
    )


def product_environment(
    environ: Mapping[str, str], addresses: Addresses, ports: Ports, secrets: Secrets
) -> dict[str, str]:
    """Return the settings of the product's own processes: worker, API and migrations.

    Args:
        environ: Settings of the operator, which win over those that the stack chooses.
        addresses: Addresses of the services.
        ports: Ports of the embedded services.
        secrets: Secrets of the data folder.

    Returns:
        Environment variables, named as in `config.Settings`.
    """
    chosen = {
        "AUTH__JWT_SECRET": secrets.jwt_secret,
        "PERDURE_ADMIN_API_KEY": secrets.admin_api_key,
        "STRIPE__API_KEY": _SANDBOX_KEY,
        "STRIPE__WEBHOOK_SECRET": secrets.stripe_webhook_secret,
        "PUBLIC_URL": addresses.api,
        "DATABASE_URL": addresses.database_url,
        "TEMPORAL__ADDRESS": addresses.temporal,
        "TEMPORAL__NAMESPACE": addresses.namespace,
        "TEMPORAL__UI_URL": addresses.temporal_ui,
        "CHROMA_URL": addresses.chroma,
        "LLM__BASE_URL": _llm_base_url(environ, addresses),
        "LLM__API_KEY": _SANDBOX_LLM_KEY,
    }
    if addresses.stripe != STRIPE_URL:
        chosen["STRIPE__API_BASE"] = addresses.stripe
    if "mail" not in external_services(environ):
        chosen |= {"MAIL__SMTP_HOST": HOST, "MAIL__SMTP_PORT": str(ports.smtp)}
    given = {name: environ[name] for name in chosen if environ.get(name)}
    return {**environ, **chosen, **given}


def _stripe_address(environ: Mapping[str, str], ports: Ports) -> str:
    if base := environ.get("STRIPE__API_BASE"):
        return base
    return STRIPE_URL if "stripe" in external_services(environ) else f"http://{HOST}:{ports.stripe}"


def _llm_address(environ: Mapping[str, str], ports: Ports) -> str:
    if base := environ.get("LLM__BASE_URL"):
        return base
    is_external = "llm" in external_services(environ)
    return _provider_url(environ) if is_external else f"http://{HOST}:{ports.llm}"


def _llm_base_url(environ: Mapping[str, str], addresses: Addresses) -> str:
    # Reason: OpenAI's SDK expects an address that ends in /v1, and the other providers accept it.
    return addresses.llm if "llm" in external_services(environ) else f"{addresses.llm}/v1"


def _provider_url(environ: Mapping[str, str]) -> str:
    # Reason: the product refuses an unknown provider itself, and names the setting.
    name = environ.get("LLM__PROVIDER", "")
    return PROVIDERS.get(name, PROVIDERS["openai"]).url


def _mail_address(environ: Mapping[str, str], ports: Ports) -> str:
    if host := environ.get("MAIL__SMTP_HOST"):
        # Reason: worker and API use the default of the settings, and no port of the stack.
        return f"smtp://{host}:{environ.get('MAIL__SMTP_PORT') or MailSettings().smtp_port}"
    return f"http://{HOST}:{ports.mail}"
