"""No adapter reads a field of Stripe's objects directly; the gate finds each way to do so."""

from pathlib import Path

import pytest

from tests.gates import stripe_fields

TIDY = """
class Reads:
    async def read(self, stripe_id: str) -> str | None:
        with translate_stripe_errors():
            found = await self._client.v1.customers.retrieve_async(stripe_id)
            page = await self._client.v1.invoices.list_async({})
            cards = [field(each, "id") async for each in page.auto_paging_iter()]
        default = [each for each in entries(found, "payments") if field(each, "is_default")]
        details = {"param": field(found, "param")}
        details["code"] = field(found, "code")
        return field(default[0], "id") or details["param"] or cards[0]
"""


def test_no_adapter_reads_a_field_bare() -> None:
    assert list(stripe_fields.violations()) == []


def test_the_product_s_adapters_are_looked_at() -> None:
    """Check that the gate reads the adapters: without modules it would find no violation."""
    modules = {path.name for path in stripe_fields.FOLDER.glob("*.py")} - stripe_fields.EXEMPT
    assert {"invoices.py", "subscriptions.py", "payments.py", "customers.py"} <= modules


def test_a_tidy_adapter_breaks_nothing(tmp_path: Path) -> None:
    (tmp_path / "tidy.py").write_text(TIDY)
    assert list(stripe_fields.violations(tmp_path)) == []


@pytest.mark.parametrize(
    ("code", "read"),
    [
        ("def seen(found: stripe.Invoice) -> str: return found.status", "found.status"),
        ("def seen(found: 'stripe.Invoice | None') -> str: return found.status", "found.status"),
        ("def seen(found: stripe.Invoice) -> str: return found['status']", "found['status']"),
        ("def seen(found: stripe.Invoice): return getattr(found, 'x')", "getattr(found, 'x')"),
        (
            "async def read(self):\n"
            "    found = await self._client.v1.invoices.retrieve_async('in_1')\n"
            "    return found.status",
            "found.status",
        ),
        (
            "async def read(self):\n"
            "    return (await self._client.v1.invoices.retrieve_async('in_1')).status",
            "(await self._client.v1.invoices.retrieve_async('in_1')).status",
        ),
        (
            "async def read(self):\n"
            "    page = await self._client.v1.invoices.list_async()\n"
            "    return [each.status async for each in page.auto_paging_iter()]",
            "each.status",
        ),
        (
            "async def read(self):\n"
            "    page = await self._client.v1.invoices.list_async()\n"
            "    return page.data",
            "page.data",
        ),
        (
            "def seen(found: stripe.Invoice):\n"
            "    for entry in entries(found, 'payments'):\n"
            "        yield entry.payment",
            "entry.payment",
        ),
        ("def seen(found: stripe.Invoice): return field(found, 'a').b", "field(found, 'a').b"),
        (
            "def seen(found: stripe.Invoice):\n"
            "    first = next(iter(entries(found, 'lines')), None) or found\n"
            "    return first.period",
            "first.period",
        ),
        (
            "def seen(found: stripe.Invoice):\n    again = found\n    return again.status",
            "again.status",
        ),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, code: str, read: str) -> None:
    (tmp_path / "planted.py").write_text(f"import stripe\n\n{code}\n")
    (found,) = stripe_fields.violations(tmp_path)
    assert f"{read} is read without" in found
