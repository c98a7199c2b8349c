"""Names in the SDK's annotations, most of which its modules import for type checkers only."""

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import Any, get_type_hints

_IMPORT = re.compile(r"^    from (\S+) import (?:\(([^)]*)\)|(.+))$", re.MULTILINE)
_NAME = re.compile(r"(\w+)(?: as (\w+))?")


class _Imported(Mapping[str, Any]):
    """What a module imports for type checkers, each name imported when it is asked for."""

    def __init__(self, module: str) -> None:
        source = inspect.getsource(sys.modules[module])
        self._origins = {
            alias or name: (origin, name)
            for origin, several, one in _IMPORT.findall(source)
            for name, alias in _NAME.findall(several or one)
        }

    def __getitem__(self, name: str) -> Any:
        origin, attribute = self._origins[name]
        return getattr(import_module(origin), attribute)

    def __iter__(self) -> Iterator[str]:
        return iter(self._origins)

    def __len__(self) -> int:
        return len(self._origins)


@cache
def _imported(module: str) -> _Imported:
    return _Imported(module)


def resolve(annotations: Mapping[str, Any], module: str) -> dict[str, Any]:
    """Return annotations with every name in them resolved, as `module` means them."""
    import_module(module)
    bearer = SimpleNamespace(__annotations__=dict(annotations))
    return get_type_hints(bearer, vars(sys.modules[module]), _imported(module))
