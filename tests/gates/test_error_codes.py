"""Every error code that a client can see is explained in docs/troubleshooting.md."""

import ast
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAYERS = ["domain", "agents", "workflows", "activities", "services", "adapters", "database", "api"]
_CODE = re.compile(r"[a-z]+(_[a-z0-9]+)*")
# Given only if a workflow failed without a code, which no known error does.
_FALLBACKS = {"command_failed", "step_failed"}


def _codes_in(tree: ast.Module) -> Iterator[str]:
    """Yield the codes that a module gives to its errors, in calls and as a class's default."""
    names = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        for value in _code_values(node):
            literal = names.get(value.id) if isinstance(value, ast.Name) else value
            if isinstance(literal, ast.Constant) and isinstance(literal.value, str):
                yield literal.value


def _code_values(node: ast.AST) -> list[ast.expr]:
    """Return the expressions that give an error its code."""
    match node:
        case ast.Assign(targets=[ast.Name(id="code")], value=value):
            return [value]
        case ast.AnnAssign(target=ast.Name(id="code"), value=ast.expr() as value):
            return [value]
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords):
            second = args[1:2] if name.endswith("Error") else []
            return second + [word.value for word in keywords if word.arg in {"code", "error_code"}]
    return []


def _sources() -> list[str]:
    paths = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]
    return [path.read_text() for path in paths]


def _all_codes() -> set[str]:
    found = {code for source in _sources() for code in _codes_in(ast.parse(source))}
    return {code for code in found if _CODE.fullmatch(code)} - _FALLBACKS


def test_codes_are_read_from_calls_constants_and_classes() -> None:
    tree = ast.parse(
        'FULL = "much_full"\n'
        'class OddError(Exception):\n    code: str = "odd"\n'
        'raise OddError("x", "odd_two")\nraise OddError("x", FULL)\nOdd(error_code="odd_three")\n'
    )
    assert set(_codes_in(tree)) == {"odd", "odd_two", "much_full", "odd_three"}


def test_every_error_code_is_explained() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    codes = _all_codes()
    assert len(codes) > 60
    assert not sorted(code for code in codes if f"`{code}`" not in page)


def test_no_explained_code_is_gone() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    tables = page.partition("## Other trouble")[0]
    first_cells = [line.split("|")[1] for line in tables.splitlines() if line.startswith("| `")]
    explained = {code for cell in first_cells for code in re.findall(r"`(\w+)`", cell)}
    everything = "\n".join(_sources())
    of_http = {name.lower() for name in HTTPStatus.__members__}
    assert not sorted(code for code in explained - of_http if f'"{code}"' not in everything)
