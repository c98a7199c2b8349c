"""Checks the project's own rules, which no standard tool checks.

Run: `python tests/gates/rules.py [ROOT]`. The script prints each violation with its place,
and ends with exit code 1 if there is one.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

MAX_FUNCTION_LINES = 50
MAX_CLASS_LINES = 100
MAX_FILE_LINES = 1_000
MAX_PRODUCT_FILE_LINES = 300
MAX_FOLDER_FILES = 12

PACKAGES = (
    "domain",
    "agents",
    "workflows",
    "activities",
    "services",
    "adapters",
    "database",
    "bootstrap",
    "observability",
    "api",
    "commands",
    "stack",
    "sandbox",
)
# The layers that are divided into areas.
DIVIDED = ("domain", "database", "services", "activities", "workflows")
# Reason: a test is as long as its scenario, and a migration as its list of columns.
SIZE_EXEMPT = ("tests", "migrations")
# Packages that a layer may import besides the standard library and itself.
ALLOWED_IMPORTS = {
    "domain": {"pydantic"},
    "workflows": {"activities", "agents", "domain", "langgraph", "pydantic", "temporalio"},
}
CLOCKS = {"monotonic", "perf_counter", "process_time", "thread_time", "time", "time_ns"}
EDGES = ("worker.py", "cli.py", "api/app.py", "tests/")  # files that may read settings
HOST_IN_LOCK = re.compile(r"://|^\s*(-i|-f|--(extra-)?index-url|--find-links|--trusted-host)\b")
FOREIGN_LOCKS = ("package-lock.json", "uv.lock", "yarn.lock", "poetry.lock")

Violations = Iterator[str]
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def sources(root: Path) -> Iterator[Path]:
    """Yield the Python files of the product and of its tests, relative to the root."""
    yield from sorted(path.relative_to(root) for path in root.glob("*.py"))
    for folder in (*PACKAGES, "migrations", "deploy", "examples", "tests"):
        yield from sorted(path.relative_to(root) for path in (root / folder).rglob("*.py"))


def oversized(path: Path, text: str, tree: ast.Module) -> Violations:
    """Find files, classes and functions that are too long."""
    is_product = path.parts[0] not in (*SIZE_EXEMPT, "sandbox")
    limit = MAX_PRODUCT_FILE_LINES if is_product else MAX_FILE_LINES
    if (length := text.count("\n")) > limit:
        yield f"{path}: {length} lines, at most {limit} are allowed in a file"
    if path.parts[0] in SIZE_EXEMPT:
        return
    rows = text.split("\n")
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef():
                limit, length = MAX_CLASS_LINES, code_lines(node, rows)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                limit = MAX_FUNCTION_LINES
                length = (node.end_lineno or node.lineno) - node.lineno + 1
            case _:
                continue
        if length > limit:
            yield f"{path}:{node.lineno}: {node.name} has {length} lines, at most {limit} allowed"


def code_lines(node: ast.ClassDef | ast.Module, rows: Sequence[str]) -> int:
    """Count the lines of a class or file without docstrings, comments and blank lines."""
    docstrings: set[int] = set()
    for inner in ast.walk(node):
        if not isinstance(inner, (ast.Module, ast.ClassDef, *_FUNCTIONS)):
            continue
        if ast.get_docstring(inner, clean=False) is not None:
            first = inner.body[0]
            docstrings |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    numbers = range(1, len(rows) + 1)
    if isinstance(node, ast.ClassDef):
        numbers = range(node.lineno, (node.end_lineno or node.lineno) + 1)
    code = [rows[number - 1].strip() for number in numbers if number not in docstrings]
    return sum(bool(line) and not line.startswith("#") for line in code)


def forbidden_imports(path: Path, tree: ast.Module) -> Violations:
    """Find imports that a layer may not have."""
    layer = path.parts[0]
    if layer not in ALLOWED_IMPORTS:
        return
    allowed = ALLOWED_IMPORTS[layer] | sys.stdlib_module_names | {layer}
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom(level=0, module=str(module)):
                names = [module]
            case _:
                continue
        for name in names:
            if name.partition(".")[0] not in allowed:
                yield f"{path}:{node.lineno}: {layer} may not import {name}"


def settings_inside(path: Path, tree: ast.Module) -> Violations:
    """Find code outside the entry points that reads settings from the environment."""
    if path.as_posix().startswith(EDGES):
        return
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="Settings") | ast.Attribute(attr="Settings")):
                yield f"{path}:{node.lineno}: only worker.py, cli.py, api/app.py may read Settings"


def _names(node: ast.AST) -> set[str]:
    """Return the names that an expression uses, also attributes and called functions."""
    names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return names | {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}


def _is_clock(node: ast.AST) -> bool:
    """Return whether an expression reads a clock."""
    calls = [part.func for part in ast.walk(node) if isinstance(part, ast.Call)]
    return any(isinstance(func, ast.Attribute) and func.attr in CLOCKS for func in calls)


def _is_duration(node: ast.AST, timestamps: set[str], durations: set[str]) -> bool:
    """Return whether an expression uses the time between two readings of a clock."""
    if _names(node) & durations:
        return True
    return any(
        isinstance(part, ast.BinOp)
        and isinstance(part.op, ast.Sub)
        and bool(_names(part.right))
        and (_is_clock(part) or bool(_names(part) & timestamps))
        for part in ast.walk(node)
    )


def _assignment(node: ast.AST) -> tuple[set[str], ast.AST | None]:
    """Return the names that a node sets, and the value; a function sets its name to its returns."""
    match node:
        case ast.Assign(targets=targets, value=value):
            return {name for target in targets for name in _names(target)}, value
        case ast.AugAssign(target=target, value=value) | ast.NamedExpr(target=target, value=value):
            return _names(target), value
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            returned = [part.value for part in ast.walk(node) if isinstance(part, ast.Return)]
            return {node.name}, ast.Tuple([value for value in returned if value], ast.Load())
    return set(), None


def _timed_names(scope: ast.AST, timers: set[str]) -> tuple[set[str], set[str]]:
    """Return a scope's names of timestamps and of durations; timers are functions of durations."""
    timestamps: set[str] = set()
    durations = set(timers)
    size = -1
    while size != len(timestamps) + len(durations):
        size = len(timestamps) + len(durations)
        for node in ast.walk(scope):
            names, value = _assignment(node)
            if value is None:
                continue
            if _is_duration(value, timestamps, durations):
                durations |= names
            elif _is_clock(value):
                timestamps |= names
    return timestamps, durations


def _is_soak(node: ast.AST) -> bool:
    return isinstance(node, _FUNCTIONS) and any(
        "soak" in _names(decorator) for decorator in node.decorator_list
    )


def timed_assertions(path: Path, tree: ast.Module) -> Violations:
    """Find tests that assert an upper limit of a measured time and are not marked `soak`."""
    if path.parts[0] != "tests":
        return
    scopes = [node for node in tree.body if isinstance(node, (*_FUNCTIONS, ast.ClassDef))]
    timers: set[str] = set()
    for _ in scopes:
        timers |= {scope.name for scope in scopes if scope.name in _timed_names(scope, timers)[1]}
    for scope in scopes:
        timestamps, durations = _timed_names(scope, timers)
        for node in [] if _is_soak(scope) else ast.walk(scope):
            if isinstance(node, ast.Compare) and _is_limit(node, timestamps, durations):
                yield (
                    f"{path}:{node.lineno}: a measured time has a limit: print the time, or mark "
                    "the test soak"
                )


def _is_limit(node: ast.Compare, timestamps: set[str], durations: set[str]) -> bool:
    sides = [node.left, *node.comparators]
    for before, operator, after in zip(sides, node.ops, sides[1:], strict=False):
        if not isinstance(operator, ast.Lt | ast.LtE | ast.Gt | ast.GtE):
            continue
        pair = (before, after) if isinstance(operator, ast.Lt | ast.LtE) else (after, before)
        small, large = (_is_duration(side, timestamps, durations) for side in pair)
        if small and not large:
            return True
    return False


def misplaced_classes(path: Path, tree: ast.Module) -> Violations:
    """Find public classes in `activities/` without an activity, which belong to `services/`."""
    if path.parts[0] != "activities" or path.name == "interceptors.py":
        return
    for node in tree.body:
        if not isinstance(node, ast.ClassDef) or node.name.startswith("_"):
            continue
        methods = [part for part in node.body if isinstance(part, _FUNCTIONS)]
        decorators = [each for method in methods for each in method.decorator_list]
        if not any("defn" in _names(each) for each in decorators):
            yield f"{path}:{node.lineno}: {node.name} has no activity: move it to services/"


def folders(root: Path) -> Violations:
    """Find folders of a divided layer that are not an area, or that have too many files."""
    config = tomllib.loads((root / "pyproject.toml").read_text())
    areas = set(config["tool"]["perdure"]["areas"])
    for layer in DIVIDED:
        for folder in sorted({path.parent for path in (root / layer).rglob("*.py")}):
            path = folder.relative_to(root)
            if len(path.parts) > 1 and path.parts[1] not in areas:
                yield f"{path}: {path.parts[1]} is not an area of pyproject.toml"
            count = sum(file.name != "__init__.py" for file in folder.glob("*.py"))
            if count > MAX_FOLDER_FILES:
                yield f"{path}: {count} files, at most {MAX_FOLDER_FILES} are allowed in a folder"


def unwatched_rooms(root: Path) -> Violations:
    """Find packages that this script or import-linter does not check."""
    config = tomllib.loads((root / "pyproject.toml").read_text())
    checked = config["tool"]["importlinter"]["root_packages"]
    for package in sorted(path.parent.name for path in root.glob("*/__init__.py")):
        if package not in {*PACKAGES, *SIZE_EXEMPT}:
            yield f"{package} is an unknown package: add it to the list in rules.py"
    for package in PACKAGES:
        has_code = any((root / package).rglob("*.py"))
        if has_code and package not in checked:
            yield f"pyproject.toml: {package} is missing in import-linter's root_packages"
        if has_code and not (root / package / "__init__.py").is_file():
            yield f"{package}/__init__.py is missing: import-linter skips the package without it"


def hosts_in_locks(root: Path) -> Violations:
    """Find lock files that name a package index or host, and lock files of other tools."""
    own = root / "requirements.lock"
    for lock in (own, *sorted((root / "tests").glob("clients/*/requirements.lock"))):
        for number, line in enumerate(lock.read_text().splitlines(), start=1):
            if HOST_IN_LOCK.search(line):
                yield f"{lock.relative_to(root)}:{number}: a lock file may not name a host"
    for name in FOREIGN_LOCKS:
        if (root / name).exists():
            yield f"{name}: requirements.lock is the only lock file"


def violations(root: Path) -> Violations:
    """Yield all violations of all rules in a project."""
    yield from unwatched_rooms(root)
    yield from hosts_in_locks(root)
    yield from folders(root)
    for path in sources(root):
        text = (root / path).read_text()
        tree = ast.parse(text, filename=str(path))
        yield from oversized(path, text, tree)
        yield from forbidden_imports(path, tree)
        yield from settings_inside(path, tree)
        yield from timed_assertions(path, tree)
        yield from misplaced_classes(path, tree)


if __name__ == "__main__":
    found = list(violations(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
    sys.exit("\n".join(found) or 0)
