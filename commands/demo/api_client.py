"""A line to the API, with one person's rights."""

from typing import Any
from uuid import uuid4

import httpx

from commands.demo.checks import DemoError

API = "/api/v1"
TIMEOUT_SECONDS = 30.0

Document = dict[str, Any]


def answered(reply: httpx.Response) -> Any:
    """Return a good answer's JSON.

    Raises:
        DemoError: It was no good answer.
    """
    if not reply.is_success:
        request = reply.request
        raise DemoError(
            f"{request.method} {request.url} answered {reply.status_code}: {reply.text}"
        )
    return reply.json()


class ApiClient:
    """One person's line."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS)

    @property
    def credentials(self) -> dict[str, str]:
        """The headers that say who we are."""
        names = ("X-API-Key", "Authorization")
        return {name: self._http.headers[name] for name in names if name in self._http.headers}

    def identify(self, name: str, secret: str) -> None:
        """Say from now on who we are."""
        self._http.headers[name] = secret

    def log_in(self, email: str, password: str) -> None:
        """Get a token, and show it from now on."""
        form = {"username": email, "password": password}
        token = answered(self._http.post(f"{API}/auth/token", data=form))["access_token"]
        self.identify("Authorization", f"Bearer {token}")

    def get(self, path: str) -> Document:
        """Read something."""
        found: Document = answered(self._http.get(f"{API}/{path}"))
        return found

    def put(self, path: str, body: Document) -> None:
        """Set something."""
        answered(self._http.put(f"{API}/{path}", json=body))

    def post(self, path: str, body: Document) -> Document:
        """Make or do something."""
        made: Document = answered(self.try_post(path, body))
        return made

    def try_post(self, path: str, body: Document) -> httpx.Response:
        """Make or do something that may be refused."""
        headers = {"Idempotency-Key": uuid4().hex}
        return self._http.post(f"{API}/{path}", json=body, headers=headers)

    def close(self) -> None:
        """Hang up."""
        self._http.close()
