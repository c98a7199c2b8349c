"""OpenAI's batches: a file with one request, a batch of it, and the files that it is read from."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import openai

from adapters.llm.asking import Wire, translate_errors
from adapters.llm.batches import (
    BATCHES_UNSUPPORTED,
    CANCELED,
    EXPIRED,
    FAILED,
    error_of_answer,
    error_without_answer,
    reply_of,
)
from adapters.llm.errors import MALFORMED, unreadable
from adapters.llm.provider import BatchResult, Incoming, Progress
from adapters.llm.providers.openai_answer import OpenAIAnswer
from adapters.llm.reading import Json, a_count, a_text, an_object, objects
from adapters.llm.refusals import Refusals
from domain.errors import ApplicationError, ProviderRejectedError, ProviderUnavailableError
from domain.llm.messages import ModelReply, ModelRequest

_ENDPOINT = "/v1/chat/completions"
# Name of the batch's metadata that has our key of the call.
_CALL = "call"
# How long the provider keeps the request and its answer; without this, requests for 30 days and
# answers for ever.
_KEEP_SECONDS = 3 * 24 * 3_600
_PAGE_SIZE = 100
# Reason: our clock and the provider's may differ.
_CLOCK_SLACK = timedelta(minutes=10)
_OF_STREAMS = frozenset({"stream", "stream_options"})
_UNDER_WAY = frozenset({"validating", "in_progress", "finalizing", "cancelling"})
_ENDS = {"failed": FAILED, "expired": EXPIRED, "cancelled": CANCELED}


class OpenAIBatches:
    """Batch endpoint of OpenAI, and of servers that are compatible with it.

    Args:
        client: Client of the SDK, without retries of its own.
        wire: Protocol of the same provider, for the requests and the errors.
        refusals: Parameters that the models have refused before.
    """

    def __init__(self, client: openai.AsyncOpenAI, wire: Wire, refusals: Refusals) -> None:
        self._client = client
        self._wire = wire
        self._refusals = refusals

    async def create(self, request: ModelRequest, key: str) -> str:
        """Create a batch with one request; see `BatchEndpoint`."""
        body = self._refusals.apply(request.model, self._body(request))
        line = {"custom_id": key, "method": "POST", "url": _ENDPOINT, "body": body}
        lifetime: Any = {"anchor": "created_at", "seconds": _KEEP_SECONDS}
        try:
            with translate_errors(self._wire, request.model, Progress()):
                file = await self._client.files.create(
                    file=("requests.jsonl", f"{json.dumps(line)}\n".encode()),
                    purpose="batch",
                    expires_after=lifetime,
                )
                order = {
                    "input_file_id": file.id,
                    "endpoint": _ENDPOINT,
                    "completion_window": "24h",
                    "metadata": {_CALL: key},
                    "output_expires_after": lifetime,
                }
                made = await self._client.post("/batches", cast_to=object, body=order)
        except ProviderRejectedError as error:
            if error.details.get("provider_status") not in {404, 405}:
                raise
            raise ProviderRejectedError(
                "the server of the models has no batches", BATCHES_UNSUPPORTED, error.details
            ) from None
        if batch_id := a_text(an_object(made).get("id")):
            return batch_id
        raise unreadable(request.model, Progress())

    async def find(self, key: str, since: datetime) -> str | None:
        """Return the id of the batch that was created under a key; see `BatchEndpoint`."""
        earliest = (since - _CLOCK_SLACK).timestamp()
        params: Json = {"limit": _PAGE_SIZE}
        while True:
            with translate_errors(self._wire, "", Progress()):
                page = an_object(
                    await self._client.get("/batches", cast_to=object, options={"params": params})
                )
            found = objects(page.get("data"))
            for batch in found:
                if an_object(batch.get("metadata")).get(_CALL) == key:
                    return a_text(batch.get("id"))
            # Reason: the list begins with the newest batch.
            is_older = all((a_count(each.get("created_at")) or 0) < earliest for each in found)
            if is_older or not page.get("has_more"):
                return None
            params["after"] = a_text(found[-1].get("id"))

    async def fetch(self, batch_id: str, key: str) -> BatchResult | None:
        """Return what became of a batch; see `BatchEndpoint`."""
        with translate_errors(self._wire, "", Progress()):
            batch = an_object(await self._client.get(f"/batches/{batch_id}", cast_to=object))
            status = a_text(batch.get("status"))
            if status in _UNDER_WAY:
                return None
            for name in ("output_file_id", "error_file_id"):
                if file_id := a_text(batch.get(name)):
                    content = await self._client.files.content(file_id)
                    for line in _lines(content.text):
                        if line.get("custom_id") == key:
                            return _result_in(line)
        errors = objects(an_object(batch.get("errors")).get("data"))
        code = a_text(errors[0].get("code")) if errors else ""
        return BatchResult(_ENDS.get(status, FAILED), provider_code=code)

    def read(self, result: BatchResult, request: ModelRequest, progress: Progress) -> ModelReply:
        """Return the answer in a result; see `BatchEndpoint`."""
        # Reason: only requests that were answered are paid for.
        progress.was_sent = result.status == 200
        if result.status is None:
            raise error_without_answer(result, request.model)
        if not progress.was_sent:
            raise self._refused(result, request)
        incoming = Incoming(request, lambda _: None, progress)
        incoming.begin()
        answer = OpenAIAnswer(incoming)
        with translate_errors(self._wire, request.model, progress):
            answer.take(result.body)
        return reply_of(answer, incoming, request.model)

    async def cancel(self, batch_id: str) -> None:
        """Ask the provider to cancel a batch; see `BatchEndpoint`."""
        try:
            with translate_errors(self._wire, "", Progress()):
                await self._client.post(f"/batches/{batch_id}/cancel", cast_to=object)
        except ApplicationError as error:
            # Reason: a batch that has ended is not canceled any more, which is told by 409 or 400.
            if error.details.get("provider_status") not in {400, 409}:
                raise

    def _refused(self, result: BatchResult, request: ModelRequest) -> ApplicationError:
        """Return the error of a refused request; a refused parameter is left out next time."""
        error, fault = error_of_answer(result, request.model)
        words = f"{fault.message} {fault.codes[0] or ''}"
        is_parameter = error.error_code == "model_rejected" and fault.status in MALFORMED
        if is_parameter and self._refusals.learn(
            request.model, self._body(request), words, fault.param
        ):
            return ProviderUnavailableError(error.message, error.error_code, error.details)
        return error

    def _body(self, request: ModelRequest) -> Json:
        body = self._wire.request(request)
        return {name: value for name, value in body.items() if name not in _OF_STREAMS}


def _lines(content: str) -> Iterator[Json]:
    for line in content.splitlines():
        if line.strip():
            yield an_object(json.loads(line))


def _result_in(line: Json) -> BatchResult:
    """Return the result in the line of our request."""
    response, error = an_object(line.get("response")), an_object(line.get("error"))
    if response:
        status = a_count(response.get("status_code")) or 500
        return BatchResult(None, status, an_object(response.get("body")))
    code = a_text(error.get("code"))
    ends = {"batch_expired": EXPIRED, "batch_cancelled": CANCELED}
    return BatchResult(ends.get(code, FAILED), provider_code=code)
