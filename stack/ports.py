"""The one table of ports, and how they are chosen."""

import secrets
import socket
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from stack.errors import StackError

HOST = "127.0.0.1"
_LOWEST_AUTO_PORT = 10_000
_USUAL_EPHEMERAL_START = 32_768


@dataclass(frozen=True)
class Ports:
    """Where each server listens; `PERDURE_PORT_<NAME>` in the environment replaces one."""

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
    """Return the environment variable that sets the port called `name`."""
    return f"PERDURE_PORT_{name.upper()}"


def choose_ports(environ: Mapping[str, str], *, is_auto: bool) -> Ports:
    """Take the ports from the environment, and the others from the table or at random.

    Args:
        environ: Where `PERDURE_PORT_<NAME>` is looked up.
        is_auto: Whether ports that are not given are free ones instead of the table's.

    Returns:
        One port for each name, no two alike.

    Raises:
        StackError: A variable is no port, or two names share one.
    """
    names = [field.name for field in fields(Ports)]
    given = {name: _given_port(environ, name) for name in names if environ.get(variable_name(name))}
    if is_auto:
        missing = [name for name in names if name not in given]
        given |= dict(zip(missing, free_ports(len(missing), given.values()), strict=True))
    ports = Ports(**given)
    _refuse_twins(asdict(ports))
    return ports


def is_free(port: int) -> bool:
    """Tell whether a server could listen on `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Reason: as servers do, so that connections that are fading away do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def taken_port_message(name: str, port: int) -> str:
    """Say that the port called `name` is taken, and what can be done."""
    return (
        f"port {port} ({name}) is taken: stop what listens there,"
        f" set {variable_name(name)}, or use --ports auto"
    )


def _given_port(environ: Mapping[str, str], name: str) -> int:
    text = environ[variable_name(name)]
    if not (text.isdecimal() and 0 < int(text) < 65_536):
        raise StackError(f"{variable_name(name)}={text} is not a port")
    return int(text)


def _refuse_twins(ports: Mapping[str, int]) -> None:
    owners: dict[int, str] = {}
    for name, port in ports.items():
        if port in owners:
            raise StackError(f"port {port} is given to both {owners[port]} and {name}")
        owners[port] = name


def free_ports(count: int, taken: Iterable[int] = ()) -> list[int]:
    """Choose ports that nobody listens on.

    Args:
        count: How many.
        taken: Ports that must not be among them.

    Raises:
        StackError: None were found.
    """
    # Reason: below the range of outgoing connections, so that none of those can sit on the port
    # while its server is being restarted.
    candidates = range(_LOWEST_AUTO_PORT, _ephemeral_start())
    chosen: list[int] = []
    unwanted = set(taken)
    for _ in range(1_000):
        if len(chosen) == count:
            return chosen
        port = secrets.choice(candidates)
        if port not in unwanted and is_free(port):
            chosen.append(port)
            unwanted.add(port)
    raise StackError("no free ports were found")


def _ephemeral_start() -> int:
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    except OSError:
        return _USUAL_EPHEMERAL_START
    start = int(text.split()[0])
    return start if start > _LOWEST_AUTO_PORT + 1_000 else _USUAL_EPHEMERAL_START
