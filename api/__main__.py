"""Serve the API: `python -m api [--host 127.0.0.1] [--port 8000]`."""

import argparse
import sys

import uvicorn

from api.server import SERVER_OPTIONS
from bootstrap.settings import WrongSettingsError, load_settings
from config import ServingSettings


def main() -> None:
    """Parse the command line, and serve the API until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m api", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument(
        "--graceful-seconds",
        type=int,
        default=5,
        help="Seconds that open requests get at shutdown.",
    )
    arguments = parser.parse_args()
    try:
        # Reason: the app reads the settings too, but uvicorn would answer with a traceback.
        load_settings(ServingSettings)
    except WrongSettingsError as error:
        sys.stderr.writelines(f"error: {line}\n" for line in error.args)
        sys.exit(2)
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
