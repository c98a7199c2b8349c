"""The mail sink."""

import smtplib
import subprocess
import sys
from email.message import EmailMessage
from pathlib import Path

import httpx

from tests.sandbox import servers


def test_mail_is_kept_and_shown(tmp_path: Path) -> None:
    smtp_port, port = servers.free_port(), servers.free_port()
    command = [sys.executable, "-m", "sandbox.mail", "--data", str(tmp_path)]
    command += ["--port", str(port), "--smtp-port", str(smtp_port)]
    process = subprocess.Popen(command, cwd=servers.ROOT)
    http = httpx.Client(base_url=f"http://127.0.0.1:{port}")
    try:
        servers.wait_for("the mail sandbox", lambda: servers.answers(http))
        message = EmailMessage()
        message["From"], message["To"] = "billing@perdure.example", "Eve@example.com"
        message["Subject"], message["Message-ID"] = "Your card — déclinée", "<1@perdure.example>"
        message.set_content("Please add another card.\n")
        message.add_alternative("<p>Please add another card.</p>\n", subtype="html")
        with smtplib.SMTP("127.0.0.1", smtp_port, timeout=50) as smtp:
            smtp.send_message(message, to_addrs=["Eve@example.com", "adam@example.com"])

        (mail,) = http.get("/_sandbox/mails", params={"to": "eve@example.com"}).json()["items"]
        assert mail.pop("received_at") > 0
        assert mail == {
            "seq": 1,
            "from": "billing@perdure.example",
            "to": "eve@example.com",
            "subject": "Your card — déclinée",
            "text": "Please add another card.\n",
            "html": "<p>Please add another card.</p>\n",
            "message_id": "<1@perdure.example>",
        }
        assert len(http.get("/_sandbox/mails").json()["items"]) == 2
        http.post("/_sandbox/reset").raise_for_status()
        assert http.get("/_sandbox/mails").json() == {"items": []}
    finally:
        http.close()
        process.terminate()
        assert process.wait(5) == 0
