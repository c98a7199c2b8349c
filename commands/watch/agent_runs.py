"""Prints the events of an agent run on a terminal: tokens as they arrive, others as lines."""

import json
import unicodedata
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.markup import escape

Data = dict[str, Any]

COMPLETED = "completed"
# Unicode categories: control and format characters, line and paragraph separators.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Zl", "Zp"})
_JOINER = "\N{ZERO WIDTH JOINER}"  # joins the parts of an emoji
_STYLES = {
    "approval_requested": "bold yellow",
    "approval_decided": "bold",
    "tool_call": "cyan",
    "tool_result": "cyan",
    "error": "red",
    "done": "bold",
}


class RunPrinter:
    """Prints the events of one agent run.

    Args:
        console: Console to print on.
        api: The API's address, for the printed approval command.
        agent_run_id: Run whose events are printed.
    """

    def __init__(self, console: Console, api: str, agent_run_id: str) -> None:
        self._console = console
        self._approve_url = f"{api}/api/v1/agent-runs/{agent_run_id}/approve"
        # Step and attempt of the tokens that were printed last.
        self._printed: tuple[Any, Any] | None = None
        self._is_mid_line = False
        self.exit_code = 1

    def tell(self, event: Data) -> None:
        """Print an event.

        Args:
            event: Event as the WebSocket sends it.
        """
        kind, data = event["kind"], event["data"]
        if kind == "token":
            self._print_token(data)
            return
        self.end_line()
        if kind == "message" and _step_and_attempt(data) == self._printed:
            data = {**data, "text": "as above"}
        at = str(event["created_at"])[:19].replace("T", " ")
        summary = escape(printable(_summary(kind, data)))
        style = _STYLES.get(kind, "default")
        self._print(f"[dim]{event['seq']:>5}  {at}[/]  [{style}]{escape(kind):<18}[/] {summary}")
        if kind == "approval_requested":
            self._print_approval_command(data)
        if kind == "done":
            self.exit_code = 0 if data.get("run_status") == COMPLETED else 1

    def _print_token(self, data: Data) -> None:
        if _step_and_attempt(data) != self._printed:
            # Reason: a new attempt streams the whole answer again.
            self.end_line()
            self._printed = _step_and_attempt(data)
        text = printable(str(data["text"]))
        self._console.print(text, end="", markup=False, emoji=False, soft_wrap=True)
        self._is_mid_line = not text.endswith("\n")

    def end_line(self) -> None:
        """End the current line if it holds tokens."""
        if self._is_mid_line:
            self._console.print()
            self._is_mid_line = False

    def _print_approval_command(self, data: Data) -> None:
        """Print the request with which an administrator approves the tool call."""
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
    """Replace control characters, with which a model could move the terminal's cursor."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if _is_unprintable(each) else each
        for each in text.replace("\r\n", "\n")
    )


def _is_unprintable(character: str) -> bool:
    return character not in f"\n\t{_JOINER}" and unicodedata.category(character) in _UNPRINTABLE


def _step_and_attempt(data: Data) -> tuple[Any, Any]:
    return data.get("step"), data.get("attempt")


def _summary(kind: str, data: Data) -> str:
    """Return an event's data as a line; the data of unknown kinds as JSON."""
    summarize = _SUMMARIES.get(kind)
    return summarize(data) if summarize else json.dumps(data, ensure_ascii=False)


def _step(data: Data) -> str:
    if "passages" in data:
        reason = f" ({data['skipped']['message']})" if "skipped" in data else ""
        return f"{data['step']}: {len(data['passages'])} passages{reason}"
    if "waiting_for" in data:
        return f"{data['step']}: waiting for {data['waiting_for']}"
    parts = (f"{name} {data[name]}" for name in ("step", "attempt", "model") if name in data)
    return ", ".join(parts)


def _call(data: Data) -> str:
    arguments = json.dumps(data.get("arguments"), ensure_ascii=False)
    return f"{data.get('tool')} {arguments}, call_id {data.get('call_id')}"


def _result(data: Data) -> str:
    return f"{data.get('tool')} {json.dumps(data.get('result'), ensure_ascii=False)}"


def _requested(data: Data) -> str:
    effect = f", effect {json.dumps(data['effect'])}" if data.get("effect") else ""
    expiry = f"args_sha256 {data.get('args_sha256')}, expires at {data.get('expires_at')}"
    return f"{_call(data)}{effect}, {expiry}"


def _decided(data: Data) -> str:
    reason = f": {data['reason']}" if data.get("reason") else ""
    return f"{data.get('decision')}{reason}, call_id {data.get('call_id')}"


_SUMMARIES: dict[str, Callable[[Data], str]] = {
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
