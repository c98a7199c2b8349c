"""Checks for a container engine whether the process in this container is healthy.

    python deploy/healthcheck.py http://127.0.0.1:8000/health/live    the URL answers with success

The exit code is 0 if the process is healthy, else 1 with one line on standard error.
"""

import sys
import urllib.request

TIMEOUT_SECONDS = 4


def main(arguments: list[str]) -> str | None:
    """Return None if the URL answers with status 200, else what is wrong."""
    match arguments:
        case [url] if url.startswith("http://"):
            try:
                with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
                    return None if answer.status == 200 else f"{url} answered {answer.status}"
            except OSError as error:
                return f"unhealthy: {error}"
        case _:
            return "usage: healthcheck.py URL"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
