"""Today's code must still take every step that yesterday's histories recorded."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from copy import deepcopy
from datetime import timedelta
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
from temporalio import workflow
from temporalio.common import RawValue

from commands.replay.command import replay, replay_command
from commands.replay.histories import read_history
from domain.errors import InvalidInputError, NotFoundError
from domain.payment_retries.messages import RetryStart
from tests.support.histories import COMMITTED, HISTORIES, definition, type_of
from workflows.registry import WORKFLOWS

DAY = timedelta(days=1)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
async def test_replays(path: Path) -> None:
    verdict = await replay(read_history(path))
    assert verdict.difference is None
    assert verdict.event_count > 5


def test_histories_name_no_machine() -> None:
    for path in COMMITTED:
        text = path.read_text()
        assert "site-packages" not in text
        assert "@" not in text.replace("@example.com", "")


class Changed:
    """A workflow after a careless edit: its first command is in no history."""

    @workflow.run
    async def run(self, start: Any) -> None:
        await workflow.execute_activity("another_step", start_to_close_timeout=DAY)

    @workflow.signal(dynamic=True)
    def on_signal(self, name: str, args: Sequence[RawValue]) -> None: ...

    @workflow.update(dynamic=True)
    async def on_update(self, name: str, args: Sequence[RawValue]) -> None: ...


def changed(workflow_type: str) -> type:
    """Return `Changed` under the name of a workflow type."""
    members = {
        name: member for name, member in vars(Changed).items() if not hasattr(object, name)
    } | {"__module__": __name__}
    copy = type(Changed.__name__, (), members)
    return workflow.defn(name=workflow_type, sandboxed=False)(copy)


# Reason: made from the registry, so that a new workflow needs nothing here.
CHANGED = tuple(changed(definition(each).name) for each in WORKFLOWS)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
async def test_the_guard_can_fail(path: Path) -> None:
    verdict = await replay(read_history(path), CHANGED)
    assert verdict.difference is not None
    assert "ondeterminism" in verdict.difference


@workflow.defn(name="PaymentRetryWorkflow", sandboxed=False)
class Waiting:
    @workflow.run
    async def run(self, start: RetryStart) -> None:
        await workflow.sleep(1)


async def test_the_difference_is_told_with_its_place() -> None:
    path = HISTORIES / "payment-retry-recovered.json"
    verdict = await replay(read_history(path), (Waiting,))
    assert verdict.difference is not None
    first, has, wants, sdk = verdict.difference.splitlines()
    assert first.strip() == f"first difference: event 5 of {verdict.event_count}"
    step = 'open_retry ("take over the collection from Stripe")'
    assert has.strip() == f"the history has: activity task scheduled {step}"
    assert wants.strip() == "the current code wants: to start a timer"
    assert "TMPRL1100" in sdk


async def test_a_step_of_another_type_is_found_where_it_stands(tmp_path: Path) -> None:
    """The changed step is the last of several of its type."""
    path = HISTORIES / "payment-retry-recovered.json"
    document = json.loads(path.read_text())
    steps = [
        event
        for event in document["events"]
        if event["eventType"] == "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED"
    ]
    steps[-1]["activityTaskScheduledEventAttributes"]["activityType"]["name"] = "charge_invoice"
    (tmp_path / "changed.json").write_text(json.dumps(document))
    difference = (await replay(read_history(tmp_path / "changed.json"))).difference or ""
    assert f"event {steps[-1]['eventId']} of " in difference
    assert "charge_invoice" in difference


async def test_code_that_fails_is_no_other_step() -> None:
    verdict = await replay(read_history(HISTORIES / "payment-retry-recovered.json"), (Failing,))
    assert verdict.difference == "  the current code fails during the replay: it cannot"


@workflow.defn(name="PaymentRetryWorkflow", sandboxed=False)
class Failing:
    @workflow.run
    async def run(self, start: RetryStart) -> None:
        raise ValueError("it cannot")


async def test_what_is_no_history_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"nothing\.json"):
        read_history(tmp_path / "nothing.json")
    (tmp_path / "odd.json").write_text("[1, 2]")
    with pytest.raises(InvalidInputError, match=r"odd\.json"):
        read_history(tmp_path / "odd.json")
    with pytest.raises(InvalidInputError, match="not a workflow of this project"):
        await replay(read_history(COMMITTED[0]), (ChangedUnknown,))


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = enumerate(value) if isinstance(value, list) else ()
    for key, entry in value.items() if isinstance(value, dict) else items:
        yield from _places(entry, (*path, key))


def test_a_history_that_is_wrong_anywhere_is_refused(tmp_path: Path) -> None:
    document = json.loads((HISTORIES / "stripe-operation-detach-payment-method.json").read_text())
    path, refused_count = tmp_path / "odd.json", 0
    for place in _places(document):
        wrongs: tuple[Any, ...] = ("x", 7, [], {}, [7])
        for wrong in wrongs:
            holder = {"root": deepcopy(document)}
            *before, last = "root", *place
            reduce(getitem, before, holder)[last] = wrong
            path.write_text(json.dumps(holder["root"]))
            with suppress(InvalidInputError):
                read_history(path)
                continue
            refused_count += 1
    assert refused_count > 300


async def test_a_first_event_of_another_type_is_refused(tmp_path: Path) -> None:
    document = json.loads(COMMITTED[0].read_text())
    document["events"][0]["eventType"] = "EVENT_TYPE_WORKFLOW_TASK_STARTED"
    (tmp_path / "odd.json").write_text(json.dumps(document))
    with pytest.raises(InvalidInputError, match="not the start of a workflow"):
        await replay(read_history(tmp_path / "odd.json"))


def test_a_folder_is_no_history(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_history(tmp_path / "folder.json")


async def test_the_command_tells_in_words(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    nowhere = tmp_path / "stack.json"
    path = next(path for path in COMMITTED if type_of(path) == "PaymentRetryWorkflow")
    assert await replay_command(str(path), nowhere, tmp_path / "kept.json", {}) == 0
    assert "PaymentRetryWorkflow" in capsys.readouterr().out
    assert await replay_command(str(tmp_path / "kept.json"), nowhere, None, {}) == 0
    capsys.readouterr()

    changed = path.read_text().replace('"name": "save_retry"', '"name": "another_step"')
    (tmp_path / "changed.json").write_text(changed)
    assert await replay_command(str(tmp_path / "changed.json"), nowhere, None, {}) == 1
    said = capsys.readouterr().out
    assert "save_retry" in said
    assert "another_step" in said

    assert await replay_command("payment-retry-in_x", nowhere, None, {}) == 2
    assert "no stack runs" in capsys.readouterr().err


@workflow.defn(name="NobodysWorkflow", sandboxed=False)
class ChangedUnknown:
    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(1)
