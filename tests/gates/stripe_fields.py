"""Where an adapter reads a field of one of Stripe's objects without going through `reading.py`.

The SDK raises for keys that Stripe leaves out, so only `field` and its like may read them. A name
holds an object of Stripe's if it is a parameter annotated with one, or was assigned from a call of
the client, from `field`, `required` or `entries`, or is the loop variable over such a thing.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "adapters" / "stripe"
READERS = frozenset({"field", "required", "entries"})
# `reading.py` itself; and errors of the SDK, whose attributes it fills in always.
EXEMPT = frozenset({"reading.py"})
PAGES = frozenset({"auto_paging_iter", "next_page_async"})


def violations(folder: Path = FOLDER) -> Iterator[str]:
    """Return each attribute or item that is read bare, with its place.

    Args:
        folder: The adapters' modules.
    """
    for path in sorted(folder.glob("*.py")):
        if path.name in EXEMPT:
            continue
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for line, name in _bare(function):
                    yield f"{path.name}:{line}: {name} is read without `field`"


def _bare(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[int, str]]:
    held = _held(function)
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and _is_held(node.value, held):
            if node.attr not in PAGES:
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Subscript) and _is_held(node.value, held):
            if not _is_position(node.slice):
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Call) and _is_getattr(node) and _is_held(node.args[0], held):
            yield node.lineno, ast.unparse(node)


def _held(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Return the names that hold an object of Stripe's."""
    arguments = function.args
    held = {
        each.arg
        for each in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        if each.annotation is not None and _is_object(ast.unparse(each.annotation))
    }
    known = -1
    while known != len(held):  # until nothing new is found: what is held is handed on
        known = len(held)
        for node in ast.walk(function):
            for target, value in _assignments(node):
                if _is_source(value, held):
                    held |= {name.id for name in _targets(target)}
    return held


def _is_object(annotation: str) -> bool:
    name = annotation.strip("\"'").split(" ")[0]
    return name.startswith("stripe.") and not name.endswith(("Error", "Client"))


def _assignments(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield target, node.value
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
        yield node.target, node.value
    elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
        yield node.target, node.iter


def _targets(target: ast.expr) -> Iterator[ast.Name]:
    """Return the names that are assigned to; what is put into something else is not."""
    if isinstance(target, ast.Name):
        yield target
    elif isinstance(target, ast.Tuple | ast.List):
        for each in target.elts:
            yield from _targets(each)
    elif isinstance(target, ast.Starred):
        yield from _targets(target.value)


def _is_position(index: ast.expr) -> bool:
    """Say whether an index is one into a list, which is Python's own."""
    return isinstance(index, ast.Slice) or (
        isinstance(index, ast.Constant) and isinstance(index.value, int)
    )


def _is_source(value: ast.expr, held: set[str]) -> bool:
    """Say whether an expression is an object of Stripe's, or a collection of them."""
    if isinstance(value, ast.Name):
        return value.id in held
    if isinstance(value, ast.Call):
        return _is_source_call(value, held)
    if isinstance(value, ast.ListComp | ast.GeneratorExp):
        return _is_source(value.elt, held | _names_of(value, held))
    return any(_is_source(part, held) for part in _parts(value))


def _parts(value: ast.expr) -> list[ast.expr]:
    """Return the parts of an expression that it may stand for, or be taken from."""
    if isinstance(value, ast.Await | ast.Starred | ast.Attribute | ast.Subscript):
        return [value.value]
    if isinstance(value, ast.IfExp):
        return [value.body, value.orelse]
    if isinstance(value, ast.BoolOp):
        return value.values
    return value.elts if isinstance(value, ast.List | ast.Tuple) else []


def _is_source_call(call: ast.Call, held: set[str]) -> bool:
    function = call.func
    if isinstance(function, ast.Name):
        is_passed_on = function.id in {"next", "filter", "sorted", "list", "reversed", "iter"}
        return function.id in READERS or (
            is_passed_on and any(_is_source(each, held) for each in call.args)
        )
    if isinstance(function, ast.Attribute):
        is_client = "_client.v1." in ast.unparse(function)
        return is_client or _is_source(function.value, held)
    return False


def _names_of(value: ast.ListComp | ast.GeneratorExp, held: set[str]) -> set[str]:
    return {
        name.id
        for each in value.generators
        if _is_source(each.iter, held)
        for name in ast.walk(each.target)
        if isinstance(name, ast.Name)
    }


def _is_held(value: ast.expr, held: set[str]) -> bool:
    if isinstance(value, ast.Name):
        return value.id in held
    # Reason: a call of the client answers one, and nobody has to give it a name.
    is_read_at_once = isinstance(value, ast.Await) and _is_source(value, held)
    return is_read_at_once or (isinstance(value, ast.Call) and _is_reader(value))


def _is_reader(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id in READERS


def _is_getattr(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id == "getattr" and bool(call.args)
