"""SMTP in, HTTP out, SQLite between."""

import email
import email.policy
import sqlite3
import time
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

SCHEMA = """
CREATE TABLE IF NOT EXISTS mails (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, sender TEXT NOT NULL, recipient TEXT NOT NULL,
  subject TEXT NOT NULL, text TEXT NOT NULL, html TEXT, message_id TEXT, received_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS mails_by_recipient ON mails (recipient, seq);
"""


class Mailbox:
    """Every mail that was ever taken, one row a recipient."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(SCHEMA)
        # Reason: files of earlier versions have no column for HTML.
        if "html" not in {row["name"] for row in self._db.execute("PRAGMA table_info(mails)")}:
            self._db.execute("ALTER TABLE mails ADD COLUMN html TEXT")

    def keep(self, sender: str, recipients: list[str], raw: bytes) -> None:
        """Store one mail for each of its recipients, all or none."""
        message = email.message_from_bytes(raw, policy=email.policy.default)
        rows = [
            (
                sender,
                recipient.lower(),
                str(message.get("Subject", "")),
                _text_of(message),
                _html_of(message),
                message.get("Message-ID"),
                time.time(),
            )
            for recipient in recipients
        ]
        self._db.execute("BEGIN")
        self._db.executemany(
            "INSERT INTO mails (sender, recipient, subject, text, html, message_id, received_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        self._db.execute("COMMIT")

    def mails(self, recipient: str | None) -> list[dict[str, Any]]:
        """Return the mails to one recipient, or all, oldest first."""
        rows = self._db.execute(
            "SELECT * FROM mails WHERE recipient = coalesce(?, recipient) ORDER BY seq",
            (recipient.lower() if recipient else None,),
        )
        return [
            {
                "seq": row["seq"],
                "from": row["sender"],
                "to": row["recipient"],
                "subject": row["subject"],
                "text": row["text"],
                "html": row["html"],
                "message_id": row["message_id"],
                "received_at": row["received_at"],
            }
            for row in rows
        ]

    def erase(self) -> None:
        """Forget everything."""
        self._db.execute("DELETE FROM mails")

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class Sink:
    """aiosmtpd's handler: takes every mail."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(  # noqa: N802 - the name is aiosmtpd's
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Keep a mail, and only then say so."""
        raw = envelope.original_content or b""
        self._mailbox.keep(envelope.mail_from or "", list(envelope.rcpt_tos), raw)
        return "250 OK"


def _text_of(message: EmailMessage) -> str:
    body = message.get_body(preferencelist=("plain", "html"))
    return str(body.get_content()).replace("\r\n", "\n") if body is not None else ""


def _html_of(message: EmailMessage) -> str | None:
    body = message.get_body(preferencelist=("html",))
    return str(body.get_content()).replace("\r\n", "\n") if body is not None else None


def build(mailbox: Mailbox) -> Starlette:
    """Return the HTTP side."""

    async def mails(request: Request) -> JSONResponse:
        return JSONResponse({"items": mailbox.mails(request.query_params.get("to"))})

    async def reset(_request: Request) -> JSONResponse:
        mailbox.erase()
        return JSONResponse({"status": "ok"})

    async def health(_request: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/", health),
            Route("/_sandbox/health", health),
            Route("/_sandbox/mails", mails),
            Route("/_sandbox/reset", reset, methods=["POST"]),
        ]
    )
