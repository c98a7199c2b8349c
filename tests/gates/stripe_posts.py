"""Finds POSTs to Stripe without `post_once`, or without an idempotency key.

In the adapters every call of Stripe's client that changes something has to pass on the parameter
`key` as the idempotency key. A caller of such an adapter method has to make the call in a function
that is passed to `post_once`, with the key that `post_once` passes to that function.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[2]
ADAPTERS = PROJECT / "adapters" / "stripe"
CALLERS = ("activities", "services", "api", "commands")
READS = ("retrieve_async", "retrieve_current_async", "list_async", "search_async")
# Reason: Stripe takes no idempotency key for a DELETE, which can be repeated safely.
DELETES = (
    "v1.subscriptions.cancel_async",
    "v1.webhook_endpoints.delete_async",
    "v1.invoice_items.delete_async",
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def posting_methods(folder: Path = ADAPTERS) -> dict[str, set[str]]:
    """Return the methods that POST, by the attribute that holds their adapter: `invoices`, …"""
    methods: dict[str, set[str]] = {}
    for path in sorted(folder.glob("*.py")):
        for owner in ast.walk(ast.parse(path.read_text())):
            if isinstance(owner, ast.ClassDef) and owner.name.startswith("Stripe"):
                names = {each.name for each in _functions(owner) if any(_posts(each))}
                attribute = re.sub(r"(?<!^)(?=[A-Z])", "_", owner.name.removeprefix("Stripe"))
                methods[attribute.lower()] = names
    return {attribute: names for attribute, names in methods.items() if names}


def keyless(folder: Path = ADAPTERS) -> Iterator[str]:
    """Yield the POSTs of Stripe's client that do not pass on the parameter `key`."""
    for path in sorted(folder.glob("*.py")):
        for function in _functions(ast.parse(path.read_text())):
            for call in _posts(function):
                if not _passes_key(call):
                    yield f"{path.name}:{call.lineno}: {ast.unparse(call.func)} has no key"


def unguarded(root: Path, methods: dict[str, set[str]]) -> Iterator[str]:
    """Yield the calls of POSTing methods outside of functions that are passed to `post_once`.

    Args:
        root: The project's folder.
        methods: Result of `posting_methods`.
    """
    for folder in CALLERS:
        for path in sorted((root / folder).rglob("*.py")):
            tree = ast.parse(path.read_text())
            guarded = {id(call) for call in _guarded(tree, methods)}
            for call in _calls_of(tree, methods):
                if id(call) not in guarded:
                    yield f"{path.relative_to(root)}:{call.lineno}: {ast.unparse(call.func)}"


def _guarded(tree: ast.AST, methods: dict[str, set[str]]) -> Iterator[ast.Call]:
    """Yield the calls in functions that are passed to `post_once`, if made with its key."""
    for outer in _functions(tree):
        passed = {
            ast.unparse(call.args[1])
            for call in ast.walk(outer)
            if isinstance(call, ast.Call)
            and ast.unparse(call.func) == "post_once"
            and len(call.args) > 1
        }
        for inner in _functions(outer):
            if inner is not outer and inner.name in passed and len(inner.args.args) == 1:
                key = inner.args.args[0].arg
                for call in _calls_of(inner, methods):
                    if call.args and ast.unparse(call.args[-1]) == key:
                        yield call


def _calls_of(tree: ast.AST, methods: dict[str, set[str]]) -> Iterator[ast.Call]:
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            owner = ast.unparse(call.func.value).rpartition(".")[2].lstrip("_")
            if call.func.attr in methods.get(owner, set()):
                yield call


def _posts(function: Function) -> Iterator[ast.Call]:
    """Yield the calls of Stripe's client that change something and are not a DELETE."""
    for call in ast.walk(function):
        if isinstance(call, ast.Call):
            name = ast.unparse(call.func)
            is_client = "_client.v1." in name and name.endswith("_async")
            if is_client and not name.endswith((*READS, *DELETES)):
                yield call


def _passes_key(call: ast.Call) -> bool:
    return any(
        isinstance(each, ast.Dict)
        and [ast.unparse(key) for key in each.keys if key is not None] == ["'idempotency_key'"]
        and ast.unparse(each.values[0]) == "key"
        for each in call.args
    )


def _functions(tree: ast.AST) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
