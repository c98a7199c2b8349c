"""Reads single headers of a request, without an object for all of them."""

from starlette.types import Scope


def header_of(scope: Scope, name: bytes) -> str:
    """Return the first value of a header; empty if there is none.

    Args:
        scope: Scope of the request.
        name: Name of the header, in lower case.
    """
    for each, value in scope["headers"]:
        if each == name:
            return str(value.decode("latin-1"))
    return ""
