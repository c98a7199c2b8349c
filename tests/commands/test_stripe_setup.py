"""`stripe setup` and what the doctor says of it, with a Stripe of their own."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from adapters.stripe.setup import PINNED_VERSION
from adapters.tls import trusted
from commands.doctor.findings import CheckDoubtfulError, CheckFailedError
from commands.stripe.checks import check_endpoint, check_endpoints, check_portal, check_portals
from commands.stripe.setup import set_up_stripe
from commands.targets import _FACTS as STACK_FACTS
from commands.targets import Target
from config import AuthSettings, Settings, StripeSettings
from domain.errors import InvalidInputError, ProviderUnavailableError
from domain.webhooks.endpoints import REQUIRED_EVENT_TYPES, WEBHOOK_PATH, EndpointSnapshot
from tests.conftest import PROJECT, free_port, start_sandbox, wait_for_url
from tests.support.checked import settle

URL = "https://api.example.com/api/v1/webhooks/stripe"
OLD_VERSION = "2024-06-20"
NOWHERE = "postgresql+psycopg://perdure:hidden@127.0.0.1:9/perdure"
ENDPOINTS, PORTALS = "webhook_endpoints", "billing_portal/configurations"


@pytest.fixture(scope="module")
def stripe_base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A stand-in that sends no webhooks, for nothing happens in it."""
    port = free_port()
    child = start_sandbox("sandbox.stripe", tmp_path_factory.mktemp("set-up"), "--port", str(port))
    base = f"http://127.0.0.1:{port}"
    wait_for_url(f"{base}/_sandbox/health")
    yield base
    try:
        settle(base)
    finally:
        child.terminate()
        child.wait(100)


class Account:
    """An account at Stripe, seen from behind, and our command's way to it."""

    def __init__(self, base: str, http: httpx.AsyncClient) -> None:
        self.settings = StripeSettings(api_base=base)
        self._http = http

    async def run(self, *, is_dry_run: bool = False, is_old_removed: bool = False) -> list[str]:
        """Run the command, and return what it says."""
        lines: list[str] = []
        await set_up_stripe(
            self.settings,
            URL,
            lines.append,
            is_dry_run=is_dry_run,
            is_old_removed=is_old_removed,
        )
        return lines

    async def all(self, kind: str) -> list[dict[str, Any]]:
        """Return all objects of a kind, oldest first."""
        listed = await self._http.get(f"/v1/{kind}", params={"limit": 100})
        found: list[dict[str, Any]] = listed.json()["data"]
        return found[::-1]

    async def post(self, path: str, **form: Any) -> dict[str, Any]:
        """Change something as somebody in the Dashboard does."""
        reply = await self._http.post(f"/v1/{path}", data=form)
        made: dict[str, Any] = reply.raise_for_status().json()
        return made

    async def break_down(self, **fault: Any) -> None:
        """Plant a fault."""
        (await self._http.post("/_sandbox/faults", json={"api": [fault]})).raise_for_status()

    async def writes(self) -> list[dict[str, Any]]:
        """Return all calls that change something."""
        calls: list[dict[str, Any]] = (await self._http.get("/_sandbox/requests")).json()["items"]
        return [call for call in calls if call["method"] != "GET"]


@pytest.fixture
async def account(stripe_base: str) -> AsyncIterator[Account]:
    """An empty account."""
    headers = {"Authorization": "Bearer sk_test_x"}
    async with httpx.AsyncClient(
        base_url=stripe_base, verify=trusted(), headers=headers, timeout=100
    ) as http:
        await http.post("/_sandbox/reset")
        yield Account(stripe_base, http)
        await http.post("/_sandbox/faults", json={})


async def test_the_first_run_makes_all_of_it_and_the_second_nothing(account: Account) -> None:
    said = await account.run()
    (endpoint,) = await account.all(ENDPOINTS)
    (portal,) = await account.all(PORTALS)
    assert endpoint["api_version"] == PINNED_VERSION
    assert (endpoint["url"], endpoint["status"]) == (URL, "enabled")
    assert sorted(endpoint["enabled_events"]) == list(REQUIRED_EVENT_TYPES)
    features = portal["features"]
    assert features["payment_method_update"]["enabled"]
    assert features["invoice_history"]["enabled"]
    assert features["subscription_cancel"]["enabled"]
    assert features["subscription_cancel"]["mode"] == "at_period_end"
    (secret,) = [line for line in said if "whsec_" in line]
    assert secret.startswith("STRIPE__WEBHOOK_SECRET=whsec_")

    before = await account.writes()
    again = await account.run()
    assert again[-1] == "nothing to change"
    assert not any("whsec_" in line for line in again)
    assert await account.writes() == before
    assert all(call["idempotency_key"] for call in before if call["path"].startswith("/v1/"))


async def test_a_dry_run_tells_all_and_changes_nothing(account: Account) -> None:
    said = await account.run(is_dry_run=True)
    assert "if it was started with --webhook-url, each event arrives twice" in said[0]
    assert [line.partition(": would be made")[1] for line in said[1:]] == [": would be made"] * 2
    assert await account.all(ENDPOINTS) == await account.all(PORTALS) == []
    await account.run()
    (endpoint,) = await account.all(ENDPOINTS)
    await account.post(f"{ENDPOINTS}/{endpoint['id']}", disabled="true")
    said = await account.run(is_dry_run=True)
    assert f"webhook endpoint {endpoint['id']}: would be enabled" in said
    assert (await account.all(ENDPOINTS))[0]["status"] == "disabled"


async def test_what_somebody_changed_is_put_right(account: Account) -> None:
    await account.run()
    (endpoint,), (portal,) = await account.all(ENDPOINTS), await account.all(PORTALS)
    changes = {"enabled_events[0]": "invoice.paid", "enabled_events[1]": "price.created"}
    await account.post(f"{ENDPOINTS}/{endpoint['id']}", disabled="true", **changes)
    features = {"features[subscription_cancel][mode]": "immediately"}
    await account.post(f"{PORTALS}/{portal['id']}", active="false", **features)

    said = "\n".join(await account.run())

    endpoint_changes = "enabled; subscribed to charge.dispute.closed, "
    assert f"webhook endpoint {endpoint['id']}: {endpoint_changes}" in said
    assert "unsubscribed from price.created" in said
    portal_changes = "activated; extended by subscription_cancel"
    assert f"customer portal {portal['id']}: {portal_changes}" in said
    assert "nothing to change" not in said
    assert (await account.run())[-1] == "nothing to change"
    (endpoint,), (portal,) = await account.all(ENDPOINTS), await account.all(PORTALS)
    assert sorted(endpoint["enabled_events"]) == list(REQUIRED_EVENT_TYPES)
    assert portal["active"]


async def test_an_endpoint_that_hears_everything_hears_less(account: Account) -> None:
    hears = {"enabled_events[0]": "*", "api_version": PINNED_VERSION}
    made = await account.post(ENDPOINTS, url=URL, **hears)
    said = await account.run()
    assert f"webhook endpoint {made['id']}: unsubscribed from *" in said
    (endpoint,) = await account.all(ENDPOINTS)
    assert sorted(endpoint["enabled_events"]) == list(REQUIRED_EVENT_TYPES)


@pytest.mark.parametrize("version", [{"api_version": OLD_VERSION}, {}], ids=["old", "account's"])
async def test_an_endpoint_of_another_version_is_replaced_in_two_runs(
    account: Account, version: dict[str, str]
) -> None:
    hears = {"enabled_events[0]": "*", **version}
    old = await account.post(ENDPOINTS, url=URL, **hears)
    elsewhere = await account.post(ENDPOINTS, url="https://x.example.com/hooks", **hears)

    said = "\n".join(await account.run(is_old_removed=True))

    assert f"webhook endpoint {old['id']} at the same address stays" in said
    assert version.get("api_version", "of the account") in said
    assert "STRIPE__PREVIOUS_WEBHOOK_SECRET" in said
    assert f"--url {URL} --remove-old" in said
    here = [each["id"] for each in await account.all(ENDPOINTS)]
    assert here[:2] == [old["id"], elsewhere["id"]]
    assert len(here) == 3

    said = "\n".join(await account.run())
    assert f"webhook endpoint {old['id']} at the same address stays" in said
    said = "\n".join(await account.run(is_old_removed=True))
    assert f"webhook endpoint {old['id']}, API version" in said
    assert [each["id"] for each in await account.all(ENDPOINTS)] == here[1:]


async def test_no_endpoint_is_made_twice_when_an_answer_is_lost(account: Account) -> None:
    await account.break_down(match="POST /v1/webhook_endpoints", times=1, drop=True)
    said = "\n".join(await account.run())
    (endpoint,) = await account.all(ENDPOINTS)
    assert f"its id is {endpoint['id']}; Stripe's answer with its secret was lost" in said
    assert (await account.run())[-1] == "nothing to change"


async def test_an_outage_is_told_and_what_was_made_counts(account: Account) -> None:
    await account.break_down(match="POST /v1/billing_portal/*", before=500)
    lines: list[str] = []
    with pytest.raises(ProviderUnavailableError):
        await set_up_stripe(account.settings, URL, lines.append)
    assert any(line.startswith("STRIPE__WEBHOOK_SECRET=whsec_") for line in lines)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("api.example.com/api/v1/webhooks/stripe", "http://127.0.0.1:9"),
        ("ftp://api.example.com/api/v1/webhooks/stripe", "http://127.0.0.1:9"),
        ("https://api.example.com", "http://127.0.0.1:9"),
        ("http://api.example.com/api/v1/webhooks/stripe", None),
    ],
)
async def test_an_address_that_cannot_be_right_is_refused_early(url: str, base: str | None) -> None:
    with pytest.raises(InvalidInputError, match="--url must be https://"):
        await set_up_stripe(StripeSettings(api_base=base), url, print)


def settings_of(stripe: StripeSettings, public_url: str = "https://api.example.com") -> Settings:
    return Settings(
        _env_file=None,
        database_url=NOWHERE,
        auth=AuthSettings(jwt_secret=SecretStr("x" * 32)),
        stripe=stripe,
        public_url=public_url,
    )


async def test_the_doctor_reads_back_what_was_made(account: Account) -> None:
    ours = settings_of(account.settings)
    for found in (await check_endpoint(ours), await check_portal(ours)):
        assert found.startswith(f"none at {ours.stripe.api_base}")
        assert "stripe setup" not in found
    await account.run()
    (endpoint,), (portal,) = await account.all(ENDPOINTS), await account.all(PORTALS)
    version = f"API version {PINNED_VERSION}, {len(REQUIRED_EVENT_TYPES)} event types"
    assert await check_endpoint(ours) == f"{endpoint['id']} at {URL}, {version}"
    offered = "offers invoice_history, payment_method_update, subscription_cancel"
    assert await check_portal(ours) == f"{portal['id']} {offered}"

    await account.post(f"{ENDPOINTS}/{endpoint['id']}", disabled="true")
    with pytest.raises(CheckFailedError, match=rf"is disabled: run `python cli.py .* --url {URL}`"):
        await check_endpoint(ours)
    await account.post(f"{PORTALS}/{portal['id']}", active="false")
    with pytest.raises(CheckFailedError, match="is not active: run `python"):
        await check_portal(ours)
    await account.run()
    assert version in await check_endpoint(ours)
    await account.post(
        f"{PORTALS}/{portal['id']}", **{"features[invoice_history][enabled]": "false"}
    )
    with pytest.raises(CheckFailedError, match="does not offer invoice_history: run"):
        await check_portal(ours)


def endpoint(number: int, **changes: Any) -> EndpointSnapshot:
    seen: dict[str, Any] = {
        "endpoint_id": f"we_{number}",
        "url": URL,
        "api_version": PINNED_VERSION,
        "is_enabled": True,
        "is_ours": False,
        "event_types": frozenset(REQUIRED_EVENT_TYPES),
    }
    return EndpointSnapshot(**(seen | changes))


@pytest.mark.parametrize(
    ("changes", "flaw"),
    [
        ({"api_version": OLD_VERSION}, f"sends {OLD_VERSION}, and this release reads"),
        ({"api_version": None}, "sends the account's API version, and this release reads"),
        ({"is_enabled": False}, "is disabled"),
        (
            {"event_types": frozenset(REQUIRED_EVENT_TYPES[2:])},
            f"is not subscribed to {REQUIRED_EVENT_TYPES[0]}, {REQUIRED_EVENT_TYPES[1]}: run",
        ),
        ({"event_types": frozenset()}, f"and {len(REQUIRED_EVENT_TYPES) - 3} more: run"),
    ],
)
def test_what_is_wrong_with_an_endpoint_is_one_line_with_its_command(
    changes: dict[str, Any], flaw: str
) -> None:
    wrong = endpoint(1, **changes)
    for ours in (settings_of(StripeSettings()), settings_of(StripeSettings(api_base=NOWHERE))):
        with pytest.raises(CheckFailedError, match=re.escape(flaw)) as caught:
            check_endpoints([wrong], ours)
        assert str(caught.value).startswith(f"we_1 at {URL} ")
        assert f"`python cli.py stripe setup --url {URL}`" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_an_endpoint_is_known_by_its_address_or_by_who_made_it() -> None:
    ours = settings_of(StripeSettings())
    broken = endpoint(9, is_enabled=False, url="https://staging.example.com" + WEBHOOK_PATH)
    stranger = endpoint(8, is_enabled=False, url="https://api.example.com/other")
    assert check_endpoints([broken, endpoint(1), stranger], ours).startswith("we_1 at")
    everything = endpoint(2, event_types=frozenset({"*"}))
    assert check_endpoints([everything], ours).startswith("we_2 at")
    elsewhere = settings_of(StripeSettings(), "http://10.0.0.7:8000")
    assert check_endpoints([stranger, endpoint(1)], elsewhere).startswith("we_1 at")
    proxied = endpoint(3, url="https://example.com/hooks", is_ours=True)
    assert check_endpoints([stranger, proxied], elsewhere).startswith("we_3 at")
    with pytest.raises(CheckFailedError, match="Stripe has no endpoint of ours: run `python"):
        check_endpoints([stranger], ours)
    with pytest.raises(CheckFailedError, match="no portal configuration of ours: run `python"):
        check_portals([], ours)


@pytest.mark.parametrize("stack", [None, Path("/tmp/a stack")])
def test_what_the_doctor_advises_runs_as_it_is_written(stack: Path | None) -> None:
    ours, place = settings_of(StripeSettings()), Target(stack)
    old = endpoint(1, api_version=OLD_VERSION)
    judges: list[Callable[[], str]] = [
        lambda: check_endpoints([], ours, place),
        lambda: check_endpoints([endpoint(1, is_enabled=False)], ours, place),
        lambda: check_endpoints([old, endpoint(2)], ours, place),
        lambda: check_portals([], ours, place),
    ]
    for judge in judges:
        with pytest.raises((CheckFailedError, CheckDoubtfulError)) as caught:
            judge()
        command = str(caught.value).split("`")[1]
        words = shlex.split(command)
        assert words[:6] == ["python", "cli.py", "stripe", "setup", "--url", URL]
        assert [word for word in words[6:] if word != "--remove-old"] == (
            ["--stack", str(stack)] if stack else []
        )


def test_where_stripe_cannot_send_the_doctor_names_no_address() -> None:
    here = settings_of(StripeSettings(), "http://127.0.0.1:8000")
    for judge in (check_endpoints, check_portals):
        with pytest.raises(CheckFailedError) as caught:
            judge([], here)
        assert f"--url 'https://<your API>{WEBHOOK_PATH}'`" in str(caught.value)


OWN = Target(is_stripe_own=True)


async def test_a_stack_s_own_stripe_gets_no_endpoint(account: Account) -> None:
    lines: list[str] = []
    for is_dry_run in (False, True):
        with pytest.raises(InvalidInputError, match="sends its events to the API by itself"):
            await set_up_stripe(
                account.settings, URL, lines.append, is_dry_run=is_dry_run, target=OWN
            )
    assert not lines
    assert await account.all(ENDPOINTS) == await account.all(PORTALS) == []
    ours = settings_of(account.settings)
    assert "sends its events to the API by itself" in await check_endpoint(ours, OWN)
    assert "not needed at the sandbox" in await check_portal(ours, OWN)


async def test_an_endpoint_of_a_stack_s_own_stripe_is_one_too_many(account: Account) -> None:
    await account.run()
    (made,) = await account.all(ENDPOINTS)
    ours = settings_of(account.settings)
    told = f"^{made['id']} at {URL} is one too many"
    with pytest.raises(CheckDoubtfulError, match=told) as caught:
        await check_endpoint(ours, OWN)
    # Reason: not every machine has curl.
    *command, address, _, login = shlex.split(str(caught.value).split("`")[1])
    assert command == ["curl", "-X", "DELETE"]
    async with httpx.AsyncClient(verify=trusted(), auth=(login.rstrip(":"), "")) as http:
        (await http.delete(address)).raise_for_status()
    assert await account.all(ENDPOINTS) == []


def test_the_command_line_knows_a_stack_s_own_stripe(account: Account, tmp_path: Path) -> None:
    base = account.settings.api_base or ""
    facts: dict[str, Any] = dict.fromkeys(STACK_FACTS, "http://127.0.0.1:9")
    facts |= {"ready": True, "database_url": NOWHERE, "temporal": "127.0.0.1:9", "stripe": base}
    facts |= {"stripe_webhook_secret": "whsec_x", "mail": "127.0.0.1:9"}
    (tmp_path / "secrets.json").write_text(json.dumps({"jwt_secret": "x" * 32}))

    def run(*words: str, **pids: list[int]) -> tuple[int, str]:
        (tmp_path / "stack.json").write_text(json.dumps(facts | {"pids": pids}))
        command = [sys.executable, "cli.py", *words, "--stack", str(tmp_path)]
        told = subprocess.run(
            command, cwd=PROJECT, env={"PATH": ""}, text=True, capture_output=True, check=False
        )
        return told.returncode, told.stdout + told.stderr

    set_up = ("stripe", "setup", "--url", URL)
    code, told = run(*set_up, stripe=[1])
    assert (code, told.count("\n")) == (2, 1)
    assert "sends its events to the API by itself" in told
    _, told = run("doctor", stripe=[1])
    assert "sends its events to the API by itself" in told
    assert "stripe setup" not in told
    code, told = run(*set_up)
    assert code == 0, told


def test_an_old_endpoint_beside_the_new_one_is_a_doubt() -> None:
    old = endpoint(1, api_version=OLD_VERSION)
    with pytest.raises(CheckDoubtfulError, match=r"^we_1 .* still exists beside.* --remove-old`$"):
        check_endpoints([old, endpoint(2)], settings_of(StripeSettings()))


def test_the_command_prints_what_it_does(account: Account) -> None:
    environ = {
        "PATH": "",
        "DATABASE_URL": NOWHERE,
        "AUTH__JWT_SECRET": "x" * 32,
        "STRIPE__API_BASE": account.settings.api_base or "",
    }
    command = [sys.executable, "cli.py", "stripe", "setup", "--url", URL]
    told = [
        subprocess.run(
            command, cwd=PROJECT, env=environ, text=True, capture_output=True, check=False
        )
        for _ in range(2)
    ]
    assert [each.returncode for each in told] == [0, 0], told[0].stderr
    assert told[0].stdout.count("whsec_") == 1
    assert told[1].stdout.endswith("nothing to change\n")
    away = subprocess.run(
        [*command[:-1], "https://example.com"],
        cwd=PROJECT,
        env=environ,
        text=True,
        capture_output=True,
        check=False,
    )
    assert away.returncode == 2
    assert away.stderr == "error: --url must be https://<your API>/api/v1/webhooks/stripe\n"
