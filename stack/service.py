"""What the supervisor has to know about one service."""

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

Hook = Callable[[], Awaitable[None]]
Probe = Callable[[], Awaitable[str | None]]
"""Answers None once the service is ready, and why it is not until then."""


@dataclass(frozen=True)
class SystemUser:
    """The system user that a service runs as."""

    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True)
class Service:
    """One server, or one job that has to end well before others may start."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    working_folder: str
    ports: Mapping[str, int] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    check: Hook | None = None
    """Refuses, before anything is started, what can never work."""
    prepare: Hook | None = None
    """Runs before each start."""
    probe: Probe | None = None
    ready_words: str | None = None
    """What its log says once it is ready, for a service that cannot be probed."""
    system_user: SystemUser | None = None
    is_job: bool = False
    is_quiet: bool = False
    """Whether its lines go to its log file only."""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_seconds: float = 0.5
    on_exit: Callable[[int], None] | None = None
    # Reason: sent by the kernel when the supervisor dies, so that no service outlives it.
    orphan_signal: signal.Signals = signal.SIGKILL
