"""`python -m sandbox.llm`: the stand-in for model providers as a server."""

import argparse
from pathlib import Path

from sandbox.llm.app import build
from sandbox.serving import serve


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.llm",
        description="A stand-in for OpenAI's and Anthropic's models that thinks by plain rules. "
        "Point either SDK's base address at it (OpenAI's ends in /v1); any key and any model name "
        "will do. Controls for tests are under /_sandbox/ (see README.md).",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8430, help="port to listen on (%(default)s)")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of its database; made if missing"
    )
    parser.add_argument(
        "--token-seconds", type=float, default=0.005, help="time a token takes (%(default)s)"
    )
    parser.add_argument(
        "--batch-seconds", type=float, default=0.5, help="time a batch takes (%(default)s)"
    )
    return parser.parse_args(argv)


def main() -> None:
    """Run the server."""
    given = parse()
    serve(build(given.data, given.token_seconds, given.batch_seconds), given.host, given.port)


if __name__ == "__main__":
    main()
