"""Chroma: what is stored under one model's name is not seen under another's."""

from random import Random
from uuid import uuid4

import pytest

from adapters.chroma.client import ChromaCollection, Entry, open_chroma

SHORT, LONG = "nomic-embed-text", "nomic-embed-text-v1.5"


@pytest.mark.parametrize(("one", "other"), [(SHORT, LONG), ("m", "m-384"), ("m-3", "m-3-4")])
async def test_models_whose_names_begin_alike_are_two(
    chroma_url: str, one: str, other: str
) -> None:
    user_id = str(uuid4())
    where = {"where": {"user_id": user_id}}
    async with open_chroma(chroma_url) as chroma:
        for model in (one, other):
            entry = Entry(f"{user_id}:{model}", [1.0, 0.0], model, {"user_id": user_id})
            await chroma.put(ChromaCollection.PASSAGES, model, [entry])
        for model in (one, other):
            listed = await chroma.list(ChromaCollection.PASSAGES, where, model, has_text=True)
            assert [entry.text for entry in listed] == [model]
        assert len(await chroma.list(ChromaCollection.PASSAGES, where)) == 2
        await chroma.delete(ChromaCollection.PASSAGES, where)
        assert await chroma.list(ChromaCollection.PASSAGES, where) == []


async def test_nobody_is_hidden_by_what_somebody_else_stores_many_times(chroma_url: str) -> None:
    """Many equal vectors make an index that finds no way to others; a search must not miss them."""
    model, chance = f"m{uuid4().hex}", Random(7)  # noqa: S311 - no secret

    def vector() -> list[float]:
        return [chance.gauss(0, 1) for _ in range(384)]

    same = vector()
    others = {str(uuid4()): vector() for _ in range(20)}
    async with open_chroma(chroma_url) as chroma:
        for _ in range(10):
            many = [Entry(str(uuid4()), same, "same", {"user_id": "many"}) for _ in range(200)]
            await chroma.put(ChromaCollection.PASSAGES, model, many)
        for user_id, own in others.items():
            entries = [
                Entry(f"{user_id}:{name}", near, name, {"user_id": user_id})
                for name, near in (("own", own), ("far", vector()))
            ]
            await chroma.put(ChromaCollection.PASSAGES, model, entries)
        for user_id, own in others.items():
            for asked in (own, same):
                found = await chroma.search(ChromaCollection.PASSAGES, model, asked, user_id, 24)
                assert {each.text for each in found} == {"own", "far"}
            found = await chroma.search(ChromaCollection.PASSAGES, model, own, user_id, 1)
            assert [each.text for each in found] == ["own"]
            assert found[0].score == pytest.approx(1, abs=1e-3)
