"""Renders the pages on which people decide approvals: HTML without scripts, and nothing loaded."""

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from babel import Locale
from babel.dates import format_datetime
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from api.pages.texts import PageTexts, Trouble
from api.schemas.run_decisions import MAX_REASON_LENGTH
from domain.agents.approvals import OWNER, ApprovalStatus
from domain.agents.shown_calls import shown_facts, visible
from services.agents.approval_links import OpenedLink

_STYLE = (
    "body{margin:0;padding:24px;font-family:sans-serif;line-height:1.5;color:#222;background:#fff}"
    "main{max-width:42em;margin:0 auto}h1{font-size:1.4em}h2{font-size:1.1em}"
    "dt{font-weight:bold}dd{margin:0 0 .5em;white-space:pre-wrap;overflow-wrap:anywhere}"
    "textarea{display:block;box-sizing:border-box;width:100%}.outcome{font-weight:bold}"
    "button{font-size:1em;padding:.5em 1.5em;margin-right:1em}"
)
_STYLE_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
# Headers of all answers under a link: nothing of it is loaded, framed, kept, indexed or passed on.
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
}
_TROUBLES: Mapping[str, Trouble] = {
    "approval_closed": Trouble.DECIDED,
    "args_digest_mismatch": Trouble.DECIDED,
    "approver_required": Trouble.NOT_ALLOWED,
    "illegal_command": Trouble.RUN_ENDED,
    "link_expired": Trouble.EXPIRED,
    "not_found": Trouble.UNKNOWN,
    "outcome_pending": Trouble.PENDING,
}
# Troubles after which a person may open the page again.
_OPENABLE = frozenset({Trouble.DECIDED, Trouble.PENDING, Trouble.UNAVAILABLE, Trouble.INVALID})
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def approval_page(opened: OpenedLink, texts: PageTexts) -> HTMLResponse:
    """Return the page of a link: the tool call, with a form as long as it waits.

    Args:
        opened: The link and what it is about.
        texts: Texts in the language of its user.
    """
    approval = opened.approval
    status, is_question = ApprovalStatus(approval.approval_status), approval.approver_role == OWNER
    is_waiting = status is ApprovalStatus.PENDING
    shown = {
        "title": texts.question_title if is_question else texts.approval_title,
        "outcome": None if is_waiting else texts.outcomes[status],
        "decided_at": approval.decided_at and _time(approval.decided_at, texts),
        "reason": approval.reason and visible(approval.reason),
        "tool": visible(opened.call.tool),
        "agent": opened.run.agent,
        "asked_by": visible(opened.asked_by.name or opened.asked_by.email),
        "expires_at": _time(approval.expires_at, texts),
        "effect": shown_facts(approval.effect_data or {}),
        "arguments": shown_facts(opened.call.arguments_data),
        "is_question": is_question,
        "max_length": MAX_REASON_LENGTH,
    }
    return _page("approval.html", 200, texts, shown)


def trouble_page(status: int, code: str, texts: PageTexts) -> HTMLResponse:
    """Return the page of an error.

    Args:
        status: Status of the answer.
        code: Code of the error.
        texts: Texts in the language of the reader.
    """
    is_input = 400 <= status < 500
    trouble = _TROUBLES.get(code, Trouble.INVALID if is_input else Trouble.UNAVAILABLE)
    title, text = texts.troubles[trouble]
    shown = {"title": title, "text": text, "is_openable": trouble in _OPENABLE}
    return _page("trouble.html", status, texts, shown)


def _page(name: str, status: int, texts: PageTexts, shown: Mapping[str, Any]) -> HTMLResponse:
    # Reason: the style is our own text, and its digest in the header is that of its bytes.
    style = Markup(_STYLE)  # noqa: S704
    text = _ENVIRONMENT.get_template(name).render(shown, texts=texts, style=style)
    return HTMLResponse(text, status, headers=dict(HEADERS))


def _time(at: datetime, texts: PageTexts) -> str:
    return format_datetime(at, "long", locale=Locale(texts.language))
