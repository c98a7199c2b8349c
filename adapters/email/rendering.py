"""Renders mails from Jinja2 templates, as text and as HTML, in the language of the recipient."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime
from babel.numbers import format_currency
from jinja2 import (
    Environment,
    FileSystemLoader,
    StrictUndefined,
    TemplateError,
    TemplateNotFound,
    pass_context,
    select_autoescape,
)
from jinja2.runtime import Context

from domain.errors import InvalidInputError
from domain.notifications import SAMPLES, Email, MailKind
from domain.payments.money import major_units

BUILT_IN = Path(__file__).with_name("templates")
ENGLISH = "en"
_SUBJECT = "Subject:"


class MailTemplates:
    """Renders mails; the team's own templates go before those that come with the product.

    A folder of templates has one folder for each language, with `KIND.txt` and `KIND.html` in it.
    The first paragraph of a text is its subject. A text without a page is sent as text only.
    """

    def __init__(self, own_folder: str = "") -> None:
        self._folders = [Path(own_folder), BUILT_IN] if own_folder else [BUILT_IN]
        self._environment = Environment(
            loader=FileSystemLoader(self._folders),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self._environment.filters |= {"date": _date, "time": _time, "money": _money}

    def render(self, kind: MailKind, locale: str | None, variables: Mapping[str, Any]) -> Email:
        """Render a mail in the recipient's language, else in English.

        Args:
            kind: Kind of the mail.
            locale: Language of the recipient, such as `de` or `de-AT`.
            variables: What the mail says.

        Raises:
            TemplateError: The template is broken, or needs a variable that is not there.
        """
        language = self._language(kind, locale)
        shown = {name: _in_one_line(value) for name, value in variables.items()}
        shown["locale"] = _formats_of(locale, language)
        subject, text = self._text(f"{language}/{kind}.txt", shown)
        return Email(
            subject=subject,
            text=text,
            html=self._page(f"{language}/{kind}.html", {**shown, "subject": subject}),
        )

    def check(self) -> None:
        """Render all templates once with samples, so that a broken one is found before its mail.

        Raises:
            InvalidInputError: A template is broken; the message names the language and the kind.
        """
        for language in sorted(self._languages()):
            for kind, samples in SAMPLES.items():
                try:
                    for variables in samples:
                        self.render(kind, language, variables)
                except (TemplateError, ValueError, TypeError) as error:
                    message = f"the mail template {language}/{kind} is broken: {error}"
                    raise InvalidInputError(message) from error

    def _languages(self) -> Iterator[str]:
        for folder in self._folders:
            if not folder.is_dir():
                raise InvalidInputError(f"there is no folder of mail templates at {folder}")
            yield from (path.name for path in folder.iterdir() if path.is_dir())

    def _language(self, kind: MailKind, locale: str | None) -> str:
        """Return the first language that the mail has a text in: as asked, in general, English."""
        asked = [] if locale is None else [locale, locale.partition("-")[0]]
        for language in asked:
            if any((folder / language / f"{kind}.txt").is_file() for folder in self._folders):
                return language
        return ENGLISH

    def _text(self, name: str, variables: Mapping[str, Any]) -> tuple[str, str]:
        """Return subject and text.

        Raises:
            ValueError: The text does not begin with its subject.
        """
        rendered = self._environment.get_template(name).render(variables)
        head, _, text = rendered.partition("\n\n")
        if not head.startswith(_SUBJECT) or not text.strip():
            raise ValueError(f"{name} must begin with `{_SUBJECT} …` and an empty line")
        return _in_one_line(head.removeprefix(_SUBJECT)), text

    def _page(self, name: str, variables: Mapping[str, Any]) -> str | None:
        try:
            template = self._environment.get_template(name)
        except TemplateNotFound:
            return None
        return template.render(variables)


def _in_one_line(value: Any) -> Any:
    # Reason: a name of two lines could begin a paragraph, or the text, in the middle of a subject.
    return " ".join(value.split()) if isinstance(value, str) else value


def _formats_of(locale: str | None, language: str) -> Locale:
    """Return how dates and amounts are written: as in the recipient's region, if it is known."""
    is_same = locale is not None and locale.partition("-")[0] == language.partition("-")[0]
    for name in (locale if is_same else None, language):
        try:
            if name is not None:
                return Locale.parse(name, sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    return Locale(ENGLISH)


@pass_context
def _date(context: Context, value: str) -> str:
    """Filter: write the date of a time, such as `23. November 2026`."""
    return format_date(datetime.fromisoformat(value), "long", locale=context["locale"])


@pass_context
def _time(context: Context, value: str) -> str:
    """Filter: write a time with its date, in UTC, such as `23. November 2026 um 09:00:00 UTC`."""
    return format_datetime(datetime.fromisoformat(value), "long", locale=context["locale"])


@pass_context
def _money(context: Context, amount_cents: int, currency_code: str) -> str:
    """Filter: write an amount in its currency, such as `29,00 €`."""
    amount = major_units(amount_cents, currency_code)
    return format_currency(amount, currency_code.upper(), locale=context["locale"])
