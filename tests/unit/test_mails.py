"""Mails: written for facts only, in the recipient's language, from templates of one's own."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from jinja2 import TemplateError

from adapters.email.rendering import BUILT_IN, MailTemplates
from domain.errors import InvalidInputError
from domain.notifications import SAMPLES, EmailInput, MailKind, retry_mail
from domain.payment_retries.declines import NOT_CHARGED_CODES
from domain.payment_retries.lifecycle import RetryStatus

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
LINK = "https://pay.example/in_1"
TEMPLATES = MailTemplates()


@pytest.mark.parametrize("status", list(RetryStatus))
@pytest.mark.parametrize("link", [None, LINK])
@pytest.mark.parametrize("next_attempt_at", [None, NOW])
@pytest.mark.parametrize("decline_code", [None, "lost_card", *sorted(NOT_CHARGED_CODES)])
@pytest.mark.parametrize("amount_paid_cents", [0, 2_900])
def test_mails_are_written_for_facts_only(
    status: RetryStatus,
    link: str | None,
    next_attempt_at: datetime | None,
    decline_code: str | None,
    amount_paid_cents: int,
) -> None:
    news = EmailInput(
        message_key="k",
        user_id=UUID(int=1),
        retry_status=status,
        next_attempt_at=next_attempt_at,
        link=link,
        decline_code=decline_code,
        amount_paid_cents=amount_paid_cents,
    )
    retry_id = uuid4()
    mail = retry_mail(news, retry_id)
    asked = {RetryStatus.WAITING_PAYMENT_METHOD, RetryStatus.WAITING_AUTHENTICATION}
    is_news = status in {*asked, RetryStatus.EXHAUSTED}
    is_news |= status is RetryStatus.WAITING and decline_code is not None
    is_news |= status is RetryStatus.RECOVERED and amount_paid_cents > 0
    assert (mail is not None) == is_news
    if mail is None:
        return
    assert (mail.message_key, mail.user_id, mail.resource_id) == ("k", UUID(int=1), retry_id)
    email = TEMPLATES.render(mail.mail_kind, None, mail.variables)
    has_link = link is not None and status in {*asked, RetryStatus.WAITING}
    for told in (email.text, email.html or ""):
        assert ((link or "https://") in told) == has_link
        if status is RetryStatus.WAITING:
            assert ("November 23, 2026" in told) == (next_attempt_at is not None)
        if decline_code in NOT_CHARGED_CODES and status in {*asked, RetryStatus.EXHAUSTED}:
            assert "Your payment failed" not in told


@pytest.mark.parametrize("kind", list(MailKind))
@pytest.mark.parametrize("language", ["en", "de"])
def test_each_mail_is_there_as_text_and_as_html(kind: MailKind, language: str) -> None:
    for variables in SAMPLES[kind]:
        email = TEMPLATES.render(kind, language, variables)
        assert email.subject
        assert email.text.strip()
        assert email.html is not None
        assert f'<html lang="{language}">' in email.html
        assert f"<title>{email.subject}</title>" in email.html
    other = TEMPLATES.render(kind, {"en": "de", "de": "en"}[language], variables)
    assert (other.subject, other.text) != (email.subject, email.text)


@pytest.mark.parametrize(
    ("locale", "amount", "date"),
    [
        (None, "€29.00", "November 23, 2026"),
        ("en", "€29.00", "November 23, 2026"),
        ("en-GB", "€29.00", "23 November 2026"),
        ("de", "29,00\xa0€", "23. November 2026"),
        ("de-AT", "€\xa029,00", "23. November 2026"),
        ("fr", "€29.00", "November 23, 2026"),
        ("xx-XX", "€29.00", "November 23, 2026"),
        ("de-XX", "29,00\xa0€", "23. November 2026"),
    ],
)
def test_a_mail_is_in_the_language_of_its_recipient_else_in_english(
    locale: str | None, amount: str, date: str
) -> None:
    (variables, _) = SAMPLES[MailKind.RENEWED]
    email = TEMPLATES.render(MailKind.RENEWED, locale, variables)
    assert amount in email.text
    assert date in email.text
    is_german = locale is not None and locale.startswith("de")
    assert email.subject.startswith("Beleg" if is_german else "Receipt")


@pytest.mark.parametrize(
    ("currency_code", "text"), [("jpy", "¥2,900"), ("kwd", "KWD2.900"), ("isk", "ISK29")]
)
def test_an_amount_has_the_digits_of_its_currency(currency_code: str, text: str) -> None:
    (variables, _) = SAMPLES[MailKind.RENEWED]
    told = {**variables, "currency_code": currency_code}
    assert f"You paid {text}." in TEMPLATES.render(MailKind.RENEWED, "en", told).text


def test_what_others_have_named_is_neither_markup_nor_a_second_line() -> None:
    variables = {"plan_name": "<b>Pro</b>\n\nBcc: x@example.com", "ends_at": None}
    email = TEMPLATES.render(MailKind.CANCELED, None, variables)
    assert email.subject == "Your subscription of <b>Pro</b> Bcc: x@example.com is canceled"
    assert email.html is not None
    assert "<b>" not in email.html
    assert "&lt;b&gt;Pro&lt;/b&gt;" in email.html


def test_a_folder_of_ones_own_goes_first(tmp_path: Path) -> None:
    for language, text in (("de", "Hallo {{ plan_name }}"), ("fr", "Bonjour {{ ends_at }}")):
        (tmp_path / language).mkdir()
        own = f"Subject: {text}\n\n{text}\n"
        (tmp_path / language / "canceled.txt").write_text(own)
    templates = MailTemplates(str(tmp_path))
    templates.check()
    variables = {"plan_name": "Pro", "ends_at": None}
    german = templates.render(MailKind.CANCELED, "de-AT", variables)
    assert (german.subject, german.text) == ("Hallo Pro", "Hallo Pro\n")
    french = templates.render(MailKind.CANCELED, "fr", variables)
    assert (french.subject, french.html) == ("Bonjour None", None)
    english = templates.render(MailKind.CANCELED, "en", variables)
    assert english == MailTemplates().render(MailKind.CANCELED, "en", variables)
    # What the folder has not is taken from the product.
    failed = {"next_attempt_at": None, "link": None}
    assert "fehlgeschlagen" in templates.render(MailKind.PAYMENT_FAILED, "de", failed).subject


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("canceled.txt", "Subject: a\n\n{{ unknown }}"),
        ("canceled.txt", "Subject: a\n\n{% if %}"),
        ("canceled.txt", "Subject: only"),
        ("canceled.txt", "No subject\n\ntext"),
        ("canceled.html", "{{ ends_at | dat }}"),
        ("renewed.txt", "Subject: a\n\n{{ amount_cents | date }}"),
    ],
)
def test_a_broken_template_is_found_at_the_start(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / name).write_text(text)
    kind = name.partition(".")[0]
    with pytest.raises(InvalidInputError, match=f"the mail template en/{kind} is broken"):
        MailTemplates(str(tmp_path)).check()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"no folder of mail templates at .*nowhere"):
        MailTemplates(str(tmp_path / "nowhere")).check()


def test_a_missing_variable_is_an_error_and_no_gap() -> None:
    with pytest.raises(TemplateError):
        TEMPLATES.render(MailKind.CANCELED, None, {"plan_name": "Pro"})


def test_no_template_is_forgotten() -> None:
    names = {f"{kind}.{ending}" for kind in MailKind for ending in ("txt", "html")}
    for language in ("en", "de"):
        assert {path.name for path in (BUILT_IN / language).iterdir()} == names
    assert set(SAMPLES) == set(MailKind)
