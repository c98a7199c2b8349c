"""Which types the SDK has for a call: read out of its own services, so exact for its version."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import stripe

from sandbox.stripe.checks import names

_METHOD = re.compile(
    r"    def \w+\(\s*self,(?P<arguments>.*?)\) -> \"?(?P<answer>.*?)\"?:\n.*?"
    r"self\._request\(\s*\"(?P<verb>\w+)\",\s*\"(?P<path>/v1/[^\"]+|/v2/core/events[^\"]*)\"",
    re.DOTALL,
)
_PARAMS = re.compile(r"params: (?:Optional\[\s*)?\"(\w+)\"")
_LIKE = {
    ("GET", "/v1/charges/{id}/refunds"): "/v1/refunds",
    ("GET", "/v1/customers/{id}/subscriptions"): "/v1/subscriptions",
}
"""Addresses of lists in objects, which the SDK follows by `url`, and calls that are like them."""
_PLACE = re.compile(r"\{\w+\}")


@dataclass(frozen=True)
class Method:
    """The types of one call: a TypedDict of its parameters, and what it answers."""

    params: Any
    answer: Any


@cache
def sources() -> dict[str, str]:
    """Return the source of each module of services, by the module's name."""
    root = Path(stripe.__file__).parent
    return {
        ".".join(["stripe", *path.relative_to(root).with_suffix("").parts]): path.read_text()
        for path in sorted(root.rglob("_*service.py"))
    }


@cache
def signatures() -> dict[tuple[str, str], tuple[str, str, str]]:
    """Return module, parameters and answer of each call, by method and pattern."""
    found: dict[tuple[str, str], tuple[str, str, str]] = {}
    for module, source in sources().items():
        for match in _METHOD.finditer(source):
            named = _PARAMS.search(match["arguments"])
            if named is None:
                raise ValueError(f"{module}: no parameters before {match['path']}")
            key = (match["verb"].upper(), _PLACE.sub("{id}", match["path"]))
            found.setdefault(key, (module, named[1], match["answer"]))
    return found


@cache
def find(verb: str, pattern: str) -> Method | None:
    """Return the types of a route such as `POST /v1/customers/{id}`, if the SDK has it."""
    signature = signatures().get((verb, _LIKE.get((verb, pattern), pattern)))
    if signature is None:
        return None
    module, params, answer = signature
    found = names.resolve({"params": params, "answer": answer}, module)
    return Method(found["params"], found["answer"])
