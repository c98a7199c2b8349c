"""Answers that are given again: to the same user, for the same request, and for nothing."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import select, text, update

from config import Settings
from database.llm.answer_cache import AnswerCacheRepository
from database.llm.models import CachedAnswer
from database.session import Sessions
from tests.api.agents.test_agent_runs import events
from tests.api.agents.test_doors import add_agent, folder, forget, run_agent
from tests.api.conftest import MakeCard, Person, subscribe
from tests.unit.agents.support import Model

__all__ = ["folder"]
SPEC = """
tools = ["search_memory"]

[cache]
ttl_hours = 24
"""


@pytest.fixture
def clerk(folder: Path) -> str:
    add_agent(folder, "clerk", SPEC)
    return "clerk"


async def model_calls(person: Person, run: dict[str, Any]) -> list[dict[str, Any]]:
    found = (await person.get(f"agent-runs/{run['agent_run_id']}/steps"))["items"]
    return [call for step in found for call in step["model_calls"]]


async def rows_of(sessions: Sessions, person: Person) -> list[CachedAnswer]:
    async with sessions() as session:
        statement = select(CachedAnswer).where(CachedAnswer.user_id == person.user_id)
        return list(await session.scalars(statement))


async def test_the_same_question_is_answered_again_for_nothing(
    customer: Person, model: Model, clerk: str
) -> None:
    mark = f"when do you open {uuid4().hex}"
    await model.script({"text": "At nine."}, {"text": "At ten."}, match=mark)
    first = await run_agent(customer, clerk, mark)
    second = await run_agent(customer, clerk, mark)
    assert (first["output"], second["output"]) == ("At nine.", "At nine.")
    assert len(await model.calls(mark)) == 1
    assert second["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "cost_cents": 0.0}
    assert second["finish_reason"] == "stop"
    (call,) = await model_calls(customer, second)
    assert (call["outcome"], call["is_estimated"], call["attempt"]) == ("cached", False, 1)
    assert call["model"] == "gpt-4.1"
    told = await events(customer, second)
    assert [each["kind"] for each in told][-5:] == ["step", "token", "message", "status", "done"]
    assert told[-5]["data"] == {"step": 0, "attempt": 1, "model": "gpt-4.1", "is_cached": True}
    assert told[-4]["data"]["text"] == told[-3]["data"]["text"] == "At nine."


async def test_an_agent_without_a_cache_asks_again(customer: Person, model: Model) -> None:
    mark = f"when do you open {uuid4().hex}"
    await model.script({"text": "At nine."}, {"text": "At ten."}, match=mark)
    outputs = [(await run_agent(customer, "research", mark))["output"] for _ in range(2)]
    assert outputs == ["At nine.", "At ten."]


async def test_an_answer_never_goes_to_another_user(
    customer: Person, other: Person, admin: Person, card: MakeCard, model: Model, clerk: str
) -> None:
    await subscribe(other, admin, card)
    mark = f"when do you open {uuid4().hex}"
    await model.script({"text": "At nine."}, {"text": "At ten."}, match=mark)
    assert (await run_agent(customer, clerk, mark))["output"] == "At nine."
    assert (await run_agent(other, clerk, mark))["output"] == "At ten."


async def test_an_answer_expires_and_its_row_is_deleted(
    customer: Person, model: Model, clerk: str, sessions: Sessions
) -> None:
    mark = f"when do you open {uuid4().hex}"
    await model.script({"text": "At nine."}, {"text": "At ten."}, match=mark)
    await run_agent(customer, clerk, mark)
    (row,) = await rows_of(sessions, customer)
    assert round((row.expires_at - row.created_at).total_seconds()) == 24 * 3_600
    past = text("now() - interval '1 second'")
    async with sessions.begin() as session:
        await session.execute(
            update(CachedAnswer)
            .where(CachedAnswer.cached_answer_id == row.cached_answer_id)
            .values(expires_at=past)
        )
    assert (await run_agent(customer, clerk, mark))["output"] == "At ten."
    (renewed,) = await rows_of(sessions, customer)
    assert renewed.expires_at > row.expires_at
    async with sessions.begin() as session:
        assert await AnswerCacheRepository(session).prune(10) == 0
        await session.execute(
            update(CachedAnswer)
            .where(CachedAnswer.user_id == customer.user_id)
            .values(expires_at=past)
        )
        assert await AnswerCacheRepository(session).prune(10) == 1
    assert await rows_of(sessions, customer) == []


async def test_what_is_no_finished_answer_is_not_kept(
    customer: Person, model: Model, clerk: str, sessions: Sessions
) -> None:
    """A tool call, an answer that is cut off, and one that the provider filtered."""
    mark = f"when do you open {uuid4().hex}"
    call = {"tool_calls": [{"name": "search_memory", "arguments": {"query": "x"}}]}
    endings = ({"finish_reason": "length"}, {"finish_reason": "content_filter"})
    for item in endings:
        await model.script({"text": "At", **item}, match=mark)
        assert (await run_agent(customer, clerk, mark))["run_status"] == "failed"
    assert await rows_of(sessions, customer) == []
    await model.script(call, {"text": "At nine."}, match=mark)
    assert (await run_agent(customer, clerk, mark))["output"] == "At nine."
    (row,) = await rows_of(sessions, customer)  # of the last step only
    assert row.reply_data["tool_calls"] == []
    await model.script(call, {"text": "At ten."}, match=mark)
    again = await run_agent(customer, clerk, mark)
    assert (await model_calls(customer, again))[0]["outcome"] == "succeeded"


async def test_an_answer_from_the_cache_needs_no_budget(
    customer: Person, model: Model, clerk: str
) -> None:
    """It is found before anything is reserved, and under the length that the agent asks for."""
    mark = f"when do you open {uuid4().hex}"
    await model.script({"text": "At nine."}, match=mark)
    first = await run_agent(customer, clerk, mark)
    assert first["output"] == "At nine."
    begun = await customer.post("agent-runs", agent=clerk, input=mark, budget={"token_count": 1})
    path = f"agent-runs/{begun.json()['agent_run_id']}"
    poor = await customer.get(path, wait="20s")
    assert (poor["run_status"], poor["output"]) == ("completed", "At nine."), poor


@pytest.fixture
async def without_the_table(settings: Settings) -> AsyncIterator[None]:
    """Take the table of the cache away while the test runs."""
    rename = "ALTER TABLE {} RENAME TO {}"
    url = settings.database_url
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(rename.format("llm_cache", "llm_cache_away").encode())
        yield
        await connection.execute(rename.format("llm_cache_away", "llm_cache").encode())


@pytest.mark.usefixtures("without_the_table")
async def test_a_cache_that_fails_fails_no_run(customer: Person, model: Model, clerk: str) -> None:
    mark = f"when do you open {uuid4().hex}"
    await model.script({"text": "At nine."}, {"text": "At ten."}, match=mark)
    outputs = [(await run_agent(customer, clerk, mark))["output"] for _ in range(2)]
    assert outputs == ["At nine.", "At ten."]


async def test_an_answer_that_cannot_be_read_is_asked_for_again(
    customer: Person, model: Model, clerk: str, sessions: Sessions
) -> None:
    mark = f"when do you open {uuid4().hex}"
    await model.script({"text": "At nine."}, {"text": "At ten."}, match=mark)
    await run_agent(customer, clerk, mark)
    async with sessions.begin() as session:
        await session.execute(
            update(CachedAnswer)
            .where(CachedAnswer.user_id == customer.user_id)
            .values(reply_data={"of": "an earlier release"})
        )
    assert (await run_agent(customer, clerk, mark))["output"] == "At ten."


async def test_another_version_of_the_prompt_asks_again(
    customer: Person, admin: Person, model: Model, clerk: str, folder: Path
) -> None:
    mark = f"when do you open {uuid4().hex}"
    await model.script({"text": "At nine."}, {"text": "At ten."}, match=mark)
    await run_agent(customer, clerk, mark)
    # The same words: only the version differs.
    (folder / "prompts" / clerk / "v2.md").write_text("You help.", encoding="utf-8")
    forget()
    body = {"agent": clerk, "input": mark, "user_id": str(customer.user_id)}
    begun = (await admin.post("agent-runs", **body, prompt_version="v2")).json()
    run = await customer.get(f"agent-runs/{begun['agent_run_id']}", wait="20s")
    assert (run["prompt_version"], run["output"]) == ("v2", "At ten.")


async def test_json_from_the_cache_is_data_again(
    customer: Person, model: Model, folder: Path
) -> None:
    schema = '[output_schema]\ntype = "object"\nrequired = ["at"]'
    add_agent(folder, "timetable", f"{schema}\n[cache]\nttl_hours = 1")
    mark = f"when do you open {uuid4().hex}"
    await model.script({"text": "At nine."}, {"text": '{"at": 9}'}, match=mark)
    first = await run_agent(customer, "timetable", mark)
    assert first["output_data"] == {"at": 9}
    # The answer that did not fit is not kept, so the first step asks again.
    await model.script({"text": '{"at": 10}'}, match=mark)
    second = await run_agent(customer, "timetable", mark)
    third = await run_agent(customer, "timetable", mark)
    assert second["output_data"] == third["output_data"] == {"at": 10}
    assert third["usage"]["cost_cents"] == 0
