"""What makes vectors: the small model here, and an OpenAI-compatible server."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from adapters.embeddings import LocalEmbedder, open_embedder
from domain.documents import PASSAGE_PIECES, split_text
from domain.errors import ProviderRejectedError, UnavailableError
from tests.conftest import Measure, Outside
from tests.integration.test_pages import page, reply

ROOT = Path(__file__).parents[2]
MEASURE = """
import asyncio
from adapters.embeddings import LocalEmbedder

def megabytes():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6

before = megabytes()
asyncio.run(LocalEmbedder().embed(["word " * 200] * 16))
print(megabytes() - before)
"""
IMPORT = """
import asyncio, sys, threading, time
from adapters.embeddings import LocalEmbedder

threads = set()

class Watcher:
    def find_spec(self, name, path=None, target=None):
        if name in ("numpy", "onnxruntime"):
            threads.add(threading.get_ident())
            time.sleep(0.1)

async def main():
    embedder = LocalEmbedder()
    counting = asyncio.to_thread(embedder.count_pieces, ["two"])
    await asyncio.gather(embedder.embed(["one"]), counting)

sys.meta_path.insert(0, Watcher())
asyncio.run(main())
print(len(threads))
"""
LOADED_MEGABYTES = 400
TEXT_MILLISECONDS = 100


def likeness(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_the_same_meaning_is_near() -> None:
    embedder = LocalEmbedder()
    dog, puppy, tax = await embedder.embed(["A dog barks.", "The puppy is loud.", "Tax law."])
    assert len(dog) == 384
    assert likeness(dog, dog) == pytest.approx(1)
    assert likeness(dog, puppy) > likeness(dog, tax) + 0.2
    assert await embedder.embed([]) == []
    [empty] = await embedder.embed([""])
    assert likeness(empty, empty) == pytest.approx(1)


async def test_neighbours_in_a_batch_change_nothing() -> None:
    embedder = LocalEmbedder()
    texts = ["short", "word " * 150, "A dog barks.", "another text of some words", "five"]
    together = await embedder.embed(texts)
    for text, vector in zip(texts, together, strict=True):
        [alone] = await embedder.embed([text])
        assert likeness(alone, vector) > 0.999


def test_passages_fit_into_the_model() -> None:
    embedder = LocalEmbedder()
    for path in (ROOT / "README.md", ROOT / "activities" / "passages.py"):
        for chunk in split_text(path.read_text(), embedder.count_pieces):
            assert sum(embedder.count_pieces([chunk.text])) <= PASSAGE_PIECES


@pytest.mark.parametrize("most", [None, pytest.param(TEXT_MILLISECONDS, marks=pytest.mark.soak)])
async def test_it_is_quick(measure: Measure, most: float | None) -> None:
    embedder = LocalEmbedder()
    await embedder.embed(["warm"])
    started = time.perf_counter()
    for number in range(20):
        await embedder.embed([f"How do I start number {number}?"])
    each = (time.perf_counter() - started) * 1_000 / 20
    measure(f"embedding: {each:.1f} ms a short text")
    assert most is None or each < most


async def test_it_is_small(measure: Measure) -> None:
    command = [sys.executable, "-c", MEASURE]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = float(done.stdout)
    measure(f"embedding: {loaded:.0f} MB resident")
    assert loaded < LOADED_MEGABYTES


def test_one_thread_imports_it_all() -> None:
    """Two that import numpy at once can leave it half made, for as long as the process lives."""
    counted = subprocess.run(
        [sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert counted.stdout.strip() == "1"


async def test_a_server_embeds_too(outside: Outside) -> None:
    async with open_embedder(f"{outside.llm}/v1", "sandbox", "text-embedding-3-small") as embedder:
        texts = [f"text {number}" for number in range(20)]
        vectors = await embedder.embed(texts)
        assert len(vectors) == 20
        assert len({len(vector) for vector in vectors}) == 1
        [again] = await embedder.embed(texts[17:18])
        assert likeness(again, vectors[17]) == pytest.approx(likeness(again, again))
        assert embedder.count_pieces(["four", "x"]) == [2, 1]


async def test_without_an_address_the_model_is_ours() -> None:
    async with open_embedder("", "none", "x") as embedder:
        assert isinstance(embedder, LocalEmbedder)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("400 Bad Request", ProviderRejectedError),
        ("422 Unprocessable", ProviderRejectedError),
        ("401 Unauthorized", UnavailableError),
        ("429 Too Many Requests", UnavailableError),
        ("500 Oops", UnavailableError),
    ],
)
async def test_a_servers_refusals_are_told_apart(status: str, kind: type[Exception]) -> None:
    answer = reply(b"{}", status, "application/json")
    async with page(answer) as url, open_embedder(f"{url}/v1", "k", "m") as embedder:
        with pytest.raises(kind):
            await embedder.embed(["x"])


async def test_a_server_that_is_gone() -> None:
    async with open_embedder("http://127.0.0.1:1/v1", "k", "m") as embedder:
        with pytest.raises(UnavailableError):
            await embedder.embed(["x"])
