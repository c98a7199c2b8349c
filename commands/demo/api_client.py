"""Client of the API for one user."""

from typing import Any
from uuid import uuid4

import httpx

from commands.demo.checks import DemoError

API = "/api/v1"
TIMEOUT_SECONDS = 30.0

Document = dict[str, Any]


def answered(reply: httpx.Response) -> Any:
    """Return the JSON of a successful response.

    Raises:
        DemoError: The response is an error.
    """
    if not reply.is_success:
        request = reply.request
        raise DemoError(
            f"{request.method} {request.url} answered {reply.status_code}: {reply.text}"
        )
    return reply.json()


class ApiClient:
    """Sends requests to the API with one user's credentials."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS)

    @property
    def credentials(self) -> dict[str, str]:
        """Return the headers that authenticate the user."""
        names = ("X-API-Key", "Authorization")
        return {name: self._http.headers[name] for name in names if name in self._http.headers}

    def identify(self, name: str, secret: str) -> None:
        """Set the header that authenticates all further requests."""
        self._http.headers[name] = secret

    def log_in(self, email: str, password: str) -> None:
        """Get an access token, and send the token with all further requests."""
        form = {"username": email, "password": password}
        token = answered(self._http.post(f"{API}/auth/token", data=form))["access_token"]
        self.identify("Authorization", f"Bearer {token}")

    def get(self, path: str) -> Document:
        """Send a GET, and return the response's JSON."""
        document: Document = answered(self._http.get(f"{API}/{path}"))
        return document

    def put(self, path: str, body: Document) -> None:
        """Send a PUT."""
        answered(self._http.put(f"{API}/{path}", json=body))

    def post(self, path: str, body: Document) -> Document:
        """Send a POST, and return the response's JSON."""
        document: Document = answered(self.try_post(path, body))
        return document

    def try_post(self, path: str, body: Document) -> httpx.Response:
        """Send a POST, and return the response, also if it is an error."""
        headers = {"Idempotency-Key": uuid4().hex}
        return self._http.post(f"{API}/{path}", json=body, headers=headers)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
