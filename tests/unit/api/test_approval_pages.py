"""The pages' texts are complete in both languages, and their policy allows exactly their style."""

import base64
import hashlib
import re
from dataclasses import fields

import pytest

from api.pages.approval_pages import HEADERS, trouble_page
from api.pages.texts import ENGLISH, GERMAN, PageTexts, Trouble, texts_for
from domain.agents.approvals import ApprovalStatus


def test_both_languages_say_everything_and_differ() -> None:
    for texts in (ENGLISH, GERMAN):
        assert texts.outcomes.keys() == set(ApprovalStatus)
        assert texts.troubles.keys() == set(Trouble)
    for field in fields(PageTexts):
        english, german = getattr(ENGLISH, field.name), getattr(GERMAN, field.name)
        assert english
        assert field.name == "agent" or english != german, field.name
    for trouble in Trouble:
        assert ENGLISH.troubles[trouble] != GERMAN.troubles[trouble]


@pytest.mark.parametrize(
    ("locale", "texts"),
    [
        (None, ENGLISH),
        ("", ENGLISH),
        ("en-GB", ENGLISH),
        ("fr", ENGLISH),
        ("de", GERMAN),
        ("de-AT", GERMAN),
        ("DE", GERMAN),
        ("den", ENGLISH),
    ],
)
def test_the_language_is_the_reader_s_or_english(locale: str | None, texts: PageTexts) -> None:
    assert texts_for(locale) is texts


@pytest.mark.parametrize("texts", [ENGLISH, GERMAN], ids=["en", "de"])
@pytest.mark.parametrize(
    ("status", "code", "trouble"),
    [
        (403, "approver_required", Trouble.NOT_ALLOWED),
        (404, "not_found", Trouble.UNKNOWN),
        (409, "approval_closed", Trouble.DECIDED),
        (409, "args_digest_mismatch", Trouble.DECIDED),
        (409, "illegal_command", Trouble.RUN_ENDED),
        (410, "link_expired", Trouble.EXPIRED),
        (413, "payload_too_large", Trouble.INVALID),
        (422, "invalid_input", Trouble.INVALID),
        (500, "internal_error", Trouble.UNAVAILABLE),
        (503, "outcome_pending", Trouble.PENDING),
        (503, "temporal_unavailable", Trouble.UNAVAILABLE),
        (503, "database_unavailable", Trouble.UNAVAILABLE),
    ],
)
def test_each_error_is_a_page_that_says_what_to_do(
    texts: PageTexts, status: int, code: str, trouble: Trouble
) -> None:
    page = trouble_page(status, code, texts)
    text = bytes(page.body).decode()
    title, sentence = texts.troubles[trouble]
    assert page.status_code == status
    assert f"<h1>{title}</h1>" in text
    assert sentence in text
    assert code not in text


def test_the_policy_allows_exactly_the_style_of_the_page() -> None:
    text = bytes(trouble_page(404, "not_found", ENGLISH).body).decode()
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in HEADERS["Content-Security-Policy"]
