"""Stripe's own fixtures pass the referee, so what it refuses is not its own invention."""

import json
from typing import Any

import pytest
from stripe._object_classes import OBJECT_CLASSES

from sandbox.stripe.checks.readings import JSON
from sandbox.stripe.checks.referee import class_of
from sandbox.stripe.checks.types import checker
from tests.sandbox.servers import ROOT

FIXTURES = ROOT.parent / "shared" / "stripe" / "fixtures3.json"
# Exactly what differs: the fixtures are of 2026-08-26.dahlia, the SDK of 2026-10-28.endive.
DIFFERENCES = {
    "account_session": [
        ".components.payment_method_settings: missing in AccountSession.Components",
        ".components.reporting_chart: missing in AccountSession.Components",
        ".components.terminal_hardware_orders: missing in AccountSession.Components",
        ".components.terminal_hardware_shop: missing in AccountSession.Components",
    ],
    "billing_portal.configuration": [
        ".features.subscription_pause: missing in Configuration.Features"
    ],
    "customer_session": [
        ".components.active_entitlements: missing in CustomerSession.Components",
        ".components.customer_portal: missing in CustomerSession.Components",
    ],
    "dispute": [".evidence_details.submission_method: missing in Dispute.EvidenceDetails"],
    "invoice": [".subscription: unknown to Invoice"],
    "reserve.hold": [".destination: missing in Hold"],
    "reserve.plan": [".destination: missing in Plan"],
    "reserve.release": [
        ".reason: 'bulk_hold_expiry' is not one of 4 known values",
        ".destination: missing in Release",
    ],
    "subscription_schedule": [".pause_schedules: missing in SubscriptionSchedule"],
}
UNKNOWN_TO_THE_SDK = {"issuing.settlement", "sigma.sigma_api_query", "terminal.refund"}


def _resources() -> dict[str, Any]:
    if not FIXTURES.exists():
        return {}
    resources: dict[str, Any] = json.loads(FIXTURES.read_text())["resources"]
    return resources


def _class_of(body: dict[str, Any]) -> Any:
    return class_of(body["object"])


def test_stripes_own_fixtures_pass_but_for_the_versions_differences() -> None:
    resources = _resources()
    if not resources:
        pytest.skip("Stripe's fixtures are not beside the project: shared/stripe/fixtures3.json")
    unknown = {name for name, body in resources.items() if body["object"] not in OBJECT_CLASSES}
    assert unknown == UNKNOWN_TO_THE_SDK
    found = {
        name: list(checker(_class_of(body), JSON)(body))
        for name, body in resources.items()
        if name not in unknown
    }
    assert len(found) > 170
    assert {name: findings for name, findings in found.items() if findings} == DIFFERENCES
