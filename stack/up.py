"""`python cli.py up`: the whole stack, from an empty folder to `stack.json` and back."""

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

from stack.addresses import external_services, find_addresses
from stack.data_dir import DataDir, write_private_json
from stack.errors import StackError
from stack.logs import LogRouter, Terminal
from stack.ports import choose_ports, is_free, taken_port_message
from stack.service import Service
from stack.services import Plan, build_services
from stack.supervisor import Supervisor

_STYLE = 1
_PORT_PATIENCE_SECONDS = 2.0
_PORT_INTERVAL_SECONDS = 0.1


def up(project: Path, data_folder: Path, environ: Mapping[str, str], *, is_auto: bool) -> int:
    """Run the stack until Ctrl-C or SIGTERM.

    Args:
        project: The folder of `cli.py`.
        data_folder: Where all services keep their data.
        environ: The settings as environment variables.
        is_auto: Whether to take free ports.

    Returns:
        Exit code: 0 after a stop that was asked for, 1 if the stack could not go on.
    """
    data = DataDir(data_folder)
    terminal = Terminal()
    failure: StackError | None = None
    try:
        ports = choose_ports(environ, is_auto=is_auto)
        data.open()
        secrets = data.secrets()
        addresses = find_addresses(environ, ports, secrets)
        plan = Plan(project, data, environ, ports, secrets, addresses)
        asyncio.run(_serve(plan, terminal))
    except StackError as error:
        failure = error
    except asyncio.CancelledError:
        terminal.say(f"{terminal.prefix('up', _STYLE)} stopped")
    finally:
        data.close()
        terminal.close()
    return _report(failure)


async def _serve(plan: Plan, terminal: Terminal) -> None:
    working = asyncio.create_task(_work(plan, terminal))
    loop = asyncio.get_running_loop()
    # Reason: a second signal interrupts the orderly stop; the kernel then ends what is left.
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, working.cancel)
    # Reason: under nohup the end of the terminal is to be ignored.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGHUP, working.cancel)
    await working


async def _work(plan: Plan, terminal: Terminal) -> None:
    prefix = terminal.prefix("up", _STYLE)

    def say(text: str) -> None:
        terminal.say(f"{prefix} {text}")

    def publish() -> None:
        if is_ready:
            write_private_json(plan.data.stack_file, _facts(plan, supervisor.pids))

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
        await supervisor.watch()
    finally:
        plan.data.stack_file.unlink(missing_ok=True)
        # Reason: servers that see each other go have a lot to say about it.
        logs.hush()
        await supervisor.stop()
        await logs.close()


async def _wait_for_free_ports(services: Sequence[Service]) -> None:
    wanted = {name: port for service in services for name, port in service.ports.items()}
    deadline = time.monotonic() + _PORT_PATIENCE_SECONDS
    # Reason: the children of a stack that was just killed may need a moment to go.
    while taken := {name: port for name, port in wanted.items() if not is_free(port)}:
        if time.monotonic() > deadline:
            raise StackError("; ".join(starmap(taken_port_message, taken.items())))
        await asyncio.sleep(_PORT_INTERVAL_SECONDS)


def _facts(plan: Plan, pids: Mapping[str, int]) -> dict[str, Any]:
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
    table.add_column("what")
    table.add_column("where", overflow="fold")
    table.add_row("API docs", f"{addresses.api}/docs")
    table.add_row("Temporal Web UI", addresses.temporal_ui)
    table.add_row(
        "Stripe" if "stripe" in external_services(plan.environ) else "Stripe sandbox",
        addresses.stripe,
    )
    table.add_row(
        "models" if "llm" in external_services(plan.environ) else "stand-in for models",
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
