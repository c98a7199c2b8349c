"""`python -m sandbox.mail`: the mail sink as a server."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import uvicorn
from aiosmtpd.smtp import SMTP

from sandbox.mail.app import Mailbox, Sink, build


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.mail",
        description="Takes mail by SMTP, sends none, and shows it at GET /_sandbox/mails?to=.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--smtp-port", type=int, default=8441, help="SMTP port (%(default)s)")
    parser.add_argument("--port", type=int, default=8440, help="HTTP port (%(default)s)")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of its database; made if missing"
    )
    return parser.parse_args(argv)


async def serve(given: argparse.Namespace) -> None:
    """Serve both protocols until SIGTERM or SIGINT."""
    given.data.mkdir(parents=True, exist_ok=True)
    mailbox = Mailbox(given.data / "mail.sqlite3")
    sink = Sink(mailbox)
    smtp = await asyncio.get_running_loop().create_server(
        lambda: SMTP(sink, hostname="sandbox.invalid", enable_SMTPUTF8=True),
        given.host,
        given.smtp_port,
    )
    config = uvicorn.Config(
        build(mailbox),
        host=given.host,
        port=given.port,
        ws="none",
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    try:
        await uvicorn.Server(config).serve()
    finally:
        smtp.close()
        mailbox.close()


def main() -> None:
    """Run the server."""
    given = parse()
    # Reason: uvicorn raises the signal again after its shutdown; that is the end of a good run.
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: sys.exit(0))
    asyncio.run(serve(given))


if __name__ == "__main__":
    main()
