"""Every POST of the product goes through `post_once`; the gate finds each way around it."""

from pathlib import Path

import pytest

from tests.gates import stripe_posts

METHODS = {"invoices": {"pay"}}
GUARDED = """
class Charges:
    async def charge(self, invoice_id):
        async def post(numbered):
            return await self._invoices.pay(invoice_id, numbered)

        return await post_once("charge", post, find)
"""


def test_every_post_is_made_once() -> None:
    methods = stripe_posts.posting_methods()
    assert list(stripe_posts.unguarded(stripe_posts.PROJECT, methods)) == []


def test_every_post_has_a_key() -> None:
    assert list(stripe_posts.keyless()) == []


def test_all_kinds_of_posts_are_known() -> None:
    """Check that the gate finds the POSTs: without them it would find no violation."""
    methods = stripe_posts.posting_methods()
    assert {"pay", "void", "finalize", "mark_uncollectible"} <= methods["invoices"]
    assert {"create", "pause", "use_card"} <= methods["subscriptions"]
    assert methods["customers"] == {"create"}
    assert methods["cards"] == {"attach", "detach", "use_card"}
    assert methods["setup_intents"] == {"create"}
    assert methods["payments"] == {"pay", "cancel"}
    assert methods["refunds"] == {"create"}
    assert methods["checkout_sessions"] == {"create", "expire"}
    assert methods["portal_sessions"] == {"create", "create_configuration"}
    assert {"create_product", "create_price"} <= methods["catalog"]


@pytest.mark.parametrize(
    "code",
    [
        "async def charge(self): await self._invoices.pay('in_1', 'key')",
        "async def charge(stripe): await stripe.invoices.pay('in_1', 'key')",
        GUARDED.replace("post_once(", "send("),
        GUARDED.replace("invoice_id, numbered)", "invoice_id, 'my own key')"),
        GUARDED.replace('"charge", post,', '"charge", other,'),
    ],
)
def test_a_planted_call_is_found(tmp_path: Path, code: str) -> None:
    (tmp_path / "activities").mkdir()
    (tmp_path / "activities/planted.py").write_text(code)
    (found,) = stripe_posts.unguarded(tmp_path, METHODS)
    assert "invoices.pay" in found


def test_a_guarded_call_breaks_nothing(tmp_path: Path) -> None:
    (tmp_path / "activities").mkdir()
    (tmp_path / "activities/tidy.py").write_text(GUARDED)
    assert list(stripe_posts.unguarded(tmp_path, METHODS)) == []


@pytest.mark.parametrize(
    "options", ["", ', {"idempotency_key": "fixed"}', ', {"stripe_account": key}']
)
def test_a_planted_call_without_its_key_is_found(tmp_path: Path, options: str) -> None:
    call = f"await self._client.v1.invoices.pay_async('in_1', {{}}{options})"
    (tmp_path / "planted.py").write_text(f"async def pay(self, key): {call}")
    (found,) = stripe_posts.keyless(tmp_path)
    assert "has no key" in found
