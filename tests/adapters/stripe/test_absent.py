"""Absent is not null: whatever Stripe leaves out, adapters read the rest, or say what they lack."""

import random
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import pytest

from domain.errors import (
    ApplicationError,
    CardDeclinedError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    UnreadableAnswerError,
)
from tests.adapters.stripe.scenes import Adapters, Answer, Replaying, Scene, open_shop, record_all
from tests.adapters.stripe.variants import (
    Change,
    Place,
    changes,
    places,
    without_nulls,
    without_optional,
)

SAMPLE_SIZE = 500
SEED = 11
# Optional by the SDK's annotations, and yet all that is asked for.
INDISPENSABLE = ("client_secret",)


@pytest.fixture(scope="module")
async def scenes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[Scene]]:
    async with open_shop(tmp_path_factory.mktemp("scenes")) as shop:
        await record_all(shop)
        yield shop.scenes


class Theatre:
    """Makes the calls of scenes again, with other answers."""

    def __init__(self) -> None:
        self._client = Replaying()
        self._adapters = Adapters(self._client)

    async def play(self, scene: Scene, *answers: Answer) -> object:
        """Return what the call says, or the error of ours that it raises."""
        self._client.answer_with(*answers)
        try:
            return await scene.call(self._adapters)
        except ApplicationError as error:
            return error


def replaced(scene: Scene, number: int, answer: Answer) -> list[Answer]:
    return [*scene.answers[:number], answer, *scene.answers[number + 1 :]]


def is_fine(scene: Scene, said: object, place: Place, change: Change) -> bool:
    """Say whether an outcome is one that a changed answer may have."""
    if not isinstance(said, ApplicationError):
        return True
    if isinstance(said, UnreadableAnswerError):
        return not place.is_optional or place.path[-1] in INDISPENSABLE
    if isinstance(said, NotFoundError):  # nothing was recorded for a customer that is there
        return place.path == ("deleted",)
    if isinstance(said, ConflictError):  # what has no `customer` is attached to nobody
        return place.path == ("customer",)
    if isinstance(said, InvalidInputError):  # what has no `card` is none
        return "card" in place.path
    return isinstance(said, CardDeclinedError) and is_declined(scene)


def is_declined(scene: Scene) -> bool:
    return any(answer.status == 402 for answer in scene.answers)


@dataclass(frozen=True)
class Variant:
    """One change of one answer in a scene."""

    scene: Scene
    number: int
    place: Place
    change: Change
    answer: Answer

    def __str__(self) -> str:
        return f"{self.scene.name}: {'.'.join(map(str, self.place.path))} {self.change}"


def variants(scenes: list[Scene]) -> Iterator[Variant]:
    """Return all changes, each kind of place once for each kind of call."""
    seen: set[object] = set()
    for scene in scenes:
        calls = tuple(kind_of(answer.path) for answer in scene.answers)
        for number, answer in enumerate(scene.answers):
            for place in places(answer):
                shape = tuple(step for step in place.path if isinstance(step, str))
                for change, changed in changes(answer, place):
                    key = (calls, number, answer.status, shape, change)
                    if key not in seen:
                        seen.add(key)
                        yield Variant(scene, number, place, change, changed)


def kind_of(path: str) -> str:
    """Return a path without ids."""
    return re.sub(r"/[a-z]+_[0-9a-f]+", "/*", path)


async def wrong_ones(played: list[Variant]) -> list[str]:
    """Play changed answers, and return what went wrong with them."""
    wrong, theatre = [], Theatre()
    for variant in played:
        answers = replaced(variant.scene, variant.number, variant.answer)
        try:
            said = await theatre.play(variant.scene, *answers)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            wrong.append(f"{variant}: {error!r}")
            continue
        if not is_fine(variant.scene, said, variant.place, variant.change):
            wrong.append(f"{variant}: {said!r}")
    return wrong


async def test_what_was_recorded_can_be_read(scenes: list[Scene]) -> None:
    """Make sure that the recording itself is played as it was recorded."""
    for scene in scenes:
        said = await Theatre().play(scene, *scene.answers)
        assert not isinstance(said, ApplicationError) or isinstance(said, CardDeclinedError), (
            scene.name,
            said,
        )


@pytest.mark.parametrize("strip", [without_optional, without_nulls])
async def test_without_all_that_may_be_absent(
    scenes: list[Scene], strip: Callable[[Answer], Answer]
) -> None:
    wrong, theatre = [], Theatre()
    for scene in scenes:
        if scene.name == "deleted customer" and strip is without_optional:
            continue  # without the word `deleted` it is not deleted, and leads to more questions
        said = await theatre.play(scene, *map(strip, scene.answers))
        is_no_card = isinstance(said, InvalidInputError) and strip is without_optional
        is_nobodys = isinstance(said, ConflictError) and scene.name == "attached"
        is_no = isinstance(said, CardDeclinedError) and is_declined(scene)
        is_secret = (
            isinstance(said, UnreadableAnswerError) and said.details["field"] in INDISPENSABLE
        )
        if isinstance(said, ApplicationError) and not (
            is_no or is_no_card or is_nobodys or is_secret
        ):
            wrong.append(f"{scene.name}: {said!r}")
    assert wrong == []


async def test_one_key_absent_or_otherwise(
    scenes: list[Scene], measure: Callable[[str], None]
) -> None:
    """Play a seeded sample of all single changes; `make soak` plays all of them."""
    every = list(variants(scenes))
    chosen = random.Random(SEED).sample(every, SAMPLE_SIZE)  # noqa: S311 - a sample, no secret
    began = time.monotonic()
    wrong = await wrong_ones(chosen)
    seconds = time.monotonic() - began
    measure(f"absent keys: {len(chosen)} of {len(every)} changed answers in {seconds:.1f} s")
    assert wrong == []


@pytest.mark.soak
async def test_every_key_absent_or_otherwise(scenes: list[Scene]) -> None:
    assert await wrong_ones(list(variants(scenes))) == []
