"""Chroma: what is stored under one model's name is not seen under another's."""

from uuid import uuid4

import pytest

from adapters.chroma import Entry, Shelf, open_chroma

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
            await chroma.put(Shelf.PASSAGES, model, [entry])
        for model in (one, other):
            listed = await chroma.list(Shelf.PASSAGES, where, model, has_text=True)
            assert [entry.text for entry in listed] == [model]
        assert len(await chroma.list(Shelf.PASSAGES, where)) == 2
        await chroma.delete(Shelf.PASSAGES, where)
        assert await chroma.list(Shelf.PASSAGES, where) == []
