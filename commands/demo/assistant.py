"""A customer's way to an agent: documents in, questions, answers as they are written."""

import json
from collections.abc import Iterator

import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from commands.demo.checks import DemoError, expect
from commands.demo.line import Document, Line

AGENT = "research"
CLOSE_DONE = 1000
SILENCE_SECONDS = 30.0


class Assistant:
    """The agent, as one customer sees it."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def ingest(self, title: str, content: str) -> Document:
        """Hand in a document."""
        return self._line.post("documents", {"title": title, "content": content})

    def document(self, document_id: str) -> Document:
        """Look at a document."""
        return self._line.get(f"documents/{document_id}")

    def ask(self, text: str, conversation_id: str | None = None) -> Document:
        """Begin a run."""
        body = {"agent": AGENT, "input": text, "conversation_id": conversation_id}
        return self._line.post("agent-runs", body)

    def run(self, agent_run_id: str) -> Document:
        """Look at a run."""
        return self._line.get(f"agent-runs/{agent_run_id}")

    def tool_calls(self, agent_run_id: str) -> list[Document]:
        """Return the tool calls of a run, as the ledger has them."""
        steps = self._line.get(f"agent-runs/{agent_run_id}/steps")["items"]
        return [call for step in steps for call in step["tool_calls"]]

    def events(self, agent_run_id: str, after: int = 0) -> Iterator[Document]:
        """Yield what a run's stream tells above a number, until the run ends or we leave.

        Raises:
            DemoError: The stream broke, fell silent, or ended otherwise than it should.
        """
        host = self._line.url.replace("http", "ws", 1)
        url = f"{host}/ws/agent-runs/{agent_run_id}?after={after}"
        try:
            with connect(url, additional_headers=self._line.credentials) as socket:
                yield from _received(socket)
        except (WebSocketException, OSError) as error:
            raise DemoError(f"the stream at {url} broke: {error!r}") from error


def _received(socket: ClientConnection) -> Iterator[Document]:
    event: Document = {"kind": None}
    while event["kind"] != "done":
        event = json.loads(socket.recv(timeout=SILENCE_SECONDS))
        yield event
    for _ in socket:
        pass
    code = socket.protocol.close_code
    expect(code == CLOSE_DONE, "the stream was closed in good order", code)


def approve(line: Line, run: Document, args_sha256: str | None = None) -> httpx.Response:
    """Say yes to a run's pending call.

    Args:
        line: Who says it.
        run: As it waits.
        args_sha256: Digest of the arguments that the yes is for; None: those that are pending.

    Returns:
        The answer, which may be a refusal.
    """
    call = run["pending_approvals"][0]
    body = {
        "call_id": call["call_id"],
        "args_sha256": args_sha256 or call["args_sha256"],
        "decision": "approve",
    }
    return line.try_post(f"agent-runs/{run['agent_run_id']}/approve", body)
