"""How Checkout's page looks and what it asks for: parameters that the session only shows again."""

from collections.abc import Callable
from typing import Any

from sandbox.stripe import errors
from sandbox.stripe.params import (
    Boolean,
    Choice,
    Group,
    Integer,
    Many,
    Metadata,
    Param,
    Text,
    Unsettable,
)
from sandbox.stripe.session import Object

_LOCALES = (
    "auto", "bg", "cs", "da", "de", "el", "en", "en-GB", "es", "es-419", "et", "fi", "fil", "fr",
    "fr-CA", "hi-IN", "hr", "hu", "id", "it", "ja", "ko", "lt", "lv", "ms", "mt", "nb", "nl", "pl",
    "pt", "pt-BR", "ro", "ru", "sk", "sl", "sv", "th", "tr", "vi", "zh", "zh-HK", "zh-TW",
)  # fmt: skip
_ON_OFF = Choice(("auto", "never"))
_ENABLED: dict[str, Param] = {"enabled": Boolean()}
_TEXTS = ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
_MESSAGE = Unsettable(Group({"message": Text(1_200)}, required=("message",)))
_MAX_FIELDS = 3
_TYPED: dict[str, Param] = {
    "default_value": Text(255),
    "maximum_length": Integer(1),
    "minimum_length": Integer(0),
}
_OPTION = Group({"label": Text(100), "value": Text(100)}, required=("label", "value"))
_FIELD = Group(
    {
        "dropdown": Group({"default_value": Text(100), "options": Many(_OPTION)}, ("options",)),
        "key": Text(200),
        "label": Group({"custom": Text(50), "type": Choice(("custom",))}, ("custom", "type")),
        "numeric": Group(_TYPED),
        "optional": Boolean(),
        "text": Group(_TYPED),
        "type": Choice(("dropdown", "numeric", "text")),
    },
    required=("key", "label", "type"),
)
_NAMED = Group({"enabled": Boolean(), "optional": Boolean()}, required=("enabled",))
LOOKS: dict[str, Param] = {
    "adaptive_pricing": Group(_ENABLED),
    "after_expiration": Group(
        {"recovery": Group({**_ENABLED, "allow_promotion_codes": Boolean()}, ("enabled",))}
    ),
    "automatic_tax": Group(
        {**_ENABLED, "liability": Group({"type": Choice(("self",))}, ("type",))}, ("enabled",)
    ),
    "billing_address_collection": Choice(("auto", "required")),
    "consent_collection": Group(
        {
            "payment_method_reuse_agreement": Group(
                {"position": Choice(("auto", "hidden"))}, ("position",)
            ),
            "promotions": Choice(("auto", "none")),
            "terms_of_service": Choice(("none", "required")),
        }
    ),
    "custom_fields": Many(_FIELD),
    "custom_text": Group(dict.fromkeys(_TEXTS, _MESSAGE)),
    "customer_update": Group({"address": _ON_OFF, "name": _ON_OFF, "shipping": _ON_OFF}),
    "excluded_payment_method_types": Many(Text()),
    "integration_identifier": Text(200),
    "locale": Choice(_LOCALES),
    "name_collection": Group({"business": _NAMED, "individual": _NAMED}),
    "origin_context": Choice(("mobile_app", "web")),
    "payment_method_data": Group({"allow_redisplay": Choice(("always", "limited", "unspecified"))}),
    "payment_method_options": Group(
        {"card": Group({"request_three_d_secure": Choice(("any", "automatic", "challenge"))})}
    ),
    "phone_number_collection": Group(_ENABLED, required=("enabled",)),
    "saved_payment_method_options": Group(
        {
            "allow_redisplay_filters": Many(Choice(("always", "limited", "unspecified"))),
            "payment_method_remove": Choice(("disabled", "enabled")),
            "payment_method_save": Choice(("disabled", "enabled")),
        }
    ),
    "shipping_address_collection": Group(
        {"allowed_countries": Many(Text(2))}, ("allowed_countries",)
    ),
    "submit_type": Choice(("auto", "book", "donate", "pay", "subscribe")),
    "tax_id_collection": Group(
        {**_ENABLED, "required": Choice(("if_supported", "never"))}, ("enabled",)
    ),
    "wallet_options": Group({"link": Group({"display": _ON_OFF})}),
}
INVOICE_CREATION = Group(
    {
        **_ENABLED,
        "invoice_data": Group(
            {"description": Text(1_500), "footer": Text(), "metadata": Metadata()}
        ),
    },
    required=("enabled",),
)
_PLAIN = (
    "billing_address_collection", "excluded_payment_method_types", "integration_identifier",
    "locale", "origin_context", "phone_number_collection", "shipping_address_collection",
    "submit_type",
)  # fmt: skip
_FILLED: dict[str, tuple[str, ...]] = {
    "consent_collection": ("payment_method_reuse_agreement", "promotions", "terms_of_service"),
    "custom_text": _TEXTS,
    "saved_payment_method_options": (
        "allow_redisplay_filters", "payment_method_remove", "payment_method_save",
    ),
}  # fmt: skip


def check(params: dict[str, Any]) -> None:
    """Refuse what the page cannot ask for.

    Raises:
        ApiError: If anything of it is wished for.
    """
    update = params.get("customer_update")
    if update is not None and not params.get("customer"):
        raise errors.invalid_request(
            "`customer_update` can only be used with `customer`.", param="customer_update"
        )
    wants_tax_id = params.get("tax_id_collection", {}).get("enabled")
    if wants_tax_id and params.get("customer") and (update or {}).get("name") != "auto":
        raise errors.invalid_request(
            "Tax ID collection requires updating business name on the customer. To enable tax ID "
            "collection for an existing customer, please set `customer_update[name]` to `auto`.",
            param="tax_id_collection",
        )
    if params.get("automatic_tax", {}).get("enabled"):
        raise errors.invalid_request(
            "Automatic tax needs Stripe Tax, which this account has not activated.",
            code="stripe_tax_inactive",
            param="automatic_tax[enabled]",
        )
    _check_fields(params.get("custom_fields", []))


def _check_fields(fields: list[dict[str, Any]]) -> None:
    if len(fields) > _MAX_FIELDS:
        raise errors.invalid_request(
            f"You can pass at most {_MAX_FIELDS} custom fields.", param="custom_fields"
        )
    keys = [field["key"] for field in fields]
    for number, field in enumerate(fields):
        path = f"custom_fields[{number}]"
        if field["key"] in keys[:number] or not str(field["key"]).isalnum():
            raise errors.invalid_request(
                "The key of a custom field must be unique and alphanumeric.", param=f"{path}[key]"
            )
        if field["type"] == "dropdown" and not field.get("dropdown", {}).get("options"):
            raise errors.bad_parameter(
                f"Missing required param: {path}[dropdown][options].",
                code="parameter_missing",
                param=f"{path}[dropdown][options]",
            )


def of(params: dict[str, Any]) -> Object:
    """Return the session's fields that show these parameters again."""
    shown: Object = {name: params[name] for name in _PLAIN if name in params}
    for name, inner in _FILLED.items():
        if name in params:
            shown[name] = {each: params[name].get(each) for each in inner}
    shown |= {name: make(params[name]) for name, make in _MADE.items() if name in params}
    if "consent_collection" in params:
        shown["consent"] = {"promotions": None, "terms_of_service": None}
    return shown


def _expired(wish: dict[str, Any]) -> Object:
    recovery = wish.get("recovery")
    blank = {"allow_promotion_codes": False, "expires_at": None, "url": None}
    return {"recovery": {**blank, **recovery} if recovery else None}


def _names(wish: dict[str, Any]) -> Object:
    return {name: {"optional": False, **each} for name, each in wish.items()}


def _options(wish: dict[str, Any]) -> Object:
    return {"card": {"request_three_d_secure": "automatic", **wish.get("card", {})}}


def _field(field: dict[str, Any]) -> Object:
    kind = field["type"]
    blank: Object = {"default_value": None, "value": None}
    if kind != "dropdown":
        blank |= {"maximum_length": None, "minimum_length": None}
    body: Object = {name: field[name] for name in ("key", "label", "type")}
    return {
        **body,
        "optional": field.get("optional", False),
        kind: {**blank, **field.get(kind, {})},
    }


_MADE: dict[str, Callable[[Any], Any]] = {
    "adaptive_pricing": lambda wish: {"enabled": False, **wish},
    "after_expiration": _expired,
    "custom_fields": lambda wish: [_field(each) for each in wish],
    "name_collection": _names,
    "payment_method_options": _options,
    "tax_id_collection": lambda wish: {"required": "never", **wish},
}
