"""Data folder of the stack: its lock, its secrets and `stack.json`."""

import fcntl
import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

from stack.errors import StackError


@dataclass(frozen=True)
class Secrets:
    """Secrets made once per data folder, so that tokens and passwords survive a restart."""

    jwt_secret: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    admin_api_key: str = field(default_factory=lambda: f"perdure_{secrets.token_urlsafe(32)}")
    stripe_webhook_secret: str = field(default_factory=lambda: f"whsec_{secrets.token_urlsafe(32)}")
    postgres_password: str = field(default_factory=lambda: secrets.token_urlsafe(24))


class DataDir:
    """Data folder of one stack."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().resolve()
        self.stack_file = self.root / "stack.json"
        self.logs = self.root / "logs"
        self.metrics = self.root / "metrics"
        self._lock_descriptor: int | None = None

    def open(self) -> None:
        """Create the folder if it is missing, and take its lock.

        Raises:
            StackError: Another stack runs on the folder, or the folder cannot be written.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
            self._lock_descriptor = self._take_lock()
            self.stack_file.unlink(missing_ok=True)
            _empty_folder(self.metrics)
        except OSError as error:
            raise StackError(f"the data folder {self.root} cannot be used: {error}") from error

    def secrets(self) -> Secrets:
        """Return the secrets of the folder, and create them if they are missing.

        Raises:
            StackError: `secrets.json` exists but cannot be read.
        """
        path = self.root / "secrets.json"
        try:
            stored = Secrets(**json.loads(path.read_text())) if path.exists() else Secrets()
        except (OSError, ValueError, TypeError) as error:
            raise StackError(f"{path} cannot be read: {error}") from error
        write_private_json(path, asdict(stored))
        return stored

    def close(self) -> None:
        """Remove `stack.json` and release the lock."""
        if self._lock_descriptor is not None:
            self.stack_file.unlink(missing_ok=True)
            os.close(self._lock_descriptor)
            self._lock_descriptor = None

    def _take_lock(self) -> int:
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 32).decode().strip() or "unknown"
            os.close(descriptor)
            raise StackError(f"a stack runs on {self.root} already (pid {owner})") from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        return descriptor


def write_private_json(path: Path, value: object) -> None:
    """Replace a file atomically; only its owner can read the new one."""
    text = json.dumps(value, indent=2) + "\n"
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600, exist_ok=False)
    temporary.write_text(text)
    temporary.replace(path)


def _empty_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
