"""Reads a document that is uploaded as a file of a form."""

import hashlib
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import Depends, File, Form, Request, UploadFile

from api.errors import named
from api.http.card_guard import masked
from api.schemas.common import Title
from domain.errors import InvalidInputError
from domain.knowledge.files import SourceFile, clean_title, uploaded_file

_FIELDS = frozenset({"file", "title", "user_id"})
# Reason: a fast hash of a short text that holds a card number would give the number away.
_SHORT_BYTES = 64 * 1_024


@dataclass(frozen=True)
class Upload:
    """A document that was uploaded as a file.

    Args:
        file: The file.
        name: Name of the file, without characters that cannot be stored.
        title: Title of the document, if it was given.
        user_id: User on whose behalf an administrator acts, if it was given.
    """

    file: SourceFile
    name: str
    title: str | None
    user_id: UUID | None

    def fingerprint(self) -> bytes:
        """Return a JSON text that is the same for the same upload."""
        body = self.file.body
        if len(body) <= _SHORT_BYTES:
            body = masked(body.decode("latin-1")).encode("latin-1", "replace")
        facts = {
            "file_sha256": hashlib.sha256(body).hexdigest(),
            "name": self.name,
            "media_type": self.file.media_type,
            "charset": self.file.charset,
            "title": self.title,
            "user_id": self.user_id,
        }
        return orjson.dumps(facts)


async def read_upload(
    request: Request,
    file: Annotated[UploadFile, File(description="Plain text, Markdown, HTML or a PDF.")],
    title: Annotated[
        Title | None,
        Form(description="By default that of the HTML page or PDF, or the name of the file."),
    ] = None,
    user_id: Annotated[
        UUID | None,
        Form(description="User on whose behalf an administrator acts; by default the caller."),
    ] = None,
) -> Upload:
    """Return the upload in a request's form.

    Raises:
        InvalidInputError: The form has a field that does not exist, or one twice.
    """
    names = [name for name, _ in (await request.form()).multi_items()]
    for name in names:
        if name not in _FIELDS or names.count(name) > 1:
            message = "no such field" if name not in _FIELDS else "the field is there twice"
            errors = [{"field": named("body", name), "message": message}]
            raise InvalidInputError("the input is not valid", details={"errors": errors})
    found = uploaded_file(await file.read(), file.content_type or "", file.filename or "")
    return Upload(found, clean_title(file.filename) or "Untitled", title, user_id)


UploadDep = Annotated[Upload, Depends(read_upload)]
