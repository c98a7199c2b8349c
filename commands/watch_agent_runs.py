"""How a run of an agent is told on a terminal: tokens as they come, all else one line each."""

import json
import unicodedata
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.markup import escape

Data = dict[str, Any]

COMPLETED = "completed"
# Of Unicode: controls, what changes the direction of writing, and other ends of a line.
_UNSEEN = frozenset({"Cc", "Cf", "Zl", "Zp"})
_JOINER = "\N{ZERO WIDTH JOINER}"  # of emoji
_STYLES = {
    "approval_requested": "bold yellow",
    "approval_decided": "bold",
    "tool_call": "cyan",
    "tool_result": "cyan",
    "error": "red",
    "done": "bold",
}


class RunPrinter:
    """Tells one run, event by event.

    Args:
        console: Where to.
        api: The API's address, for what a person may do.
        agent_run_id: Which run.
    """

    def __init__(self, console: Console, api: str, agent_run_id: str) -> None:
        self._console = console
        self._approve_url = f"{api}/api/v1/agent-runs/{agent_run_id}/approve"
        # Step and attempt of the text that stands on the terminal.
        self._written: tuple[Any, Any] | None = None
        self._is_mid_line = False
        self.exit_code = 1

    def tell(self, event: Data) -> None:
        """Print an event.

        Args:
            event: As the WebSocket sends it.
        """
        kind, data = event["kind"], event["data"]
        if kind == "token":
            self._write(data)
            return
        self.end_line()
        if kind == "message" and _place(data) == self._written:
            data = {**data, "text": "as above"}
        at = str(event["created_at"])[:19].replace("T", " ")
        words = escape(printable(_words(kind, data)))
        style = _STYLES.get(kind, "default")
        self._print(f"[dim]{event['seq']:>5}  {at}[/]  [{style}]{escape(kind):<18}[/] {words}")
        if kind == "approval_requested":
            self._explain(data)
        if kind == "done":
            self.exit_code = 0 if data.get("run_status") == COMPLETED else 1

    def _write(self, data: Data) -> None:
        if _place(data) != self._written:
            # Reason: a new attempt says it all again, from the beginning.
            self.end_line()
            self._written = _place(data)
        text = printable(str(data["text"]))
        self._console.print(text, end="", markup=False, emoji=False, soft_wrap=True)
        self._is_mid_line = not text.endswith("\n")

    def end_line(self) -> None:
        """End the line of an answer that is still being written."""
        if self._is_mid_line:
            self._console.print()
            self._is_mid_line = False

    def _explain(self, data: Data) -> None:
        """Say what an administrator would send to say yes."""
        body = {name: data.get(name) for name in ("call_id", "args_sha256")}
        text = json.dumps({**body, "decision": "approve"})
        lines = (
            f"curl -X POST {self._approve_url} \\",
            '  -H "X-API-Key: $PERDURE_ADMIN_API_KEY" -H "Content-Type: application/json" \\',
            f"  -d '{text}'",
        )
        for line in lines:
            self._print(f"       {escape(printable(line))}")

    def _print(self, line: str) -> None:
        self._console.print(line, emoji=False, soft_wrap=True)


def printable(text: str) -> str:
    """Return a text without what moves a terminal's cursor; models write whatever they like."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if _is_unseen(each) else each
        for each in text.replace("\r\n", "\n")
    )


def _is_unseen(character: str) -> bool:
    return character not in f"\n\t{_JOINER}" and unicodedata.category(character) in _UNSEEN


def _place(data: Data) -> tuple[Any, Any]:
    return data.get("step"), data.get("attempt")


def _words(kind: str, data: Data) -> str:
    """Return an event's facts as a line, those of unknown kinds as they are."""
    say = _SAYINGS.get(kind)
    return say(data) if say else json.dumps(data, ensure_ascii=False)


def _step(data: Data) -> str:
    if "passages" in data:
        why = f" ({data['skipped']['message']})" if "skipped" in data else ""
        return f"{data['step']}: {len(data['passages'])} passages{why}"
    if "waiting_for" in data:
        return f"{data['step']}: waiting for {data['waiting_for']}"
    named = (f"{name} {data[name]}" for name in ("step", "attempt", "model") if name in data)
    return ", ".join(named)


def _call(data: Data) -> str:
    arguments = json.dumps(data.get("arguments"), ensure_ascii=False)
    return f"{data.get('tool')} {arguments}, call_id {data.get('call_id')}"


def _result(data: Data) -> str:
    return f"{data.get('tool')} {json.dumps(data.get('result'), ensure_ascii=False)}"


def _requested(data: Data) -> str:
    effect = f", would do {json.dumps(data['effect'])}" if data.get("effect") else ""
    until = f"args_sha256 {data.get('args_sha256')}, until {data.get('expires_at')}"
    return f"{_call(data)}{effect}, {until}"


def _decided(data: Data) -> str:
    because = f": {data['reason']}" if data.get("reason") else ""
    return f"{data.get('decision')}{because}, call_id {data.get('call_id')}"


_SAYINGS: dict[str, Callable[[Data], str]] = {
    "status": lambda data: str(data.get("run_status")),
    "step": _step,
    "tool_call": _call,
    "tool_result": _result,
    "approval_requested": _requested,
    "approval_decided": _decided,
    "message": lambda data: f"{data.get('role')}: {data.get('text')}",
    "error": lambda data: f"{data.get('code')}: {data.get('message')}",
    "done": lambda data: str(data.get("run_status")),
}
