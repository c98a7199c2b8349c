"""Serve the API: `python -m api [--host 127.0.0.1] [--port 8000]`."""

import argparse
import sys

import uvicorn

from adapters.status_server import check_port
from api.server import SERVER_OPTIONS
from bootstrap.failures import explain
from bootstrap.settings import WrongSettingsError, load_settings
from bootstrap.tools import load_agents, make_tool_catalog
from config import ServingSettings
from domain.errors import ApplicationError

MAX_PORT = 65_535


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port <= MAX_PORT:
        raise ValueError(text)
    return port


def main() -> None:
    """Parse the command line, and serve the API until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m api", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=_port, default=8000)
    parser.add_argument(
        "--graceful-seconds",
        type=int,
        default=5,
        help="Seconds that open requests get at shutdown.",
    )
    arguments = parser.parse_args()
    try:
        # Reason: the app does the same, but uvicorn would answer with a traceback.
        settings = load_settings(ServingSettings)
        load_agents(make_tool_catalog(settings))
        check_port(settings.status_host, settings.status_port)
    except (WrongSettingsError, ApplicationError) as error:
        failure = explain(error)
        assert failure is not None  # noqa: S101
        sys.stderr.writelines(f"error: {line}\n" for line in failure.lines)
        sys.exit(failure.exit_code)
    uvicorn.run(
        "api.app:create_app",
        factory=True,
        host=arguments.host,
        port=arguments.port,
        timeout_graceful_shutdown=arguments.graceful_seconds,
        **SERVER_OPTIONS,
    )


if __name__ == "__main__":
    main()
