"""Builds PDFs, sound and hostile ones, object by object."""

import zlib
from io import BytesIO

from pypdf import PdfReader, PdfWriter

CATALOG = b"<< /Type /Catalog /Pages 2 0 R >>"
FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
FIRST_PAGE = 4


def pdf(*pages: str, title: str = "") -> bytes:
    """Return a PDF with these pages, each a text of some lines."""
    kids = b" ".join(b"%d 0 R" % (FIRST_PAGE + 2 * index) for index in range(len(pages)))
    objects = [CATALOG, b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(pages)), FONT]
    for index, text in enumerate(pages):
        contents = FIRST_PAGE + 2 * index + 1
        objects += [page_object(contents), stream(shown(text))]
    return built(objects, title)


def page_object(contents: int) -> bytes:
    return (
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842]"
        b" /Resources << /Font << /F1 3 0 R >> >> /Contents %d 0 R >>" % contents
    )


def shown(text: str) -> bytes:
    """Return the operators that show the lines of a text."""
    rows = [
        line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        for line in text.split("\n")
    ]
    shows = " 0 -14 Td ".join(f"({row}) Tj" for row in rows)
    return f"BT /F1 12 Tf 72 750 Td {shows} ET".encode("latin-1") if text else b""


def stream(data: bytes, extra: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), extra, data)


def bomb(size: int, times: int = 1) -> bytes:
    """Return a stream that is some kilobytes long, and unpacks to this size."""
    data, filters = b" " * size, b""
    for _ in range(times):
        data, filters = zlib.compress(data, 9), filters + b"/FlateDecode "
    return stream(data, b"/Filter [%s]" % filters)


def built(objects: list[bytes], title: str = "") -> bytes:
    """Return a PDF of numbered objects, of which the first is the catalog."""
    if title:
        objects = [*objects, b"<< /Title (%s) >>" % title.encode("latin-1")]
    out, places = bytearray(b"%PDF-1.7\n"), []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    info = b"/Info %d 0 R " % len(objects) if title else b""
    out += b"trailer\n<< /Size %d /Root 1 0 R %s>>\n" % (len(objects) + 1, info)
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % start)


def encrypted(content: bytes, password: str, algorithm: str = "AES-256") -> bytes:
    """Return a PDF that this password opens."""
    writer = PdfWriter(clone_from=PdfReader(BytesIO(content)))
    writer.encrypt(password, owner_password="owner", algorithm=algorithm)
    out = BytesIO()
    writer.write(out)
    return out.getvalue()
