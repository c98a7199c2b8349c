"""Which web addresses a list of domains allows. Pure."""

import re
from collections.abc import Collection

_DEFAULT_PORTS = {"http": 80, "https": 443}
# The last label needs a letter, so an IP address is no domain.
_ENTRY = re.compile(
    r"(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,62})\.){0,30}[a-z0-9-]{0,62}[a-z][a-z0-9-]{0,62}"
    r"(?::[1-9][0-9]{0,4})?"
)


def read_domain_entry(entry: str) -> str:
    """Return an entry of a list of domains in lower case.

    Raises:
        ValueError: The entry is not a domain.
    """
    name = entry.strip().lower()
    if not _ENTRY.fullmatch(name):
        raise ValueError(
            "takes domains such as docs.example.com, *.example.com or wiki.example.com:8443; "
            "other letters than ASCII in their encoded form (xn--...)"
        )
    return name


def is_allowed_address(scheme: str, host: str, port: int | None, entries: Collection[str]) -> bool:
    """Tell whether a list of domains allows an address.

    An entry allows its own name, with the port that it names, else with the scheme's default
    port. `*.example.com` allows all names below `example.com`, and not `example.com` itself.

    Args:
        scheme: `http` or `https`; others are not allowed.
        host: Host in the form in which it is connected to: lower case and ASCII.
        port: Port, if it is not the scheme's default.
        entries: Domains, as `read_domain_entry` returns them.
    """
    if (default := _DEFAULT_PORTS.get(scheme)) is None:
        return False
    # Reason: a name with the root's dot is the same name.
    name = host.removesuffix(".")
    for entry in entries:
        domain, _, wanted = entry.partition(":")
        is_port = (port or default) == int(wanted or default)
        is_below = domain.startswith("*.") and name.endswith(domain[1:])
        if is_port and (name == domain or is_below):
            return True
    return False
