"""Runs the whole stack until it is stopped: `python cli.py up`."""

import asyncio
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import starmap
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bootstrap.settings import load_settings
from config import ServingSettings
from stack.addresses import external_services, find_addresses
from stack.data_dir import DataDir, write_private_json
from stack.errors import StackError
from stack.logs import LogRouter, Terminal
from stack.ports import choose_ports, is_free, taken_port_message
from stack.reload import reload_on_change
from stack.service import Service
from stack.services import Plan, build_services
from stack.supervisor import Supervisor

_STYLE = 1
_PORT_TIMEOUT_SECONDS = 2.0
_PORT_INTERVAL_SECONDS = 0.1


def up(
    project: Path,
    data_folder: Path,
    environ: Mapping[str, str],
    *,
    is_auto: bool,
    is_reloading: bool = False,
    is_fast: bool = False,
) -> int:
    """Run the stack until Ctrl-C or SIGTERM.

    Args:
        project: Folder of `cli.py`.
        data_folder: Folder in which all services keep their data.
        environ: The settings as environment variables.
        is_auto: Whether to choose random free ports.
        is_reloading: Whether worker and API start again when the code changes.
        is_fast: Whether the default retry policy waits for seconds instead of days.

    Returns:
        Exit code: 0 after a requested stop, 1 if the stack failed.

    Raises:
        WrongSettingsError: The settings are not valid.
    """
    data = DataDir(data_folder)
    terminal = Terminal()
    failure: StackError | None = None
    try:
        ports = choose_ports(environ, is_auto=is_auto)
        data.open()
        secrets = data.secrets()
        addresses = find_addresses(environ, ports, secrets)
        plan = Plan(project, data, environ, ports, secrets, addresses, is_reloading, is_fast)
        _check_settings(plan)
        asyncio.run(_run_until_signal(plan, terminal))
    except StackError as error:
        failure = error
    except asyncio.CancelledError:
        terminal.say(f"{terminal.prefix('up', _STYLE)} stopped")
    finally:
        data.close()
        terminal.close()
    return _report(failure)


def _check_settings(plan: Plan) -> None:
    """Check the settings of worker and API before anything starts."""
    given: dict[str, Any] = {}
    for name, value in plan.product_environment.items():
        # Reason: what the operator has set is read, and parsed, by the settings themselves.
        if plan.environ.get(name) != value:
            section, _, field = name.lower().rpartition("__")
            (given.setdefault(section, {}) if section else given)[field] = value
    load_settings(ServingSettings, **given)


async def _run_until_signal(plan: Plan, terminal: Terminal) -> None:
    running = asyncio.create_task(_run_stack(plan, terminal))
    loop = asyncio.get_running_loop()
    # Reason: a second signal interrupts the orderly stop; the kernel then ends the other services.
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, running.cancel)
    # Reason: under nohup SIGHUP must stay ignored.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGHUP, running.cancel)
    await running


async def _run_stack(plan: Plan, terminal: Terminal) -> None:
    prefix = terminal.prefix("up", _STYLE)

    def say(text: str) -> None:
        terminal.say(f"{prefix} {text}")

    def publish() -> None:
        if is_ready:
            write_private_json(plan.data.stack_file, _stack_file_content(plan, supervisor.pids))

    is_ready = False
    logs = LogRouter(plan.data.logs, terminal)
    services = build_services(plan)
    await _wait_for_free_ports(services)
    supervisor = Supervisor(services, logs, say, publish)
    try:
        await supervisor.start()
        is_ready = True
        publish()
        terminal.say(_summary(plan))
        if plan.is_reloading:
            reloading = reload_on_change(plan.project, supervisor.reload, say)
            await asyncio.gather(supervisor.watch(), reloading)
        await supervisor.watch()
    finally:
        plan.data.stack_file.unlink(missing_ok=True)
        # Reason: servers log many errors while the servers that they use stop.
        logs.hush()
        await supervisor.stop()
        await logs.close()


async def _wait_for_free_ports(services: Sequence[Service]) -> None:
    ports_by_name = {name: port for service in services for name, port in service.ports.items()}
    deadline = time.monotonic() + _PORT_TIMEOUT_SECONDS
    # Reason: the child processes of a stack that was just killed may need a moment to end.
    while taken := {name: port for name, port in ports_by_name.items() if not is_free(port)}:
        if time.monotonic() > deadline:
            raise StackError("; ".join(starmap(taken_port_message, taken.items())))
        await asyncio.sleep(_PORT_INTERVAL_SECONDS)


def _stack_file_content(plan: Plan, pids: Mapping[str, int]) -> dict[str, Any]:
    settings = plan.product_environment
    return {
        "ready": True,
        **asdict(plan.addresses),
        "admin_api_key": settings["PERDURE_ADMIN_API_KEY"],
        "stripe_webhook_secret": settings["STRIPE__WEBHOOK_SECRET"],
        "pids": {name: [pid] for name, pid in pids.items()},
    }


def _summary(plan: Plan) -> str:
    addresses = plan.addresses
    table = Table(title="Perdure is ready (Ctrl-C stops it)", title_justify="left")
    table.add_column("service")
    table.add_column("address", overflow="fold")
    table.add_row("API docs", f"{addresses.api}/docs")
    table.add_row("Temporal Web UI", addresses.temporal_ui)
    table.add_row(
        "Stripe" if "stripe" in external_services(plan.environ) else "Stripe sandbox",
        addresses.stripe,
    )
    table.add_row(
        "models" if "llm" in external_services(plan.environ) else "models sandbox",
        addresses.llm,
    )
    table.add_row("mail", addresses.mail)
    table.add_row("addresses and keys", str(plan.data.stack_file))
    console = Console(highlight=False)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def _report(failure: StackError | None) -> int:
    if failure is None:
        return 0
    lines = [*(f"  {line}" for line in failure.log_lines), f"error: {failure}"]
    sys.stderr.write("\n".join(lines) + "\n")
    return 1
