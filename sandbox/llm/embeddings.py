"""OpenAI's embeddings: a bag of words as a vector, so that like texts lie near each other."""

import base64
import hashlib
import math
import re
import struct
from typing import Any

from sandbox.llm.conversation import BadRequestError
from sandbox.llm.shapes import required
from sandbox.llm.tokens import count

PATH = "/v1/embeddings"
_DIMENSION_COUNT = 1536
_DIMENSIONS = {"text-embedding-3-large": 3072}
# As servers of small open models have them: whole texts only, in tokens.
_WINDOWS = {"bge-small-en-v1.5": 512}
_WORD = re.compile(r"\w+")


def answer(body: dict[str, Any]) -> dict[str, Any]:
    """Answer a request for embeddings.

    Raises:
        BadRequestError: Something is missing or of the wrong kind.
    """
    model = required(body, "model", str)
    texts = _texts(body.get("input"))
    size = body.get("dimensions") or _DIMENSIONS.get(model, _DIMENSION_COUNT)
    is_base64 = body.get("encoding_format") == "base64"
    _check_window(model, texts)
    vectors = [vector(text, size) for text in texts]
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(found, is_base64=is_base64)}
        for index, found in enumerate(vectors)
    ]
    token_count = sum(map(count, texts))
    usage = {"prompt_tokens": token_count, "total_tokens": token_count}
    return {"object": "list", "data": data, "model": model, "usage": usage}


def _check_window(model: str, texts: list[str]) -> None:
    window, longest = _WINDOWS.get(model), max(map(count, texts))
    if window is not None and longest > window:
        raise BadRequestError(
            f"This model's maximum context length is {window} tokens. However, you requested "
            f"{longest} tokens in the input for embedding generation. Please reduce your input."
        )


def vector(text: str, size: int) -> list[float]:
    """Return the vector of a text, of length 1."""
    found = [0.0] * size
    for word in _WORD.findall(text.casefold()) or [text]:
        digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
        number = int.from_bytes(digest, "big")
        found[(number >> 1) % size] += 1.0 if number & 1 else -1.0
    length = math.hypot(*found)
    if not length:
        # Reason: two words may cancel each other out, and a vector needs a direction.
        found[0] = length = 1.0
    return [value / length for value in found]


def _texts(given: Any) -> list[str]:
    """Return the texts of an input: one or several, each text or numbers of tokens."""
    match given:
        case str():
            texts = [given]
        case [int(), *_]:
            texts = [_spelled(given)]
        case [_, *_]:
            texts = [item if isinstance(item, str) else _spelled(item) for item in given]
        case _:
            raise BadRequestError("input: text required")
    if not all(texts):
        raise BadRequestError("input: it cannot be empty")
    return texts


def _spelled(numbers: Any) -> str:
    if not isinstance(numbers, list) or not all(isinstance(number, int) for number in numbers):
        raise BadRequestError("input: text required")
    return " ".join(map(str, numbers))


def _encoded(found: list[float], *, is_base64: bool) -> list[float] | str:
    if is_base64:
        return base64.b64encode(struct.pack(f"<{len(found)}f", *found)).decode()
    return found
