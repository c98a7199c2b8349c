"""Starts and stops the demo's own stack, `cli.py up` as a child process."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from commands.demo.checks import DemoError

START_SECONDS = 180
STOP_SECONDS = 15
PAUSE_SECONDS = 0.1
# Reason: with settings for production the demo would move real money and send real mails.
# An empty variable also overrides the one in `.env`.
_OVERRIDES = dict.fromkeys(
    (
        "DATABASE_URL",
        "CHROMA_URL",
        "PUBLIC_URL",
        "AUTH__JWT_SECRET",
        "PERDURE_ADMIN_API_KEY",
        "TEMPORAL__ADDRESS",
        "TEMPORAL__NAMESPACE",
        "TEMPORAL__UI_URL",
        "TEMPORAL__API_KEY",
        "STRIPE__API_KEY",
        "STRIPE__API_BASE",
        "STRIPE__WEBHOOK_SECRET",
        "MAIL__SMTP_HOST",
        "MAIL__SMTP_PORT",
        "LLM__BASE_URL",
        "LLM__API_KEY",
        "LLM__SMALL_MODEL",
        "LLM__FALLBACK_MODEL",
        "EMBEDDINGS__BASE_URL",
    ),
    "",
) | dict.fromkeys(("TEMPORAL__IS_TLS", "STRIPE__IS_LIVE"), "false")
_OVERRIDES |= {"LLM__PROVIDER": "openai", "LLM__MODEL": "gpt-4.1", "MAIL__TLS": "none"}
# Reason: an empty mail user would be sent to the mail sandbox, which has no users; an empty price
# is not a number.
_REMOVED = {
    "MAIL__USERNAME",
    "MAIL__PASSWORD",
    "LLM__PROMPT_CENTS_PER_MILLION",
    "LLM__COMPLETION_CENTS_PER_MILLION",
    "LLM__CACHED_CENTS_PER_MILLION",
    "LLM__CACHE_WRITE_CENTS_PER_MILLION",
}


class DemoStack:
    """A stack in a folder of its own, on free ports.

    Args:
        project: Folder of `cli.py`.
        folder: Folder of the stack's data.
        allowed_host: Private address that webhooks out may be sent to, as `host:port`.
    """

    def __init__(self, project: Path, folder: Path, allowed_host: str) -> None:
        self._allowed_host = allowed_host
        self.log = folder / "up.log"
        self.project = project
        self._folder = folder
        self._stack_file = folder / "stack.json"
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = time.monotonic()

    @property
    def age_seconds(self) -> float:
        """Return the age of the stack in seconds."""
        return time.monotonic() - self._started_at

    def start(self) -> dict[str, Any]:
        """Start the stack, and wait until it is ready.

        Returns:
            Content of `stack.json`.

        Raises:
            DemoError: The stack ended, or did not become ready in time.
        """
        command = [sys.executable, "cli.py", "up", "--data", str(self._folder), "--ports", "auto"]
        command += ["--allow-private", self._allowed_host]
        self._stack_file.unlink(missing_ok=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                command,
                cwd=self.project,
                env=_environment(),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                # Reason: Ctrl-C must reach only the demo, which then stops the stack in order.
                start_new_session=True,
            )
        while self.age_seconds < START_SECONDS:
            if self._process.poll() is not None:
                code = self._process.returncode
                raise DemoError(f"the stack ended with exit code {code} while starting")
            if self._stack_file.exists():
                return self.facts()
            time.sleep(PAUSE_SECONDS)
        raise DemoError(f"the stack was not ready after {START_SECONDS} s")

    def facts(self) -> dict[str, Any]:
        """Return the current content of `stack.json`; pids change when a server restarts."""
        facts: dict[str, Any] = json.loads(self._stack_file.read_text())
        return facts

    def kill_worker(self) -> int:
        """Kill the worker with SIGKILL, and return its pid."""
        pid = int(self.facts()["pids"]["worker"][0])
        os.kill(pid, signal.SIGKILL)
        return pid

    def log_tail(self, count: int) -> list[str]:
        """Return the last lines of the stack's output."""
        return self.log.read_text(errors="replace").splitlines()[-count:]

    def stop(self, *, is_removed: bool) -> None:
        """Stop the stack in order, and remove its folder on request."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        if is_removed:
            shutil.rmtree(self._folder, ignore_errors=True)

    def leave(self, console: Console) -> None:
        """Print the addresses of the running stack, and the command that stops it."""
        facts, process = self.facts(), self._process
        console.print(f"API docs       {facts['api']}/docs")
        console.print(f"Web UI         {facts['temporal_ui']}")
        console.print(f"all addresses  {self._stack_file}")
        if process is not None:
            console.print(f"The stack keeps running; stop it with: kill {process.pid}")


def _environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in _REMOVED}
    return inherited | _OVERRIDES
