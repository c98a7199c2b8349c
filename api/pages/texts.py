"""Texts of the pages on which people decide approvals, in English and German."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from domain.agents.approvals import ApprovalStatus


class Trouble(StrEnum):
    """Why a page shows no tool call, or why a decision was not recorded."""

    UNKNOWN = "unknown"
    EXPIRED = "expired"
    NOT_ALLOWED = "not_allowed"
    DECIDED = "decided"
    RUN_ENDED = "run_ended"
    PENDING = "pending"
    UNAVAILABLE = "unavailable"
    INVALID = "invalid"


class Notice(NamedTuple):
    """A heading and what it means."""

    title: str
    text: str


@dataclass(frozen=True)
class PageTexts:
    """All texts of the pages in one language."""

    language: str
    approval_title: str
    question_title: str
    tool: str
    agent: str
    asked_by: str
    expires_at: str
    effect: str
    arguments: str
    is_not_decided: str
    reason: str
    given_reason: str
    answer: str
    approve: str
    reject: str
    send_answer: str
    leave_unanswered: str
    decided_at: str
    open_again: str
    outcomes: Mapping[ApprovalStatus, str]
    troubles: Mapping[Trouble, Notice]


ENGLISH = PageTexts(
    language="en",
    approval_title="A tool call needs your decision",
    question_title="An agent asks you a question",
    tool="Tool",
    agent="Agent",
    asked_by="Requested by",
    expires_at="Decide until",
    effect="What it would do",
    arguments="Arguments",
    is_not_decided="Nothing is decided yet. Without a decision, the call is not made.",
    reason="Reason (optional; the agent reads it)",
    given_reason="Reason",
    answer="Your answer",
    approve="Approve",
    reject="Reject",
    send_answer="Send the answer",
    leave_unanswered="Leave it unanswered",
    decided_at="Decided on",
    open_again="Open this page again",
    outcomes={
        ApprovalStatus.PENDING: "Not decided yet",
        ApprovalStatus.APPROVED: "Approved",
        ApprovalStatus.REJECTED: "Rejected",
        ApprovalStatus.EXPIRED: "Expired without a decision",
    },
    troubles={
        Trouble.UNKNOWN: Notice("Unknown link", "There is no such link, or it is too old."),
        Trouble.EXPIRED: Notice(
            "This link has expired", "It can decide nothing any more. Silence is a no."
        ),
        Trouble.NOT_ALLOWED: Notice(
            "You may not decide this", "This decision is not yours, or not yours any more."
        ),
        Trouble.DECIDED: Notice(
            "This is decided already", "Another decision came first, so yours was not recorded."
        ),
        Trouble.RUN_ENDED: Notice(
            "The run has ended", "There is nothing to decide any more. The call is not made."
        ),
        Trouble.PENDING: Notice(
            "The outcome is not known yet",
            "Your decision is being recorded. Open this page again in a moment to see the outcome.",
        ),
        Trouble.UNAVAILABLE: Notice(
            "This does not work at the moment", "Nothing is lost. Try again in a few minutes."
        ),
        Trouble.INVALID: Notice(
            "This could not be read",
            "Open the link of the mail unchanged. A reason has at most 1,000 characters, and a "
            "question needs an answer.",
        ),
    },
)
GERMAN = PageTexts(
    language="de",
    approval_title="Ein Werkzeugaufruf wartet auf Ihre Entscheidung",
    question_title="Ein Agent stellt Ihnen eine Frage",
    tool="Werkzeug",
    agent="Agent",
    asked_by="Beauftragt von",
    expires_at="Zu entscheiden bis",
    effect="Was geschehen würde",
    arguments="Argumente",
    is_not_decided="Noch ist nichts entschieden. Ohne Entscheidung findet der Aufruf nicht statt.",
    reason="Begründung (freiwillig; der Agent liest sie)",
    given_reason="Begründung",
    answer="Ihre Antwort",
    approve="Freigeben",
    reject="Ablehnen",
    send_answer="Antwort senden",
    leave_unanswered="Unbeantwortet lassen",
    decided_at="Entschieden am",
    open_again="Diese Seite neu öffnen",
    outcomes={
        ApprovalStatus.PENDING: "Noch nicht entschieden",
        ApprovalStatus.APPROVED: "Freigegeben",
        ApprovalStatus.REJECTED: "Abgelehnt",
        ApprovalStatus.EXPIRED: "Ohne Entscheidung abgelaufen",
    },
    troubles={
        Trouble.UNKNOWN: Notice(
            "Unbekannter Link", "Diesen Link gibt es nicht, oder er ist zu alt."
        ),
        Trouble.EXPIRED: Notice(
            "Dieser Link ist abgelaufen",
            "Mit ihm lässt sich nichts mehr entscheiden. Schweigen gilt als Nein.",
        ),
        Trouble.NOT_ALLOWED: Notice(
            "Sie dürfen dies nicht entscheiden",
            "Diese Entscheidung liegt nicht bei Ihnen, oder nicht mehr.",
        ),
        Trouble.DECIDED: Notice(
            "Dies ist schon entschieden",
            "Eine andere Entscheidung war früher da; Ihre wurde nicht festgehalten.",
        ),
        Trouble.RUN_ENDED: Notice(
            "Der Lauf ist beendet",
            "Es gibt nichts mehr zu entscheiden. Der Aufruf findet nicht statt.",
        ),
        Trouble.PENDING: Notice(
            "Das Ergebnis steht noch aus",
            "Ihre Entscheidung wird festgehalten. Öffnen Sie diese Seite gleich noch einmal, um "
            "das Ergebnis zu sehen.",
        ),
        Trouble.UNAVAILABLE: Notice(
            "Das geht im Moment nicht",
            "Es ist nichts verloren. Versuchen Sie es in einigen Minuten noch einmal.",
        ),
        Trouble.INVALID: Notice(
            "Das war nicht lesbar",
            "Öffnen Sie den Link der Mail unverändert. Eine Begründung hat höchstens 1.000 "
            "Zeichen, und eine Frage braucht eine Antwort.",
        ),
    },
)


def texts_for(locale: str | None) -> PageTexts:
    """Return the texts in a language, such as `de` or `de-AT`; English if it is another one."""
    language = (locale or "").partition("-")[0].lower()
    return GERMAN if language == GERMAN.language else ENGLISH
