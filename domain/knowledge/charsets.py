"""Decodes the texts of files, whose declared charset may be wrong. Pure."""

import codecs
import re

from domain.errors import InvalidInputError

# Byte order marks and their encodings, the longer marks first.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Python lists these as encodings too, and some take very long.
_NO_CHARSETS = frozenset(
    {"idna", "punycode", "raw_unicode_escape", "unicode_escape", "undefined", "utf-7"}
)
# Where an HTML page declares its charset: within its first bytes.
_META_BYTES = 2_048
_META = re.compile(
    rb"<(?:meta\b|\?xml\b)[^>]*?\b(?:charset|encoding)\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE
)
# Reason: browsers read all of these as Windows' charset, which has more letters.
_LATIN = frozenset({"iso8859-1", "ascii"})
# Reason: a page without a zero byte is of neither; its letters would be read in pairs.
_WIDE = ("utf-16", "utf-32")


def decode_text(body: bytes, declared: str | None) -> str:
    """Decode a plain text by its byte order mark, else as declared, else as UTF-8.

    Raises:
        InvalidInputError: The text is not of that charset (`document_not_utf8`).
    """
    charset = _marked(body) or known_charset(declared) or "utf-8"
    try:
        return body.decode(charset)
    except UnicodeError as error:
        message = f"the document cannot be read as {charset.upper().removesuffix('-SIG')}"
        raise InvalidInputError(message, "document_not_utf8") from error


def decode_html(body: bytes, declared: str | None) -> str:
    """Decode an HTML page as browsers do, which never fails.

    Reason: servers often declare a wrong charset. Bytes that are valid UTF-8 are seldom anything
    else, so this goes before what is declared.
    """
    found = _META.search(body[:_META_BYTES])
    in_page = known_charset(found[1].decode("ascii", "ignore")) if found else None
    utf8 = None if body.isascii() else "utf-8"
    for charset in (_marked(body), utf8, known_charset(declared), in_page):
        if charset is None or (charset.startswith(_WIDE) and b"\0" not in body):
            continue
        try:
            return body.decode("cp1252" if charset in _LATIN else charset)
        except UnicodeError:
            continue
    return body.decode("cp1252", "replace")


def known_charset(charset: str | None) -> str | None:
    """Return the name of a charset; None if it is unknown or not a charset of texts."""
    try:
        name = codecs.lookup(charset or "").name
        b" ".decode(name, "ignore")  # Reason: some codecs do not decode to text
    except LookupError:
        return None
    return None if name in _NO_CHARSETS else name


def _marked(body: bytes) -> str | None:
    return next((name for mark, name in _MARKS if body.startswith(mark)), None)
