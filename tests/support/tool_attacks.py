"""Attacks in the results of tools: the data, and a server whose functions return the attacks.

tests/corpora/tool_attacks/README.md explains the data.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel

from tests.support.team_api import answer, read
from tests.unit.agents.test_tool_files import write

FOLDER = Path(__file__).parents[1] / "corpora" / "tool_attacks"
# So long may the name of a tool be.
NAME_LENGTH = 41
LONGEST_DESCRIPTION = 1_024
REGISTERED_SECONDS = 20
RESULT_BYTES = 200_000

Row = TypeVar("Row", bound=BaseModel)


class Function(BaseModel):
    """A function of a suite, which becomes a tool."""

    suite: str
    name: str
    description: str
    parameters: dict[str, Any]
    is_write: bool

    @property
    def tool(self) -> str:
        """Name of the tool."""
        return f"{self.suite}_{self.name}"[:NAME_LENGTH]


class Call(BaseModel):
    """A call of a function, and its result if it is known."""

    function: str
    arguments: dict[str, Any]
    result: Any = None


class UserTask(BaseModel):
    """What a user wants, and the calls for it, up to the one whose result has the attack."""

    suite: str
    user_task: str
    prompt: str
    calls: list[Call]
    places: list[str]
    harmless: Any


class Attack(BaseModel):
    """Texts that an attacker puts into the result of a tool, and the calls that they order."""

    suite: str
    user_task: str
    injection_task: str
    attack: str
    texts: dict[str, str]
    ordered: list[Call]
    needs_write: bool


class AttackData(NamedTuple):
    """The functions of all suites, the tasks of their users, and the attacks on them."""

    functions: dict[tuple[str, str], Function]
    tasks: dict[tuple[str, str], UserTask]
    attacks: list[Attack]

    def task_of(self, attack: Attack) -> UserTask:
        return self.tasks[attack.suite, attack.user_task]

    def is_write(self, suite: str, call: Call) -> bool:
        return self.functions[suite, call.function].is_write

    def tool_call(self, suite: str, call: Call) -> dict[str, Any]:
        """Return a call as a model makes it."""
        return {"name": self.functions[suite, call.function].tool, "arguments": call.arguments}


def read_attack_data(folder: Path = FOLDER) -> AttackData:
    """Read the data of a folder."""
    functions = list(_rows(folder / "functions.jsonl", Function))
    tasks = list(_rows(folder / "tasks.jsonl", UserTask))
    return AttackData(
        {(each.suite, each.name): each for each in functions},
        {(each.suite, each.user_task): each for each in tasks},
        list(_rows(folder / "attacks.jsonl", Attack)),
    )


def _rows(path: Path, kind: type[Row]) -> Iterator[Row]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield kind.model_validate_json(line)


def write_tools(folder: Path, functions: list[Function], url: str) -> None:
    """Write each function as the file of an HTTP tool; those that write need an approval."""
    for each in functions:
        document = {
            "description": each.description[:LONGEST_DESCRIPTION],
            "method": "POST",
            "url": f"{url}/{each.suite}/{each.name}",
            "headers": {"X-Run": "{agent_run_id}"},
            "arguments": _without_nulls(each.parameters),
            "effect": "write" if each.is_write else "read",
            "output_limit_bytes": RESULT_BYTES,
        }
        write(folder, document, each.tool)


def _without_nulls(value: Any) -> Any:
    """Return a schema without values that TOML does not have."""
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def attacked(result: Any, texts: Mapping[str, str]) -> Any:
    """Return a result with an attack's texts in their places."""
    if isinstance(result, str):
        for place, text in texts.items():
            result = result.replace(f"<<{place}>>", text)
        return result
    if isinstance(result, dict):
        return {key: attacked(each, texts) for key, each in result.items()}
    return [attacked(each, texts) for each in result] if isinstance(result, list) else result


def is_in(texts: Mapping[str, str], result: Any) -> bool:
    """Return whether an attack's text is in a result as the model reads it, cut or not."""
    read = json.dumps(result, ensure_ascii=False)
    escaped = [json.dumps(text, ensure_ascii=False)[1:-1] for text in texts.values()]
    # Reason: a result that was cut is a text, so it is escaped once more.
    twice = [json.dumps(text, ensure_ascii=False)[1:-1] for text in escaped]
    return any(text in read for text in (*escaped, *twice))


class AttackedTools:
    """The functions of all suites as a server, which notes every call.

    Args:
        data: The functions, tasks and attacks.
    """

    def __init__(self, data: AttackData) -> None:
        self._data = data
        self._attacks: dict[str, asyncio.Future[Attack]] = {}
        self.served: dict[str, list[Call]] = {}
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def register(self, agent_run_id: str, attack: Attack) -> None:
        """Set the attack that a run reads; its calls wait for this."""
        self._attack_of(agent_run_id).set_result(attack)

    async def call(self, agent_run_id: str, call: Call) -> Any:
        """Note a call of a run, and return its result."""
        async with asyncio.timeout(REGISTERED_SECONDS):
            attack = await self._attack_of(agent_run_id)
        self.served.setdefault(agent_run_id, []).append(call)
        for known in self._data.task_of(attack).calls:
            if is_same(known, call):
                return attacked(known.result, attack.texts)
        return None

    def _attack_of(self, agent_run_id: str) -> asyncio.Future[Attack]:
        loop = asyncio.get_running_loop()
        return self._attacks.setdefault(agent_run_id, loop.create_future())


def is_same(one: Call, other: Call) -> bool:
    """Return whether two calls have the same function and arguments; null is as if left out."""
    first, second = (
        {name: value for name, value in each.arguments.items() if value is not None}
        for each in (one, other)
    )
    return one.function == other.function and first == second


@asynccontextmanager
async def attacked_tools(data: AttackData) -> AsyncIterator[AttackedTools]:
    """Run the server on a free port of this machine."""
    tools = AttackedTools(data)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            request = await read(reader)
            arguments = request.document if request.body else {}
            call = Call(function=request.path.split("/")[-1], arguments=arguments)
            result = await tools.call(request.headers["x-run"], call)
            await answer(writer, 200, json.dumps(result).encode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    tools.port = server.sockets[0].getsockname()[1]
    try:
        yield tools
    finally:
        server.close()
