"""Which addresses a list of domains allows."""

import pytest

from domain.web_domains import is_allowed_address, read_domain_entry

ENTRIES = ("docs.example.com", "*.example.org", "wiki.example.net:8443", "xn--bcher-kva.example")


@pytest.mark.parametrize(
    ("scheme", "host", "port"),
    [
        ("https", "docs.example.com", None),
        ("http", "docs.example.com", None),
        ("https", "docs.example.com.", None),
        ("https", "docs.example.com", 443),
        ("https", "a.example.org", None),
        ("https", "a.b.example.org", None),
        ("https", "wiki.example.net", 8443),
        ("http", "wiki.example.net", 8443),
        ("https", "xn--bcher-kva.example", None),
    ],
)
def test_allowed(scheme: str, host: str, port: int | None) -> None:
    assert is_allowed_address(scheme, host, port, ENTRIES)


@pytest.mark.parametrize(
    ("scheme", "host", "port"),
    [
        ("ftp", "docs.example.com", None),
        ("file", "", None),
        ("https", "", None),
        ("https", "example.com", None),
        ("https", "docs.example.com..", None),
        ("https", "a.docs.example.com", None),
        ("https", "docs.example.com.evil.example", None),
        ("https", "evil-docs.example.com", None),
        ("https", "docs-example.com", None),
        ("https", "example.org", None),
        ("https", "evilexample.org", None),
        ("https", "docs.example.com", 8443),
        ("http", "docs.example.com", 443),
        ("https", "a.example.org", 22),
        ("https", "wiki.example.net", None),
        ("https", "127.0.0.1", None),
        ("https", "::1", None),
        ("https", "2130706433", None),
    ],
)
def test_not_allowed(scheme: str, host: str, port: int | None) -> None:
    assert not is_allowed_address(scheme, host, port, ENTRIES)
    assert not is_allowed_address(scheme, host, port, ())


@pytest.mark.parametrize(
    "entry",
    [
        "Docs.Example.COM",
        " *.example.com ",
        "localhost",
        "localhost:8080",
        "xn--p1ai",
        "a_b.example",
    ],
)
def test_entries(entry: str) -> None:
    assert read_domain_entry(entry) == entry.strip().lower()


@pytest.mark.parametrize(
    "entry",
    [
        *("", "*", "*.*", "*.", "https://example.com", "example.com/", "example.com.", "a..b"),
        *("127.0.0.1", "[::1]", "::1", "10.0.0.0/8", "user@example.com", "bücher.example"),
        *("example.com:", "example.com:0", "example.com:https", "exa*mple.com", "a b.example"),
    ],
)
def test_what_is_no_domain_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="takes domains"):
        read_domain_entry(entry)
