"""Reads the text of files of all kinds, and of pages on the web."""

import asyncio
from typing import NamedTuple

from adapters.extraction.extractor import Extractor
from adapters.web_fetcher import PageFetcher
from domain.card_numbers import mask_card_numbers
from domain.knowledge.charsets import decode_text
from domain.knowledge.documents import BYTE_ORDER_MARK, check_text
from domain.knowledge.files import FileKind, FileText, SourceFile, file_kind


class FileReader:
    """Reads the text of files, with its card numbers masked.

    Args:
        extractor: Reads files that are no plain texts.
        max_text_bytes: Largest text.
        is_masked: Whether card numbers are masked.
    """

    def __init__(self, extractor: Extractor, max_text_bytes: int, *, is_masked: bool) -> None:
        self._extractor, self._max_text_bytes = extractor, max_text_bytes
        self._is_masked = is_masked

    async def read(self, file: SourceFile) -> FileText:
        """Read the text of a file.

        Raises:
            InvalidInputError: The file cannot be read; the code says why.
            UnavailableError: Other files come first.
        """
        kind = file_kind(file.body, file.media_type)
        if kind is FileKind.TEXT:
            text = await asyncio.to_thread(decode_text, file.body, file.charset)
            # Reason: the mark is not part of the text, and would hide a heading after it.
            found = FileText(text.removeprefix(BYTE_ORDER_MARK))
        else:
            found = await self._extractor.extract(kind, file)
        # Reason: scanning a long text would block the event loop.
        return await asyncio.to_thread(self._check, found)

    def _check(self, found: FileText) -> FileText:
        check_text(found.text, self._max_text_bytes)
        if not self._is_masked:
            return found
        title = mask_card_numbers(found.title) if found.title else None
        return FileText(mask_card_numbers(found.text), title)


class WebPage(NamedTuple):
    """The text of a page, and the address at which it was after all redirects."""

    url: str
    content: FileText


class PageReader:
    """Reads pages on the web.

    Args:
        fetcher: Fetches pages from where they may be fetched.
        files: Reads what was fetched.
    """

    def __init__(self, fetcher: PageFetcher, files: FileReader) -> None:
        self._fetcher, self._files = fetcher, files

    async def read(self, url: str) -> WebPage:
        """Fetch a page, and read its text.

        Raises:
            InvalidInputError: The page cannot be fetched or read; the code says why.
            UnavailableError: Its server does not answer now, or other files come first.
        """
        fetched = await self._fetcher.fetch(url)
        return WebPage(fetched.url, await self._files.read(fetched.file))
