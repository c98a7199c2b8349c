"""The library `standardwebhooks` of npm verifies what is sent, and refuses what was changed.

`make standard-webhooks` installs it and runs this; it needs no network once that is done.
"""

import json
import shutil
import subprocess

import pytest

from adapters.egress import Egress
from adapters.webhook_sender import OutgoingMessage, WebhookSender
from domain.webhooks.outgoing import make_secret
from tests.conftest import PROJECT
from tests.support.receiver import Received, receiving

HERE = PROJECT / "tests" / "clients" / "standard_webhooks"
NODE = shutil.which("node")

pytestmark = [
    pytest.mark.client,
    pytest.mark.skipif(
        NODE is None or not (HERE / "node_modules").exists(),
        reason="standardwebhooks of npm is not here: make standard-webhooks",
    ),
]


def verify(*given: tuple[str, Received]) -> list[str]:
    """Return what the library of npm says of requests and the secrets to verify them with."""
    assert NODE is not None
    lines = [
        json.dumps({"secret": secret, "headers": dict(got.headers), "body": got.body.decode()})
        for secret, got in given
    ]
    done = subprocess.run(
        [NODE, "verify.mjs"],
        cwd=HERE,
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines()


async def test_npm_s_library_verifies_what_is_sent() -> None:
    old, new = make_secret(), make_secret()
    message = OutgoingMessage("msg_1", '{"type":"invoice.paid","data":{"seq":1,"name":"Zoë"}}')
    with receiving() as receiver:
        async with WebhookSender(Egress(["127.0.0.1"])).open(receiver.url, [new, old]) as channel:
            assert (await channel.send(message)).error is None
    (got,) = receiver.requests
    changed = got._replace(body=got.body.replace(b"paid", b"void"))
    late = got._replace(headers={**got.headers, "webhook-timestamp": "1700000000"})
    assert verify((old, got), (new, got), (make_secret(), got), (new, changed), (new, late)) == [
        "invoice.paid",
        "invoice.paid",
        "WebhookVerificationError: No matching signature found",
        "WebhookVerificationError: No matching signature found",
        "WebhookVerificationError: Message timestamp too old",
    ]
