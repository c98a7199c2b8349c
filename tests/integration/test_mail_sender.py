"""Mails: each is sent once and only for a reason that still holds, whatever fails."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from sqlalchemy import func, select, update

from adapters.email.mailer import Mailer
from adapters.email.rendering import MailTemplates
from commands.migrate import migrate_database
from database.accounts.models import User
from database.accounts.users import UserRepository
from database.agents.models import Approval
from database.notifications.due_mails import add_due_mail
from database.notifications.models import DueMail
from database.payment_retries.models import PaymentRetry
from database.payments.models import PaymentMethod
from database.plans.models import Plan
from database.session import Sessions, make_engine, make_sessions
from database.subscriptions.expiring_cards import expiring_cards
from database.subscriptions.models import Subscription
from domain.accounts.credentials import digest
from domain.notifications import SAMPLES, MailKind, NewMail
from services.notifications import mail_sender
from services.notifications.approval_mails import ApprovalMails
from services.notifications.mail_sender import (
    EXPIRY_NOTICE,
    GIVE_UP_AFTER,
    LINKS_KEPT_FOR,
    LinkMails,
    MailSender,
)
from services.notifications.password_mails import PasswordMails
from tests.conftest import Outside, own_database
from tests.support.approval_links import LINK, WaitingCall, add_asked, add_link, links_of

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
PUBLIC_URL = "https://api.example/"
PASSWORD_PAGE = "https://app.example/password#token={token}"


def link_mails(sessions: Sessions) -> dict[MailKind, LinkMails]:
    """Return what fills mails with links."""
    return {
        MailKind.APPROVAL_NEEDED: ApprovalMails(sessions, PUBLIC_URL),
        MailKind.PASSWORD_RESET: PasswordMails(sessions, PASSWORD_PAGE),
    }


# Reason: the workers that other tests of this process started send what is due in their database.
@pytest.fixture(scope="module")
async def sessions() -> AsyncIterator[Sessions]:
    with own_database() as server:
        migrate_database(server.get_uri())
        engine = make_engine(server.get_uri(), pool_size=20)
        yield make_sessions(engine)
        await engine.dispose()


@pytest.fixture(autouse=True)
async def clean(sessions: Sessions) -> None:
    """Leave no mail of other tests due."""
    async with sessions.begin() as session:
        await session.execute(update(DueMail).values(mail_status="dropped"))


@pytest.fixture
def sender(sessions: Sessions, outside: Outside) -> MailSender:
    return make_sender(sessions, outside.smtp_port)


def make_sender(sessions: Sessions, port: int) -> MailSender:
    mailer = Mailer("127.0.0.1", port, "billing@perdure.example")
    return MailSender(sessions, mailer, MailTemplates(), link_mails(sessions))


async def add_user(sessions: Sessions, locale: str | None = None) -> UUID:
    user_id = uuid4()
    async with sessions.begin() as session:
        await UserRepository(session).add(user_id, address_of(user_id), locale=locale)
    return user_id


def address_of(user_id: UUID) -> str:
    return f"{user_id.hex}@example.com"


async def add_mail(sessions: Sessions, user_id: UUID, kind: MailKind, **values: Any) -> NewMail:
    defaults = {"message_key": f"test-{uuid4()}", "variables": SAMPLES[kind][0]}
    mail = NewMail(user_id=user_id, mail_kind=kind, **(defaults | values))
    async with sessions.begin() as session:
        await add_due_mail(session, mail)
    return mail


async def row_of(sessions: Sessions, mail: NewMail) -> DueMail:
    async with sessions() as session:
        by_key = select(DueMail).where(DueMail.message_key == mail.message_key)
        return (await session.scalars(by_key)).one()


async def mails_to(outside: Outside, user_id: UUID) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(base_url=outside.mail, timeout=100) as http:
        reply = await http.get("/_sandbox/mails", params={"to": address_of(user_id)})
        items: list[dict[str, Any]] = reply.json()["items"]
        return items


async def make_due(sessions: Sessions, **values: Any) -> None:
    async with sessions.begin() as session:
        await session.execute(update(DueMail).values(next_attempt_at=func.now(), **values))


async def add_subscription(sessions: Sessions, user_id: UUID, **values: Any) -> UUID:
    subscription_id, plan_id = uuid4(), uuid4()
    async with sessions.begin() as session:
        session.add(
            Plan(
                plan_id=plan_id,
                code=plan_id.hex,
                name="Pro",
                amount_cents=2_900,
                currency_code="usd",
                interval="month",
                interval_count=1,
                trial_days=0,
                features_data={},
                limits_data={},
                retry_policy="default",
                stripe_product_id=f"prod_{plan_id.hex}",
                stripe_price_id=f"price_{plan_id.hex}",
            )
        )
        await session.flush()
        defaults = {"quantity": 1, "subscription_status": "active"}
        session.add(
            Subscription(
                subscription_id=subscription_id,
                user_id=user_id,
                plan_id=plan_id,
                workflow_id=f"subscription-{subscription_id}",
                **(defaults | values),
            )
        )
    return subscription_id


async def add_retry(sessions: Sessions, user_id: UUID, retry_status: str) -> UUID:
    subscription_id, payment_retry_id = await add_subscription(sessions, user_id), uuid4()
    async with sessions.begin() as session:
        session.add(
            PaymentRetry(
                payment_retry_id=payment_retry_id,
                subscription_id=subscription_id,
                user_id=user_id,
                stripe_invoice_id=f"in_{payment_retry_id.hex}",
                retry_status=retry_status,
                policy_name="default",
                policy_version=1,
                workflow_id=f"payment-retry-{payment_retry_id}",
            )
        )
    return payment_retry_id


async def add_card(sessions: Sessions, user_id: UUID, **values: Any) -> UUID:
    card_id = uuid4()
    defaults = {"exp_month": 12, "exp_year": 2026, "is_default": True}
    async with sessions.begin() as session:
        session.add(
            PaymentMethod(
                payment_method_id=card_id,
                user_id=user_id,
                stripe_payment_method_id=f"pm_{card_id.hex}",
                brand="visa",
                last4="4242",
                **(defaults | values),
            )
        )
    return card_id


async def test_a_mail_is_sent_once_in_the_language_of_its_recipient(
    sessions: Sessions, sender: MailSender, outside: Outside
) -> None:
    english, german = await add_user(sessions), await add_user(sessions, "de-AT")
    for user_id in (english, german):
        mail = await add_mail(sessions, user_id, MailKind.RENEWED)
        await add_mail(sessions, user_id, MailKind.RECOVERED, message_key=mail.message_key)
    other = make_sender(sessions, outside.smtp_port)
    counts = await asyncio.gather(sender.send_due(), other.send_due(), sender.send_due())
    assert sum(counts) == 2
    assert await sender.send_due() == 0
    await make_due(sessions)  # of what is sent nothing is due, whatever the time
    assert await sender.send_due() == 0
    (told,) = await mails_to(outside, english)
    assert told["subject"] == "Receipt: Pro was renewed"
    assert "€29.00" in told["text"]
    assert "€29.00" in told["html"]
    assert told["message_id"] == f"<{await id_of(sessions, english)}@perdure.example>"
    (told,) = await mails_to(outside, german)
    assert told["subject"] == "Beleg: Pro wurde verlängert"


async def id_of(sessions: Sessions, user_id: UUID) -> UUID:
    async with sessions() as session:
        found = select(DueMail.due_mail_id).where(DueMail.user_id == user_id)
        return (await session.scalars(found)).one()


_RETRY_KINDS = {
    MailKind.PAYMENT_FAILED: "waiting",
    MailKind.CARD_NEEDED: "waiting_payment_method",
    MailKind.AUTHENTICATION_NEEDED: "waiting_authentication",
    MailKind.RETRIES_EXHAUSTED: "exhausted",
}


@pytest.mark.parametrize("status", [*_RETRY_KINDS.values(), "recovered", "canceled", "paused"])
@pytest.mark.parametrize("kind", list(_RETRY_KINDS))
async def test_news_of_a_payment_retry_is_told_while_it_is_true(
    sessions: Sessions, sender: MailSender, kind: MailKind, status: str
) -> None:
    user_id = await add_user(sessions)
    retry_id = await add_retry(sessions, user_id, status)
    mail = await add_mail(sessions, user_id, kind, resource_id=retry_id)
    await sender.send_due()
    expected = "sent" if status == _RETRY_KINDS[kind] else "dropped"
    assert (await row_of(sessions, mail)).mail_status == expected


async def test_nothing_is_told_while_a_charge_is_made(
    sessions: Sessions, sender: MailSender, outside: Outside
) -> None:
    user_id = await add_user(sessions)
    retry_id = await add_retry(sessions, user_id, "charging")
    mail = await add_mail(sessions, user_id, MailKind.PAYMENT_FAILED, resource_id=retry_id)
    await sender.send_due()
    assert (await row_of(sessions, mail)).mail_status == "due"
    async with sessions.begin() as session:
        row = await session.get_one(PaymentRetry, retry_id)
        row.retry_status, row.next_attempt_at = "waiting", NOW + timedelta(days=3)
    await make_due(sessions)
    await sender.send_due()
    (told,) = await mails_to(outside, user_id)
    assert "again on November 26, 2026" in told["text"]  # as it is now, not as it was


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "sent"),
        ({"subscription_status": "active"}, "dropped"),
        ({"trial_end": NOW + timedelta(days=9)}, "dropped"),
        ({"cancel_at": NOW}, "dropped"),
    ],
)
async def test_the_end_of_a_trial_is_told_while_it_is_ahead(
    sessions: Sessions, sender: MailSender, changes: dict[str, Any], expected: str
) -> None:
    user_id = await add_user(sessions)
    values = {"subscription_status": "trialing", "trial_end": NOW} | changes
    subscription_id = await add_subscription(sessions, user_id, **values)
    told = {"plan_name": "Pro", "trial_end": NOW.isoformat(), "has_card": True}
    mail = await add_mail(
        sessions, user_id, MailKind.TRIAL_ENDING, resource_id=subscription_id, variables=told
    )
    await sender.send_due()
    assert (await row_of(sessions, mail)).mail_status == expected


@pytest.mark.parametrize(
    ("values", "ends_at", "expected"),
    [
        ({"cancel_at": NOW}, NOW, "sent"),
        ({"cancel_at": NOW, "subscription_status": "canceled"}, NOW, "sent"),
        ({}, NOW, "dropped"),
        ({"cancel_at": NOW + timedelta(days=1)}, NOW, "dropped"),
        ({"subscription_status": "canceled"}, None, "sent"),
        ({}, None, "dropped"),
    ],
)
async def test_a_cancel_is_told_unless_it_was_taken_back(
    sessions: Sessions,
    sender: MailSender,
    values: dict[str, Any],
    ends_at: datetime | None,
    expected: str,
) -> None:
    user_id = await add_user(sessions)
    subscription_id = await add_subscription(sessions, user_id, **values)
    told = {"plan_name": "Pro", "ends_at": ends_at.isoformat() if ends_at else None}
    mail = await add_mail(
        sessions, user_id, MailKind.CANCELED, resource_id=subscription_id, variables=told
    )
    await sender.send_due()
    assert (await row_of(sessions, mail)).mail_status == expected


async def test_mails_wait_for_the_mail_server(
    sessions: Sessions, sender: MailSender, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = await add_user(sessions)
    mail = await add_mail(sessions, user_id, MailKind.RECOVERED)
    nowhere = make_sender(sessions, 1)
    assert await nowhere.send_due() == 1
    row = await row_of(sessions, mail)
    assert (row.mail_status, row.attempt_count) == ("due", 1)
    assert "did not accept" in (row.last_error or "")
    assert await sender.send_due() == 0  # not at once again
    await make_due(sessions)
    assert await sender.send_due() == 1
    assert len(await mails_to(outside, user_id)) == 1


async def test_a_mail_is_given_up_after_days(sessions: Sessions) -> None:
    user_id = await add_user(sessions)
    mail = await add_mail(sessions, user_id, MailKind.RECOVERED)
    async with sessions.begin() as session:
        before = func.now() - GIVE_UP_AFTER - timedelta(seconds=1)
        await session.execute(update(DueMail).values(created_at=before))
    assert await make_sender(sessions, 1).send_due() == 1
    assert (await row_of(sessions, mail)).mail_status == "failed"


async def test_what_another_process_has_claimed_is_left_to_it_until_its_lease_ends(
    sessions: Sessions, sender: MailSender, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = await add_user(sessions)
    await add_mail(sessions, user_id, MailKind.RECOVERED)
    dying = make_sender(sessions, outside.smtp_port)

    async def die(_: DueMail) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(dying, "_process", die)
    with pytest.raises(asyncio.CancelledError):
        await dying.send_due()
    assert await sender.send_due() == 0
    await make_due(sessions)  # the lease ends
    assert await sender.send_due() == 1
    assert len(await mails_to(outside, user_id)) == 1


@asynccontextmanager
async def refusing(command: bytes, reply: bytes) -> AsyncIterator[int]:
    """Run an SMTP server that refuses one command."""

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := await reader.readline():
            word = line[:4].upper()
            answer = b"354 go" if word == b"DATA" else b"250 ok"
            writer.write((reply if word == command else answer) + b"\r\n")
            await writer.drain()
            if word == b"QUIT":
                break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("command", "reply", "expected"),
    [
        (b"RCPT", b"550 no such user", "failed"),
        (b"RCPT", b"450 try later", "due"),
        (b"DATA", b"554 spam", "failed"),
        (b"MAIL", b"530 log in first", "due"),
    ],
)
async def test_only_a_refused_recipient_or_mail_is_given_up_at_once(
    sessions: Sessions, command: bytes, reply: bytes, expected: str
) -> None:
    user_id = await add_user(sessions)
    mail = await add_mail(sessions, user_id, MailKind.RECOVERED)
    async with refusing(command, reply) as port:
        assert await make_sender(sessions, port).send_due() == 1
    assert (await row_of(sessions, mail)).mail_status == expected


async def test_a_bad_mail_holds_up_no_other(
    sessions: Sessions, sender: MailSender, outside: Outside
) -> None:
    user_id = await add_user(sessions)
    bad = await add_mail(sessions, user_id, MailKind.CANCELED, variables={"plan_name": "Pro"})
    good = await add_mail(sessions, user_id, MailKind.RECOVERED)
    assert await sender.send_due() == 2
    row = await row_of(sessions, bad)
    assert (row.mail_status, (row.last_error or "").partition(":")[0]) == ("due", "UndefinedError")
    assert (await row_of(sessions, good)).mail_status == "sent"
    assert len(await mails_to(outside, user_id)) == 1


async def test_an_erased_user_gets_nothing(sessions: Sessions, sender: MailSender) -> None:
    user_id = await add_user(sessions)
    await add_mail(sessions, user_id, MailKind.RECOVERED)
    async with sessions.begin() as session:
        user = await UserRepository(session).get(user_id)
        await session.delete(user)
    assert await sender.send_due() == 0


@pytest.mark.parametrize(
    ("today", "is_expiring"),
    [
        (date(2026, 12, 1), False),
        (date(2026, 12, 2), True),
        (date(2026, 12, 31), True),
        (date(2027, 1, 1), False),
    ],
)
async def test_a_card_expires_at_the_end_of_its_month(
    sessions: Sessions, today: date, is_expiring: bool
) -> None:
    user_id = await add_user(sessions)
    await add_subscription(sessions, user_id)
    card_id = await add_card(sessions, user_id)
    async with sessions() as session:
        found = await expiring_cards(session, today, EXPIRY_NOTICE)
    assert (card_id in {card.payment_method_id for card in found}) is is_expiring


async def test_only_cards_that_will_be_charged_are_announced(sessions: Sessions) -> None:
    subscriber, other, former = [await add_user(sessions) for _ in range(3)]
    await add_subscription(sessions, subscriber)
    await add_subscription(sessions, former, subscription_status="canceled")
    for user_id in (other, former):
        await add_card(sessions, user_id)
    await add_card(sessions, subscriber, is_default=False)
    await add_card(sessions, subscriber, is_default=True, detached_at=NOW)
    await add_card(sessions, subscriber, is_default=True, exp_month=11)
    card_id = await add_card(sessions, subscriber)
    async with sessions() as session:
        found = await expiring_cards(session, date(2026, 12, 10), EXPIRY_NOTICE)
    owners = {subscriber, other, former}
    assert [each.payment_method_id for each in found if each.user_id in owners] == [card_id]


async def test_an_expiring_card_is_announced_once_and_again_after_a_renewal(
    sessions: Sessions, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = await add_user(sessions)
    await add_subscription(sessions, user_id)
    today = datetime.now(UTC).date()
    card_id = await add_card(sessions, user_id, exp_month=today.month, exp_year=today.year)
    monkeypatch.setattr(mail_sender, "EXPIRY_NOTICE", timedelta(days=366))
    for _ in range(2):
        sender = make_sender(sessions, outside.smtp_port)
        await sender._do_chores()
        await sender._do_chores()
        await sender.send_due()
    (told,) = await mails_to(outside, user_id)
    assert told["subject"] == "Your card ending in 4242 expires soon"
    async with sessions.begin() as session:
        card = await session.get_one(PaymentMethod, card_id)
        card.exp_year, card.exp_month = (
            (today.year, today.month + 1) if today.month < 12 else (today.year + 1, 1)
        )
    sender = make_sender(sessions, outside.smtp_port)
    await sender._do_chores()
    async with sessions.begin() as session:  # renewed again before the mail is sent
        (await session.get_one(PaymentMethod, card_id)).exp_year += 3
    await sender.send_due()
    assert len(await mails_to(outside, user_id)) == 1


# --- approvals


async def asks_for_approval(sessions: Sessions, **values: Any) -> tuple[UUID, WaitingCall, NewMail]:
    """Store an approval and its mail to an administrator."""
    admin_id = await add_user(sessions, "de")
    async with sessions.begin() as session:
        (await session.get_one(User, admin_id)).role = "admin"
    asked = await add_asked(sessions, await add_user(sessions), **values)
    mail = await add_mail(
        sessions,
        admin_id,
        MailKind.APPROVAL_NEEDED,
        resource_id=asked.approval_id,
        variables={},
    )
    return admin_id, asked, mail


async def test_an_approval_is_told_with_a_link_whose_token_lies_nowhere(
    sessions: Sessions, sender: MailSender, outside: Outside
) -> None:
    effect = {"amount_cents": 2_500, "note": "x" * 500, "turned": "\u202e1"}
    admin_id, asked, mail = await asks_for_approval(sessions, effect=effect, tool="pay_back")
    assert await sender.send_due() == 1
    (told,) = await mails_to(outside, admin_id)
    assert told["subject"] == "Freigabe nötig: pay_back"
    (link,) = await links_of(sessions, asked.approval_id)
    for text in (told["text"], told["html"]):
        (token,) = set(LINK.findall(text))
        assert f"https://api.example/api/v1/approval-links/{token}" in text
        assert digest(token) == link.token_sha256
        assert address_of(asked.user_id) in text
        assert "amount_cents: 2500" in text
        assert "x" * 250 not in text
        assert "\u202e" not in text
    assert (link.user_id, link.args_sha256) == (admin_id, "0" * 64)
    row = await row_of(sessions, mail)
    assert (row.mail_status, row.variables_data) == ("sent", {})
    async with sessions() as session:
        approval = await session.get_one(Approval, asked.approval_id)
        assert link.expires_at == approval.expires_at


@pytest.mark.parametrize(
    ("table", "values"),
    [
        (Approval, {"approval_status": "approved"}),
        (Approval, {"approval_status": "expired"}),
        (Approval, {"expires_at": NOW}),
        (User, {"role": "user"}),
        (User, {"is_active": False}),
    ],
    ids=lambda each: str(getattr(each, "__tablename__", each)),
)
async def test_no_approval_is_asked_for_that_cannot_be_given_any_more(
    sessions: Sessions, sender: MailSender, outside: Outside, table: Any, values: dict[str, Any]
) -> None:
    admin_id, asked, mail = await asks_for_approval(sessions)
    async with sessions.begin() as session:
        key = asked.approval_id if table is Approval else admin_id
        row = await session.get_one(table, key)
        for name, value in values.items():
            setattr(row, name, value)
    await sender.send_due()
    assert (await row_of(sessions, mail)).mail_status == "dropped"
    assert await mails_to(outside, admin_id) == []
    assert await links_of(sessions, asked.approval_id) == []


async def test_the_link_of_an_attempt_whose_answer_was_lost_stays_good(
    sessions: Sessions, sender: MailSender, outside: Outside
) -> None:
    admin_id, asked, _ = await asks_for_approval(sessions)
    await make_sender(sessions, 1).send_due()
    await make_due(sessions)
    await sender.send_due()
    assert len(await mails_to(outside, admin_id)) == 1
    assert len(await links_of(sessions, asked.approval_id)) == 2


@asynccontextmanager
async def quoting_server() -> AsyncIterator[int]:
    """Run a mail server that refuses each mail, and quotes its link as spam filters do."""

    class Quoting:
        async def handle_DATA(  # noqa: N802 - the name is aiosmtpd's
            self, _server: SMTP, _session: Session, envelope: Envelope
        ) -> str:
            message = message_from_bytes(envelope.original_content or b"", policy=policy.default)
            body = message.get_body(("plain",))
            found = LINK.search(str(body.get_content())) if body else None
            return f"554 blocked because of {found and found[0]}"

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Quoting(), hostname="test"), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_a_link_that_the_mail_server_quotes_is_hidden(
    sessions: Sessions, capfd: pytest.CaptureFixture[str]
) -> None:
    _, asked, mail = await asks_for_approval(sessions)
    async with quoting_server() as port:
        await make_sender(sessions, port).send_due()
    row = await row_of(sessions, mail)
    assert row.mail_status == "failed"
    assert "blocked because of https://api.example/api/v1/approval-links/[hidden]" in str(
        row.last_error
    )
    assert LINK.search(str(row.last_error)) is None
    assert "perdure_link_" not in "".join(capfd.readouterr())
    assert len(await links_of(sessions, asked.approval_id)) == 1


async def test_old_links_are_deleted_with_the_chores_of_an_hour(
    sessions: Sessions, sender: MailSender
) -> None:
    admin_id, asked, _ = await asks_for_approval(sessions)
    long_ago = datetime.now(UTC) - LINKS_KEPT_FOR - timedelta(hours=1)
    await add_link(sessions, asked, admin_id, expires_at=long_ago)
    await add_link(sessions, asked, admin_id)
    await sender._do_chores()
    (left,) = await links_of(sessions, asked.approval_id)
    assert left.expires_at > datetime.now(UTC)
