"""What makes vectors: the small model here, and an OpenAI-compatible server."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from adapters.embeddings import LocalEmbedder, ServerEmbedder, open_embedder
from domain.errors import ProviderRejectedError, UnavailableError
from domain.knowledge.chunking import PASSAGE_PIECES, split_text
from tests.adapters.test_web_fetcher import page, reply
from tests.conftest import Measure, Outside

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
    counting = asyncio.to_thread(embedder.count_tokens, ["two"])
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
    for path in (ROOT / "README.md", ROOT / "services" / "knowledge" / "passages.py"):
        for chunk in split_text(path.read_text(), embedder.count_tokens):
            assert sum(embedder.count_tokens([chunk.text])) <= PASSAGE_PIECES


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
        assert embedder.count_tokens(["four", "x"]) == [2, 1]


async def test_without_an_address_the_model_is_ours() -> None:
    async with open_embedder("", "none", "x") as embedder:
        assert isinstance(embedder, LocalEmbedder)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("400 Bad Request", ProviderRejectedError),
        ("422 Unprocessable", ProviderRejectedError),
        ("413 Content Too Large", ProviderRejectedError),
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


@pytest.mark.parametrize("letters", ["word ", "слово ", "中", "7 ", "\U0001f600"])
async def test_what_is_too_long_for_a_server_is_shortened(outside: Outside, letters: str) -> None:
    """A window of 512 tokens, as small open models have it; questions have 20,000 letters."""
    long = (letters * 20_000)[:20_000]
    async with open_embedder(f"{outside.llm}/v1", "sandbox", "bge-small-en-v1.5") as embedder:
        short, vector, another = await embedder.embed(["short", long, "another"])
        assert len(vector) == len(short) == len(another)
        [alone] = await embedder.embed(["short"])
        assert likeness(alone, short) == pytest.approx(1)


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        ("500 Oops", "input is too large to process. increase the physical batch size", True),
        ("500 Oops", "the input length exceeds the context length", True),
        ("429 Later", "rate limit exceeded: too many requests", False),
        ("503 Later", "overloaded", False),
    ],
)
async def test_too_long_is_known_by_its_words(status: str, words: str, kind: bool) -> None:
    body = json.dumps({"error": {"message": words}}).encode()
    answer = reply(body, status, "application/json")
    async with page(answer) as url, open_embedder(f"{url}/v1", "k", "m") as embedder:
        with pytest.raises(ProviderRejectedError if kind else UnavailableError):
            await embedder.embed(["x"])


def test_pieces_are_counted_whatever_the_alphabet() -> None:
    server = ServerEmbedder("http://127.0.0.1:1/v1", "k", "m")
    assert server.count_tokens(["train", "поезд", "电车站"]) == [2, 4, 3]
    assert sum(LocalEmbedder().count_tokens(["x" * 10_000])) >= 1_000


async def test_others_do_not_keep_the_model_waiting() -> None:
    """All threads that the process shares are busy: a text is embedded all the same."""
    loop, is_over = asyncio.get_running_loop(), threading.Event()
    busy = [loop.run_in_executor(None, is_over.wait) for _ in range(64)]
    try:
        async with asyncio.timeout(30):
            await LocalEmbedder().embed(["x"])
    finally:
        is_over.set()
        await asyncio.gather(*busy)
