"""Reads a document that is uploaded as a file of a form."""

import hashlib
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import Depends, Form

from api.http.card_guard import masked
from api.schemas.documents import NewUpload
from domain.knowledge.files import SourceFile, clean_title, uploaded_file

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
    form: Annotated[NewUpload, Form(media_type="multipart/form-data")],
) -> Upload:
    """Return the upload in a request's form."""
    name = form.file.filename or ""
    file = uploaded_file(await form.file.read(), form.file.content_type or "", name)
    return Upload(file, clean_title(name) or "Untitled", form.title or None, form.user_id or None)


UploadDep = Annotated[Upload, Depends(read_upload)]
