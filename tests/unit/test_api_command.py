"""Command `api`: what it sends, and what it refuses before it sends anything."""

import pytest

from commands.api import RequestError, call_api
from tests.conftest import free_port

FACTS = {"api": f"http://127.0.0.1:{free_port()}", "admin_api_key": "x"}


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(RequestError, match="FOO is none of GET, POST, PUT, PATCH, DELETE"):
        call_api("FOO", "plans", None, FACTS)


@pytest.mark.parametrize("path", ["plans", "/plans", "/api/v1/plans"])
def test_a_path_may_be_whole(path: str) -> None:
    with pytest.raises(RequestError, match=r":\d+/api/v1/plans cannot be reached"):
        call_api("GET", path, None, FACTS)
