"""Answers the requests of batches, and writes the files that they are read from."""

import time
from collections.abc import Iterator
from typing import Any

import orjson

from sandbox.llm import behaviours, openai_wire, rules, tokens
from sandbox.llm.batch_store import BatchStore
from sandbox.llm.behaviours import Case
from sandbox.llm.conversation import Asked, Refusal, Usage
from sandbox.llm.script import Item
from sandbox.llm.store import Arrival, Store

FAILS, EXPIRES, ERROR_LINE = "batch_fails", "batch_expires", "batch_error_line"
# What the log has as the status of requests that were canceled, or that nobody has answered.
CANCELED_STATUS, UNANSWERED_STATUS = 499, 504

Json = dict[str, Any]


class BatchWork:
    """Gets on with the batches.

    Args:
        store: The log of requests.
        batches: Batches and their files.
    """

    def __init__(self, store: Store, batches: BatchStore) -> None:
        self._store = store
        self._batches = batches

    def get_on(self) -> None:
        """Bring all batches to where they are by now."""
        now = time.time()
        for batch, items, due_at in self._batches.under_way():
            stamp = int(now)
            if batch["status"] == "cancelling":
                self._log_unanswered(batch, items, CANCELED_STATUS)
                self._batches.save(batch | {"status": "cancelled", "cancelled_at": stamp})
            elif now >= due_at:
                self._batches.save(batch | self._ended(batch, items, stamp))
            elif batch["status"] == "validating":
                self._batches.save(batch | {"status": "in_progress", "in_progress_at": stamp})

    def _ended(self, batch: Json, items: list[Json], stamp: int) -> Json:
        orders = {item.get("behaviour") for item in items}
        lines = list(lines_of(self._batches.input_of(batch)))
        if orders & {FAILS, EXPIRES}:
            self._log_unanswered(batch, items, UNANSWERED_STATUS)
        if FAILS in orders:
            words = "Enqueued token limit reached for gpt-4.1 in organization org-odd."
            error = {"code": "token_limit_exceeded", "message": words, "param": None, "line": None}
            errors = {"object": "list", "data": [error]}
            return {"status": "failed", "failed_at": stamp, "errors": errors}
        if EXPIRES in orders:
            outputs = [_unexecuted(line) for line in lines]
            ended = {"status": "expired", "expired_at": stamp}
        else:
            outputs = [
                self._answered(line, Item.model_validate(item))
                for line, item in zip(lines, items, strict=True)
            ]
            ended = {"status": "completed", "finalizing_at": stamp, "completed_at": stamp}
        good = [each for each in outputs if _is_good(each)]
        bad = [each for each in outputs if not _is_good(each)]
        counts = {"total": len(outputs), "completed": len(good), "failed": len(bad)}
        files = {"output_file_id": self._written(good), "error_file_id": self._written(bad)}
        return ended | files | {"request_counts": counts}

    def _log_unanswered(self, batch: Json, items: list[Json], status: int) -> None:
        """Log the requests of a batch that nobody answers; they cost nothing."""
        for line, item in zip(lines_of(self._batches.input_of(batch)), items, strict=True):
            body = line["body"]
            arrival = Arrival(openai_wire.PATH, body["model"], body, False, bool(item))
            behaviour, words = item.get("behaviour"), "nobody has answered it"
            seq = self._store.log(arrival)
            facts: Json = {"behaviour": behaviour, "refusal": words, "is_complete": True}
            self._store.end(seq, status=status, **facts)

    def _written(self, outputs: list[Json]) -> str | None:
        """Write a file with these lines, if there are any."""
        if not outputs:
            return None
        text = "".join(orjson.dumps(each).decode() + "\n" for each in outputs)
        made: str = self._batches.add_file("batch_output", "output.jsonl", text, None)["id"]
        return made

    def _answered(self, line: Json, item: Item) -> Json:
        """Answer one request, and log it as any other call."""
        body = line["body"]
        asked = openai_wire.read(body)
        arrival = Arrival(openai_wire.PATH, asked.model, body, False, item != Item())
        seq, prompt_tokens = self._store.log(arrival), tokens.prompt_tokens(asked)
        facts: Json = {"is_complete": True, "behaviour": item.behaviour}
        if (error := _ordered_error(asked, body, item, prompt_tokens)) is not None:
            self._store.end(seq, status=error[0], refusal=error[1]["error"]["message"], **facts)
            return _output(line, seq, *error)
        answer = item.answer() or rules.answer(asked)
        steps = tokens.steps(answer.text, answer.calls)
        kept = steps[: asked.max_tokens]
        reason = item.finish_reason or ("tool_calls" if answer.calls else "stop")
        reason = "length" if len(kept) < len(steps) else reason
        shown = None if item.no_finish_reason else reason
        spent = {"prompt_tokens": prompt_tokens, "completion_tokens": len(kept)}
        self._store.end(seq, status=200, finish_reason=shown, **spent, **facts)
        whole = openai_wire.Writer(seq, asked).whole(kept, shown, Usage(**spent))
        return _output(line, seq, 200, whole)


def _ordered_error(
    asked: Asked, body: Json, item: Item, prompt_tokens: int
) -> tuple[int, Json] | None:
    """Return status and body of the error that is ordered for a request, if any."""
    if item.behaviour == ERROR_LINE:
        return 500, openai_wire.error(500, "The server had an error processing your request.")
    if item.status is not None:
        words = item.message or f"ordered: {item.status}"
        return item.status, openai_wire.error(item.status, words, item.code)
    if item.behaviour is None:
        return None
    case = Case(asked, body, False, prompt_tokens, item.window)
    verdict = behaviours.find(item.behaviour)(case)
    # Reason: other behaviours are about streams, and there is none.
    if not isinstance(verdict, Refusal):
        return None
    refusal = openai_wire.error(verdict.status, verdict.message, verdict.code)
    refusal["error"]["param"] = verdict.param
    return verdict.status, refusal


def lines_of(content: str) -> Iterator[Json]:
    """Yield the requests of an input file."""
    for line in content.splitlines():
        if line.strip():
            yield orjson.loads(line)


def _output(line: Json, seq: int, status: int, body: Json) -> Json:
    response = {"status_code": status, "request_id": f"req_{seq:08d}", "body": body}
    head = {"id": f"batch_req_{seq:08d}", "custom_id": line["custom_id"]}
    return {**head, "response": response, "error": None}


def _unexecuted(line: Json) -> Json:
    words = "This request could not be executed before the completion window expired."
    error = {"code": "batch_expired", "message": words}
    head = {"id": f"batch_req_{line['custom_id']}", "custom_id": line["custom_id"]}
    return {**head, "response": None, "error": error}


def _is_good(output: Json) -> bool:
    response = output["response"]
    return response is not None and response["status_code"] == 200
