"""Ports of the servers: the default table, and how the stack chooses ports."""

import secrets
import socket
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from pathlib import Path

from stack.errors import StackError

HOST = "127.0.0.1"
_LOWEST_AUTO_PORT = 10_000
_USUAL_EPHEMERAL_START = 32_768


@dataclass(frozen=True)
class Ports:
    """Port of each server; `PERDURE_PORT_<NAME>` in the environment replaces one."""

    api: int = 8000
    temporal: int = 7233
    temporal_ui: int = 8233
    chroma: int = 8100
    stripe: int = 8420
    llm: int = 8430
    mail: int = 8440
    smtp: int = 8441
    postgres: int = 8450
    metrics: int = 9464
    worker: int = 9465


def variable_name(name: str) -> str:
    """Return the name of the environment variable that sets the port called `name`."""
    return f"PERDURE_PORT_{name.upper()}"


def choose_ports(environ: Mapping[str, str], *, is_auto: bool) -> Ports:
    """Return the ports: from the environment, the others from the table or at random.

    Args:
        environ: Environment variables, in which `PERDURE_PORT_<NAME>` is looked up.
        is_auto: Whether the other ports are random free ports instead of those of the table.

    Returns:
        One port for each name, all of them different.

    Raises:
        StackError: A variable is not a port or names none, or two names have the same port.
    """
    names = [field.name for field in fields(Ports)]
    _refuse_unknown(environ, [variable_name(name) for name in names])
    given = {name: _given_port(environ, name) for name in names if environ.get(variable_name(name))}
    if is_auto:
        missing = [name for name in names if name not in given]
        given |= dict(zip(missing, free_ports(len(missing), given.values()), strict=True))
    ports = Ports(**given)
    _refuse_duplicates(asdict(ports))
    return ports


def is_free(port: int) -> bool:
    """Tell whether a server can listen on `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Reason: servers set this option too; closed connections in TIME_WAIT then do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def taken_port_message(name: str, port: int) -> str:
    """Return the error message for a port that is taken, with what the operator can do."""
    return (
        f"port {port} ({name}) is taken: stop what listens there,"
        f" set {variable_name(name)}, or use --ports auto"
    )


def _given_port(environ: Mapping[str, str], name: str) -> int:
    text = environ[variable_name(name)]
    if not (text.isdecimal() and 0 < int(text) < 65_536):
        raise StackError(f"{variable_name(name)}={text} is not a port")
    return int(text)


def _refuse_unknown(environ: Mapping[str, str], known: list[str]) -> None:
    for name in environ:
        if name.startswith(variable_name("")) and name not in known:
            nearest = get_close_matches(name, known, 1)
            advice = f"; did you mean {nearest[0]}?" if nearest else ""
            raise StackError(f"{name} is not a port of the stack{advice}")


def _refuse_duplicates(ports: Mapping[str, int]) -> None:
    names_by_port: dict[int, str] = {}
    for name, port in ports.items():
        if port in names_by_port:
            raise StackError(f"port {port} is given to both {names_by_port[port]} and {name}")
        names_by_port[port] = name


def free_ports(count: int, taken: Iterable[int] = ()) -> list[int]:
    """Return free ports, chosen at random.

    Args:
        count: Number of ports to return.
        taken: Ports that must not be returned.

    Raises:
        StackError: Not enough free ports were found.
    """
    # Reason: below the range of outgoing connections, so that no such connection takes the port
    # while its server restarts.
    candidates = range(_LOWEST_AUTO_PORT, _ephemeral_start())
    chosen: list[int] = []
    excluded = set(taken)
    for _ in range(1_000):
        if len(chosen) == count:
            return chosen
        port = secrets.choice(candidates)
        if port not in excluded and is_free(port):
            chosen.append(port)
            excluded.add(port)
    raise StackError("no free ports were found")


def _ephemeral_start() -> int:
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    except OSError:
        return _USUAL_EPHEMERAL_START
    start = int(text.split()[0])
    return start if start > _LOWEST_AUTO_PORT + 1_000 else _USUAL_EPHEMERAL_START
