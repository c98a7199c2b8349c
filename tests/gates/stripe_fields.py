"""Finds reads of fields of Stripe's objects in the adapters that do not use `reading.py`.

Stripe's SDK raises an error for fields that Stripe leaves out, so only `field`, `required` and
`entries` may read them. A name holds a Stripe object if it is a parameter with such an annotation,
is assigned from a call of the client or of these functions, or is a loop variable over objects.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "adapters" / "stripe"
READERS = frozenset({"field", "required", "entries", "list_entries"})
# Reason: `reading.py` has the functions that read fields. The SDK's errors may be read directly,
# too, since the SDK always sets their attributes.
EXEMPT = frozenset({"reading.py"})
PAGES = frozenset({"auto_paging_iter", "next_page_async"})


def violations(folder: Path = FOLDER) -> Iterator[str]:
    """Yield each attribute or item that is read directly, with file and line.

    Args:
        folder: Folder of the adapters' modules.
    """
    for path in sorted(folder.glob("*.py")):
        if path.name in EXEMPT:
            continue
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for line, name in _direct_reads(function):
                    yield f"{path.name}:{line}: {name} is read without `field`"


def _direct_reads(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[int, str]]:
    names = _object_names(function)
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and _is_stripe_object(node.value, names):
            if node.attr not in PAGES:
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Subscript) and _is_stripe_object(node.value, names):
            if not _is_list_index(node.slice):
                yield node.lineno, ast.unparse(node)
        elif (
            isinstance(node, ast.Call)
            and _is_getattr(node)
            and _is_stripe_object(node.args[0], names)
        ):
            yield node.lineno, ast.unparse(node)


def _object_names(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Return the names that hold a Stripe object."""
    arguments = function.args
    names = {
        each.arg
        for each in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        if each.annotation is not None and _is_object_type(ast.unparse(each.annotation))
    }
    known = -1
    while known != len(names):  # Reason: an object may be assigned from one name to the next.
        known = len(names)
        for node in ast.walk(function):
            for target, value in _assignments(node):
                if _is_source(value, names):
                    names |= {name.id for name in _targets(target)}
    return names


def _is_object_type(annotation: str) -> bool:
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
    """Yield the names that an assignment sets, without attributes and items."""
    if isinstance(target, ast.Name):
        yield target
    elif isinstance(target, ast.Tuple | ast.List):
        for each in target.elts:
            yield from _targets(each)
    elif isinstance(target, ast.Starred):
        yield from _targets(target.value)


def _is_list_index(index: ast.expr) -> bool:
    """Return whether an index is an integer or a slice, which only lists take."""
    return isinstance(index, ast.Slice) or (
        isinstance(index, ast.Constant) and isinstance(index.value, int)
    )


def _is_source(value: ast.expr, names: set[str]) -> bool:
    """Return whether an expression is a Stripe object, or a collection of Stripe objects."""
    if isinstance(value, ast.Name):
        return value.id in names
    if isinstance(value, ast.Call):
        return _is_source_call(value, names)
    if isinstance(value, ast.ListComp | ast.GeneratorExp):
        return _is_source(value.elt, names | _loop_names(value, names))
    return any(_is_source(part, names) for part in _parts(value))


def _parts(value: ast.expr) -> list[ast.expr]:
    """Return the parts of an expression that may be, or may contain, the expression's value."""
    if isinstance(value, ast.Await | ast.Starred | ast.Attribute | ast.Subscript):
        return [value.value]
    if isinstance(value, ast.IfExp):
        return [value.body, value.orelse]
    if isinstance(value, ast.BoolOp):
        return value.values
    return value.elts if isinstance(value, ast.List | ast.Tuple) else []


def _is_source_call(call: ast.Call, names: set[str]) -> bool:
    function = call.func
    if isinstance(function, ast.Name):
        is_passed_on = function.id in {"next", "filter", "sorted", "list", "reversed", "iter"}
        return function.id in READERS or (
            is_passed_on and any(_is_source(each, names) for each in call.args)
        )
    if isinstance(function, ast.Attribute):
        is_client = "_client.v1." in ast.unparse(function)
        return is_client or _is_source(function.value, names)
    return False


def _loop_names(value: ast.ListComp | ast.GeneratorExp, names: set[str]) -> set[str]:
    return {
        name.id
        for each in value.generators
        if _is_source(each.iter, names)
        for name in ast.walk(each.target)
        if isinstance(name, ast.Name)
    }


def _is_stripe_object(value: ast.expr, names: set[str]) -> bool:
    if isinstance(value, ast.Name):
        return value.id in names
    # Reason: the result of a call may be read without being assigned to a name.
    is_read_at_once = isinstance(value, ast.Await) and _is_source(value, names)
    return is_read_at_once or (isinstance(value, ast.Call) and _is_reader(value))


def _is_reader(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id in READERS


def _is_getattr(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id == "getattr" and bool(call.args)
