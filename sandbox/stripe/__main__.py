"""`python -m sandbox.stripe`: the stand-in for Stripe as a server."""

import argparse
import os
from pathlib import Path

from sandbox.serving import serve
from sandbox.stripe.app import Options, build


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.stripe",
        description="A stateful stand-in for Stripe's API. Point any Stripe client's base address "
        "at it; any sk_test_ key will do. Controls for tests are under /_sandbox/ (see README.md).",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8420, help="port to listen on (%(default)s)")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of its database; made if missing"
    )
    parser.add_argument("--webhook-url", help="where events are posted; none: nothing is sent")
    parser.add_argument(
        "--webhook-secret",
        default=os.environ.get("STRIPE_SANDBOX_WEBHOOK_SECRET"),
        help="secret that signs them, whsec_...; in STRIPE_SANDBOX_WEBHOOK_SECRET no list of "
        "processes shows it",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        default=bool(os.environ.get("STRIPE_SANDBOX_CHECK")),
        help="hold all traffic against the types of the installed stripe-python and answer 500 to "
        "what differs; also by STRIPE_SANDBOX_CHECK=1",
    )
    options = parser.parse_args(argv)
    if options.webhook_url and not options.webhook_secret:
        parser.error("--webhook-url needs --webhook-secret or STRIPE_SANDBOX_WEBHOOK_SECRET")
    return options


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    given = parse()
    options = Options(
        data=given.data,
        base_url=f"http://{given.host}:{given.port}",
        webhook_url=given.webhook_url,
        webhook_secret=given.webhook_secret,
        is_checked=given.check,
    )
    serve(build(options), given.host, given.port)


if __name__ == "__main__":
    main()
