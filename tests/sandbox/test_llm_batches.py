"""Files and batches of the models' stand-in, as the openai SDK sees them."""

import asyncio
import json
from itertools import count
from typing import Any, Literal

import openai
import pytest
from openai.types import Batch, FileDeleted, FileObject
from openai.types.chat import ChatCompletion

from tests.sandbox import llm_server
from tests.sandbox.llm_server import ModelServer, strictly

CHAT: Literal["/v1/chat/completions"] = "/v1/chat/completions"
_NUMBERS = count()


@pytest.fixture
def mark() -> str:
    return f"batch-{next(_NUMBERS)}-of-requests"


def line(text: str, custom_id: str = "one", **more: Any) -> str:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **more}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body})


async def upload(client: openai.AsyncOpenAI, *lines: str) -> FileObject:
    content = "\n".join(lines).encode()
    lifetime: Any = {"anchor": "created_at", "seconds": 3_600}
    return await client.files.create(
        file=("requests.jsonl", content), purpose="batch", expires_after=lifetime
    )


async def create(client: openai.AsyncOpenAI, *lines: str, **metadata: str) -> Batch:
    file = await upload(client, *lines)
    return await client.batches.create(
        input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata=metadata
    )


async def ended(client: openai.AsyncOpenAI, batch: Batch) -> Batch:
    async with asyncio.timeout(60):
        while batch.status in {"validating", "in_progress", "finalizing", "cancelling"}:
            await asyncio.sleep(0.05)
            batch = await client.batches.retrieve(batch.id)
    return batch


async def lines_of(client: openai.AsyncOpenAI, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    content = await client.files.content(file_id)
    return [json.loads(each) for each in content.text.splitlines()]


async def test_a_batch_is_answered_in_a_file(models: ModelServer, mark: str) -> None:
    models.script({"match": mark, "text": "Well, well."})
    async with models.openai() as client:
        made = await create(client, line(mark), note="x")
        assert (made.status, made.metadata, made.endpoint) == ("validating", {"note": "x"}, CHAT)
        assert models.requests(mark) == []
        done = await ended(client, made)
        assert done.status == "completed"
        assert done.request_counts is not None
        assert done.request_counts.model_dump() == {"total": 1, "completed": 1, "failed": 0}
        (output,) = await lines_of(client, done.output_file_id)
        assert done.error_file_id is None
    assert (output["custom_id"], output["error"]) == ("one", None)
    assert output["response"]["status_code"] == 200
    body = json.dumps(output["response"]["body"]).encode()
    whole = strictly(ChatCompletion, body)
    assert whole.choices[0].message.content == "Well, well."
    (log,) = models.requests(mark)
    assert whole.usage is not None
    assert (log["prompt_tokens"], log["completion_tokens"]) == (
        whole.usage.prompt_tokens,
        whole.usage.completion_tokens,
    )
    assert (log["path"], log["is_stream"], log["is_complete"]) == (CHAT, False, True)


async def test_shapes_are_the_sdks(models: ModelServer, mark: str) -> None:
    async with models.openai() as client:
        made = await create(client, line(mark))
        await ended(client, made)
        shown = models.http.get(f"/v1/batches/{made.id}").content
        strictly(Batch, shown)
        file = models.http.get(f"/v1/files/{made.input_file_id}")
        found = strictly(FileObject, file.content)
        assert found.expires_at == found.created_at + 3_600
        assert (found.purpose, found.bytes) == ("batch", len(line(mark)))
        gone = models.http.delete(f"/v1/files/{made.input_file_id}")
        assert strictly(FileDeleted, gone.content).deleted
        with pytest.raises(openai.NotFoundError):
            await client.files.retrieve(made.input_file_id)
        with pytest.raises(openai.NotFoundError):
            await client.batches.retrieve("batch_99999999")
        with pytest.raises(openai.BadRequestError):
            await client.batches.create(
                input_file_id="file-0", endpoint=CHAT, completion_window="24h"
            )


async def test_the_list_begins_with_the_newest_and_has_pages(
    models: ModelServer, mark: str
) -> None:
    async with models.openai() as client:
        made = [(await create(client, line(mark))).id for _ in range(3)]
        first = await client.batches.list(limit=2)
        assert [each.id for each in first.data] == [made[2], made[1]]
        assert first.has_more
        second = await client.batches.list(limit=2, after=made[1])
        assert second.data[0].id == made[0]


async def test_a_batch_is_canceled(models: ModelServer, mark: str) -> None:
    models.script({"match": mark, "behaviour": "batch_slow"})
    async with models.openai() as client:
        made = await create(client, line(mark))
        assert (await client.batches.cancel(made.id)).status == "cancelling"
        done = await ended(client, made)
        assert (done.status, done.output_file_id) == ("cancelled", None)
        (log,) = models.requests(mark)
        assert (log["status"], log["prompt_tokens"]) == (499, 0)
        with pytest.raises(openai.ConflictError, match="Cannot cancel"):
            await client.batches.cancel(made.id)


async def test_what_can_become_of_a_batch(models: ModelServer, mark: str) -> None:
    async with models.openai() as client:

        async def play(behaviour: str) -> Batch:
            models.script({"match": f"{mark} {behaviour}", "behaviour": behaviour})
            return await ended(client, await create(client, line(f"{mark} {behaviour}")))

        failed = await play("batch_fails")
        assert (failed.status, failed.output_file_id, failed.error_file_id) == (
            "failed",
            None,
            None,
        )
        assert failed.errors is not None
        assert failed.errors.data is not None
        assert failed.errors.data[0].code == "token_limit_exceeded"
        expired = await play("batch_expires")
        assert (expired.status, expired.output_file_id) == ("expired", None)
        (unexecuted,) = await lines_of(client, expired.error_file_id)
        assert unexecuted["response"] is None
        assert unexecuted["error"]["code"] == "batch_expired"
        odd = await play("batch_error_line")
        assert (odd.status, odd.output_file_id) == ("completed", None)
        (error,) = await lines_of(client, odd.error_file_id)
        assert (error["error"], error["response"]["status_code"]) == (None, 500)
        refused = await play("no_temperature")
        assert refused.status == "completed"  # it was sent without one
    used = [
        (call["behaviour"], call["status"], call["completion_tokens"] > 0)
        for call in models.requests(mark)
    ]
    assert used == [
        ("batch_fails", 504, False),
        ("batch_expires", 504, False),
        ("batch_error_line", 500, False),
        ("no_temperature", 200, True),
    ]


async def test_a_refused_parameter_is_an_error_line(models: ModelServer, mark: str) -> None:
    models.script({"match": mark, "behaviour": "no_temperature"})
    async with models.openai() as client:
        done = await ended(client, await create(client, line(mark, temperature=0)))
        (error,) = await lines_of(client, done.error_file_id)
    assert error["response"]["status_code"] == 400
    assert "temperature" in error["response"]["body"]["error"]["message"]


async def test_an_answer_that_is_lost_leaves_a_batch(models: ModelServer, mark: str) -> None:
    models.script({"match": mark, "behaviour": "batch_answer_lost"})
    async with models.openai() as client:
        with pytest.raises(openai.APIConnectionError):
            await create(client, line(mark), call=mark)
        listed = await client.batches.list(limit=1)
        assert listed.data[0].metadata == {"call": mark}
    assert [each["metadata"] for each in batches(models, mark)] == [{"call": mark}]


def batches(models: ModelServer, mark: str) -> list[dict[str, Any]]:
    items = models.http.get("/_sandbox/batches").raise_for_status().json()["items"]
    return [each for each in items if mark in each["input"]]


@pytest.mark.parametrize("path", ["/v1/files", "/v1/batches", "/v1/batches/read"])
async def test_faults_of_the_routes_are_scripted(models: ModelServer, mark: str, path: str) -> None:
    models.script(
        {"match": mark, "path": path, "status": 429, "retry_after": 7},
        {"match": mark, "path": path, "disconnect_after": 0},
    )
    async with models.openai() as client:

        async def play() -> None:
            batch = await create(client, line(mark))
            await client.batches.retrieve(batch.id)

        with pytest.raises(openai.RateLimitError) as limited:
            await play()
        assert limited.value.response.headers["retry-after"] == "7"
        with pytest.raises(openai.APIConnectionError):
            await play()
        await play()


async def test_batches_outlive_the_process(
    tmp_path_factory: pytest.TempPathFactory, mark: str
) -> None:
    data = tmp_path_factory.mktemp("llm")
    first = llm_server.start(data, "--batch-seconds", "0.3")
    async with first.openai() as client:
        made = await create(client, line(mark))
    first.kill()
    second = llm_server.start(data)
    async with second.openai() as client:
        assert (await ended(client, made)).status == "completed"
    second.stop()
