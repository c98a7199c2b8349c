"""What calls meant in API versions before the one that objects have here."""

from collections.abc import Mapping
from typing import Any

from sandbox.stripe import errors

KNOWN = (
    "2011-01-01", "2011-06-21", "2011-06-28", "2011-08-01", "2011-09-15", "2011-11-17",
    "2012-02-23", "2012-03-25", "2012-06-18", "2012-06-28", "2012-07-09", "2012-09-24",
    "2012-10-26", "2012-11-07", "2013-02-11", "2013-02-13", "2013-07-05", "2013-08-12",
    "2013-08-13", "2013-10-29", "2013-12-03", "2014-01-31", "2014-03-13", "2014-03-28",
    "2014-05-19", "2014-06-13", "2014-06-17", "2014-07-22", "2014-07-26", "2014-08-04",
    "2014-08-20", "2014-09-08", "2014-10-07", "2014-11-05", "2014-11-20", "2014-12-08",
    "2014-12-17", "2014-12-22", "2015-01-11", "2015-01-26", "2015-02-10", "2015-02-16",
    "2015-02-18", "2015-03-24", "2015-04-07", "2015-06-15", "2015-07-07", "2015-07-13",
    "2015-07-28", "2015-08-07", "2015-08-19", "2015-09-03", "2015-09-08", "2015-09-23",
    "2015-10-01", "2015-10-12", "2015-10-16", "2016-02-03", "2016-02-19", "2016-02-22",
    "2016-02-23", "2016-02-29", "2016-03-07", "2016-06-15", "2016-07-06", "2016-10-19",
    "2017-01-27", "2017-02-14", "2017-04-06", "2017-05-25", "2017-06-05", "2017-08-15",
    "2017-12-14", "2018-01-23", "2018-02-05", "2018-02-06", "2018-02-28", "2018-05-21",
    "2018-07-27", "2018-08-23", "2018-09-06", "2018-09-24", "2018-10-31", "2018-11-08",
    "2019-02-11", "2019-02-19", "2019-03-14", "2019-05-16", "2019-08-14", "2019-09-09",
    "2019-10-08", "2019-10-17", "2019-11-05", "2019-12-03", "2020-03-02", "2020-08-27",
    "2022-08-01", "2022-11-15", "2023-08-16", "2023-10-16", "2024-04-10", "2024-06-20",
    "2024-09-30.acacia", "2024-10-28.acacia", "2024-11-20.acacia", "2024-12-18.acacia",
    "2025-01-27.acacia", "2025-02-24.acacia", "2025-03-01.dashboard", "2025-03-31.basil",
    "2025-04-30.basil", "2025-05-28.basil", "2025-06-30.basil", "2025-07-30.basil",
    "2025-08-27.basil", "2025-09-30.clover", "2025-10-29.clover", "2025-11-17.clover",
    "2025-12-15.clover", "2026-01-28.clover", "2026-02-25.clover", "2026-03-25.dahlia",
    "2026-04-22.dahlia", "2026-05-27.dahlia", "2026-06-24.dahlia", "2026-07-29.dahlia",
    "2026-08-26.dahlia", "2026-09-30.endive", "2026-10-28.endive",
)  # fmt: skip
"""All versions that there have been; objects have the newest one's shapes in any case."""

_HEADER = "stripe-version"
_DAHLIA, _ENDIVE = "2026-03-25", "2026-09-30"
_UI_MODES = {"custom": "elements", "embedded": "embedded_page", "hosted": "hosted_page"}
_PREVIEW = ".preview"
_INTENTS = ("/v1/payment_intents", "/v1/setup_intents")
_SESSIONS = "/v1/checkout/sessions"
_ELDER, _PRESENT = "payment_method_types", "allowed_payment_method_types"
_ANCHOR = "billing_cycle_anchor"


def asked_for(headers: Mapping[str, str]) -> str | None:
    """Return the version that a request asks for, None if it leaves that to the account.

    Raises:
        ApiError: If there is no such version.
    """
    given = headers.get(_HEADER)
    if given is None:
        return None
    version = given.partition(";")[0].strip()
    is_preview = version.endswith(_PREVIEW) and _dated(version) in {_dated(v) for v in KNOWN}
    if version not in KNOWN and not is_preview:
        raise errors.bad_parameter(f"Invalid Stripe API version: {given}")
    return version


def _dated(version: str) -> str:
    return version.partition(".")[0]


def modern(method: str, path: str, params: dict[str, Any], version: str | None) -> dict[str, Any]:
    """Return a call's parameters as the present version would have them.

    Args:
        method: The request's.
        path: The request's.
        params: As they were sent.
        version: What was asked for. Who names none has his account's own, which is an older one:
            Stripe's CLI asks so.

    Returns:
        The parameters, renamed ones by their present names, and former defaults written out: an
        intent took cards unless it was told otherwise.

    Raises:
        ApiError: For a parameter that the present version no longer takes.
    """
    is_of_intents = path.startswith(_INTENTS)
    if version is not None and _dated(version) >= _ENDIVE:
        if method == "POST" and is_of_intents and _ELDER in params:
            raise errors.bad_parameter(
                f"`{_ELDER}` is no longer supported as of API version {_ENDIVE}.endive. Use "
                f"`{_PRESENT}` or `automatic_payment_methods` instead.",
                code=f"{_ELDER}_no_longer_supported",
                param=_ELDER,
            )
        return params
    if method != "POST":
        return params
    if path.startswith(("/v1/subscriptions/", "/v1/invoices/create_preview")):
        return _anchored(params)
    if not is_of_intents and path != _SESSIONS:
        return params
    if path == _SESSIONS and (version is None or _dated(version) < _DAHLIA):
        params = {**params}
        if params.get("ui_mode") in _UI_MODES:
            params["ui_mode"] = _UI_MODES[params["ui_mode"]]
    present = {_PRESENT if name == _ELDER else name: value for name, value in params.items()}
    if path in _INTENTS and "automatic_payment_methods" not in present:
        present.setdefault(_PRESENT, {"0": "card"})
    return present


def _anchored(params: dict[str, Any]) -> dict[str, Any]:
    """Return parameters whose anchor is a group: before, it was a word or a moment."""
    details = params.get("subscription_details")
    if isinstance(details, dict):
        return {**params, "subscription_details": _anchored(details)}
    anchor = params.get(_ANCHOR)
    if not isinstance(anchor, str):
        return params
    is_moment = anchor.isdigit()
    moment = {"type": "timestamp", "timestamp": anchor}
    return {**params, _ANCHOR: moment if is_moment else {"type": anchor}}
