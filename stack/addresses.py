"""Where every service is: embedded on this machine, or outside as the settings say."""

from collections.abc import Mapping
from dataclasses import dataclass

from stack.data_dir import Secrets
from stack.ports import HOST, Ports

STRIPE_ITSELF = "https://api.stripe.com"
_SANDBOX_KEY = "sk_test_sandbox"
MODELS_THEMSELVES = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
}
_SANDBOX_LLM_KEY = "sandbox"


@dataclass(frozen=True)
class Addresses:
    """The way to each service, as `stack.json` tells it."""

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
    """Name the services that settings place outside, so that they are not started.

    Args:
        environ: The settings as environment variables.

    Returns:
        Names of services.
    """
    signs = {
        "postgres": "DATABASE_URL",
        "temporal": "TEMPORAL__ADDRESS",
        "chroma": "CHROMA_URL",
        "stripe": "STRIPE__API_BASE",
        "llm": "LLM__BASE_URL",
        "mail": "MAIL__SMTP_HOST",
    }
    found = {service for service, name in signs.items() if environ.get(name)}
    # Reason: a key without a base is meant for Stripe, or the models' provider, itself.
    if environ.get("STRIPE__API_KEY") not in {None, "", _SANDBOX_KEY}:
        found.add("stripe")
    if environ.get("LLM__API_KEY") not in {None, "", _SANDBOX_LLM_KEY}:
        found.add("llm")
    return frozenset(found)


def find_addresses(environ: Mapping[str, str], ports: Ports, secrets: Secrets) -> Addresses:
    """Say where each service is.

    Args:
        environ: The settings as environment variables.
        ports: Where embedded services listen.
        secrets: Holds the password of the embedded database.

    Returns:
        Addresses of embedded and outside services alike.
    """
    outside = external_services(environ)
    temporal = environ.get("TEMPORAL__ADDRESS") or f"{HOST}:{ports.temporal}"
    ui_port = 8233 if "temporal" in outside else ports.temporal_ui
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
        environ: What a person set; it wins over what the stack would choose.
        addresses: Where the services are.
        ports: Where embedded services listen.
        secrets: The data folder's secrets.

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
    if addresses.stripe != STRIPE_ITSELF:
        chosen["STRIPE__API_BASE"] = addresses.stripe
    if "mail" not in external_services(environ):
        chosen |= {"MAIL__SMTP_HOST": HOST, "MAIL__SMTP_PORT": str(ports.smtp)}
    given = {name: environ[name] for name in chosen if environ.get(name)}
    return {**environ, **chosen, **given}


def _stripe_address(environ: Mapping[str, str], ports: Ports) -> str:
    if base := environ.get("STRIPE__API_BASE"):
        return base
    return (
        STRIPE_ITSELF if "stripe" in external_services(environ) else f"http://{HOST}:{ports.stripe}"
    )


def _llm_address(environ: Mapping[str, str], ports: Ports) -> str:
    if base := environ.get("LLM__BASE_URL"):
        return base
    is_outside = "llm" in external_services(environ)
    return MODELS_THEMSELVES[_provider(environ)] if is_outside else f"http://{HOST}:{ports.llm}"


def _llm_base_url(environ: Mapping[str, str], addresses: Addresses) -> str:
    # Reason: OpenAI's SDK adds to an address that ends in /v1, Anthropic's adds that too.
    is_whole = "llm" in external_services(environ) or _provider(environ) == "anthropic"
    return addresses.llm if is_whole else f"{addresses.llm}/v1"


def _provider(environ: Mapping[str, str]) -> str:
    named = environ.get("LLM__PROVIDER", "")
    # Reason: what is no provider is refused by the product, by the name of the setting.
    return named if named in MODELS_THEMSELVES else "openai"


def _mail_address(environ: Mapping[str, str], ports: Ports) -> str:
    if host := environ.get("MAIL__SMTP_HOST"):
        return f"smtp://{host}:{environ.get('MAIL__SMTP_PORT') or ports.smtp}"
    return f"http://{HOST}:{ports.mail}"
