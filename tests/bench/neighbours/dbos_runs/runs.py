"""Runs the same model call in three bare DBOS steps: read the question, ask, store the answer.

`runs.py DATABASE_URL MODEL_URL MODEL_KEY TEXT ALONE_COUNT AT_ONCE EACH` prints one line of JSON:
the seconds of each run alone, the seconds of all at once, and the CPU seconds of
this process in both.
"""

import asyncio
import json
import os
import sys
import time
from urllib.parse import urlsplit, urlunsplit

import httpx
from dbos import DBOS, DBOSConfig

SYSTEM_DATABASE = "dbos_bench"
QUESTIONS: dict[str, str] = {}
ANSWERS: dict[str, str] = {}
http: httpx.AsyncClient


@DBOS.step()
async def read_question(run_id: str) -> str:
    """Return the question of a run."""
    return QUESTIONS[run_id]


@DBOS.step()
async def ask_model(question: str) -> str:
    """Call the model, streamed as our own runs do, and return its answer."""
    body = {
        "model": "small",
        "messages": [{"role": "user", "content": question}],
        "stream": True,
    }
    words: list[str] = []
    async with http.stream("POST", "chat/completions", json=body) as reply:
        reply.raise_for_status()
        async for line in reply.aiter_lines():
            if not line.startswith("data: {"):
                continue
            choices = json.loads(line.removeprefix("data: ")).get("choices", ())
            words += [choice["delta"].get("content") or "" for choice in choices]
    return "".join(words)


@DBOS.step()
async def store_answer(run_id: str, answer: str) -> None:
    """Keep the answer of a run."""
    ANSWERS[run_id] = answer


@DBOS.workflow()
async def run(run_id: str) -> str:
    """Read, ask and store, each as a step."""
    answer: str = await ask_model(await read_question(run_id))
    await store_answer(run_id, answer)
    return answer


async def _ask(number: int, text: str) -> None:
    run_id = f"{os.getpid()}-{number}"
    QUESTIONS[run_id] = text
    handle = await DBOS.start_workflow_async(run, run_id)
    assert await handle.get_result(), "an answer"


async def measure(text: str, alone_count: int, at_once: int, each: int) -> dict[str, object]:
    """Run the workflows, some alone, then many at once."""
    await _ask(0, text)
    began_cpu, alone = time.process_time(), []
    for number in range(1, alone_count + 1):
        began = time.monotonic()
        await _ask(number, text)
        alone.append(time.monotonic() - began)
    alone_cpu = time.process_time() - began_cpu

    async def ask_all(asker: int) -> None:
        for number in range(each):
            await _ask(10_000 + asker * each + number, text)

    began, began_cpu = time.monotonic(), time.process_time()
    await asyncio.gather(*[ask_all(asker) for asker in range(at_once)])
    return {
        "alone": alone,
        "alone_cpu": alone_cpu,
        "at_once": time.monotonic() - began,
        "at_once_cpu": time.process_time() - began_cpu,
    }


async def main() -> None:
    """Measure by the command line, and print a line of JSON."""
    global http
    database_url, model_url, key, text, *counts = sys.argv[1:]
    address = urlsplit(database_url)._replace(path=f"/{SYSTEM_DATABASE}")
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": urlunsplit(address),
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=model_url, headers=headers, timeout=60) as http:
        figures = await measure(text, *map(int, counts))
    sys.stdout.write(f"{json.dumps(figures)}\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
