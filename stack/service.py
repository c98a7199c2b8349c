"""Description of one service for the supervisor."""

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

Hook = Callable[[], Awaitable[None]]
Probe = Callable[[], Awaitable[str | None]]
"""Returns None once the service is ready, else the reason why it is not."""


@dataclass(frozen=True)
class SystemUser:
    """System user that a service runs as."""

    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True)
class Service:
    """A server, or a job that must succeed before the services that need it start."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    working_folder: str
    ports: Mapping[str, int] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    check: Hook | None = None
    """Runs before any service starts; raises if the service can never work."""
    prepare: Hook | None = None
    """Runs before each start of the service."""
    probe: Probe | None = None
    system_user: SystemUser | None = None
    is_job: bool = False
    is_reloaded: bool = False
    """Whether it starts again when the code changes; crashes then wait for the next change."""
    is_quiet: bool = False
    """Whether the output goes to the log file only."""
    has_standby: bool = False
    """Whether a second process waits beside it, and takes over at once when the first one dies."""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_seconds: float = 0.5
    on_exit: Callable[[int], None] | None = None
    # Reason: sent by the kernel when the supervisor dies, so that no service outlives it.
    orphan_signal: signal.Signals = signal.SIGKILL
