"""Reads the text of an HTML page with trafilatura; imported by the child process only."""

import re
import sys

from lxml import etree, html
from trafilatura import extract, html2txt

from adapters.extraction.limits import Limits, UnreadableError, check_size
from domain.knowledge.charsets import decode_html
from domain.knowledge.files import FileText, clean_text

# Where the title of a page stands, the best first.
_TITLES = ('string(.//meta[@property="og:title"]/@content)', "string(.//title)", "string(.//h1)")
# Reason: the parser, the cleaning and the text are recursive, and the parser drops what is deeper.
_MAX_DEPTH = 250
_REFERENCE = re.compile(r"&#(?:[xX]([0-9a-fA-F]{1,6})|([0-9]{1,7}))(?![0-9a-fA-F]);?")


def read_html(body: bytes, charset: str | None, limits: Limits) -> FileText:
    """Read the main text of a page as Markdown, and the title.

    Raises:
        UnreadableError: The page has no text, is nested too deeply or has too much text.
    """
    # Reason: the cleaning fails if it finds control characters, which may be written as numbers.
    source = _REFERENCE.sub(_without_control, clean_text(decode_html(body, charset)))
    # Reason: a form feed begins a page of a document, which a web page has not.
    tree = _parse(source.replace("\f", " "))
    title = next((found for path in _TITLES if (found := str(tree.xpath(path)).strip())), None)
    text = extract(
        tree,
        fast=True,
        favor_recall=True,
        include_comments=False,
        output_format="markdown",
    )
    text = clean_text(text or html2txt(tree)).strip()
    if not text:
        raise UnreadableError("the page has no text", "document_without_text")
    check_size(len(text.encode()), limits)
    return FileText(text, title)


def _without_control(found: re.Match[str]) -> str:
    code = int(found[1], 16) if found[1] else int(found[2])
    is_kept = code > sys.maxunicode or clean_text(chr(code)).replace("\f", "")
    return found[0] if is_kept else ""


def _parse(source: str) -> html.HtmlElement:
    """Parse a page.

    Raises:
        UnreadableError: The page has no elements, or is nested too deeply.
    """
    parser = html.HTMLParser(
        collect_ids=False, encoding="utf-8", remove_comments=True, remove_pis=True
    )
    try:
        tree = html.document_fromstring(source.encode(), parser=parser)
    except etree.ParserError as error:
        raise UnreadableError("the page has no text", "document_without_text") from error
    depth = 0
    for event, _ in etree.iterwalk(tree, events=("start", "end")):
        depth += 1 if event == "start" else -1
        if depth > _MAX_DEPTH:
            message = "the elements of the page are nested too deeply"
            raise UnreadableError(message, "document_too_complex")
    return tree
