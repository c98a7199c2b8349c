"""When failed payments are tried again."""

import asyncio
from uuid import uuid4

import pytest

from tests.api.conftest import API, Person, problem

POLICY = {"schedules": {"default": ["1s", "2h"]}, "grace": "7d", "last_resort": "cancel"}


async def test_default_always_exists(user: Person) -> None:
    policy = await user.get("retry-policies/default")
    assert policy["name"] == "default"
    assert policy["schedules"]["default"]
    names = [item["name"] for item in (await user.get("retry-policies", limit=200))["items"]]
    assert "default" in names


async def test_every_put_is_a_version(admin: Person, user: Person) -> None:
    name = f"p-{uuid4().hex[:8]}"
    path = f"{API}/retry-policies/{name}"
    first = await admin.http.put(path, json=POLICY)
    assert first.status_code == 200
    assert first.json() == await user.get(f"retry-policies/{name}")
    assert first.json()["schedules"] == {"default": ["1s", "2h"]}
    second = await admin.http.put(path, json=POLICY | {"grace": "P1D"})
    assert (first.json()["version"], second.json()["version"]) == (1, 2)
    assert (await user.get(f"retry-policies/{name}"))["grace"] == "1d"


async def test_versions_put_at_once_have_numbers_of_their_own(admin: Person) -> None:
    path = f"{API}/retry-policies/p-{uuid4().hex[:8]}"
    replies = await asyncio.gather(*[admin.http.put(path, json=POLICY) for _ in range(5)])
    assert sorted(reply.json()["version"] for reply in replies) == [1, 2, 3, 4, 5]


async def test_putting_default_leaves_the_built_in_version_behind(admin: Person) -> None:
    before = (await admin.get("retry-policies/default"))["version"]
    reply = await admin.http.put(f"{API}/retry-policies/default", json={})
    assert reply.json()["version"] == before + 1


async def test_pages_hold_every_policy_once(admin: Person) -> None:
    made = {f"p-{uuid4().hex[:8]}" for _ in range(5)}
    for name in made:
        await admin.http.put(f"{API}/retry-policies/{name}", json=POLICY)
    seen: list[str] = []
    cursor = None
    while True:
        page = await admin.get("retry-policies", limit=2, **({"cursor": cursor} if cursor else {}))
        assert len(page["items"]) <= 2
        seen += [item["name"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen))
    assert made | {"default"} <= set(seen)


@pytest.mark.parametrize(
    "change",
    [
        {"schedules": {"other": ["1d"]}},
        {"schedules": {"default": [5]}},
        {"schedules": {"default": ["1d"] * 99}},
        {"schedules": {"default": ["echo-me"]}},
        {"grace": "soon-echo-me"},
        {"last_resort": "echo-me"},
        {"after_uncollectible": "mark_uncollectible"},
    ],
)
async def test_a_policy_that_cannot_be_is_refused(admin: Person, change: dict[str, object]) -> None:
    reply = await admin.http.put(f"{API}/retry-policies/bad", json=POLICY | change)
    problem(reply, 422, "invalid_input")
    assert "echo-me" not in reply.text
    problem(await admin.http.get(f"{API}/retry-policies/bad"), 404, "not_found")


async def test_only_administrators_put(user: Person) -> None:
    reply = await user.http.put(f"{API}/retry-policies/mine", json=POLICY)
    problem(reply, 403, "admin_required")


async def test_a_name_is_a_name(admin: Person) -> None:
    reply = await admin.http.put(f"{API}/retry-policies/two words", json=POLICY)
    problem(reply, 422, "invalid_input")
