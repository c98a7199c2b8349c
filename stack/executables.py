"""Finds the programs of the servers."""

import importlib.util
import shutil
import sys
import sysconfig
from pathlib import Path

from stack.errors import StackError


def find_executable(name: str, package: str) -> str:
    """Return the path of a program that a package has installed beside Python.

    Args:
        name: File name of the program.
        package: Package that installs the program, for the error message.

    Returns:
        Path of the program.

    Raises:
        StackError: The program was not found.
    """
    beside_python = Path(sys.executable).parent / name
    candidates = (beside_python, Path(sysconfig.get_path("scripts")) / name)
    for candidate in candidates:
        if candidate.is_file():
            return str(candidate)
    if found := shutil.which(name):
        return found
    raise _missing(name, package)


def find_packaged_executable(package: str, distribution: str, path: str) -> str:
    """Return the path of a program inside an importable package, without importing it.

    Args:
        package: Import name of the package.
        distribution: Name of the package at the package index, for the error message.
        path: Path of the program within the package.

    Returns:
        Path of the program.

    Raises:
        StackError: The package or the program is missing.
    """
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        program = Path(folder) / path
        if program.is_file():
            return str(program)
    raise _missing(Path(path).name, distribution)


def require_package(package: str, distribution: str) -> None:
    """Check that a package can be imported.

    Raises:
        StackError: The package is missing.
    """
    if importlib.util.find_spec(package) is None:
        raise _missing(package, distribution)


def _missing(program: str, distribution: str) -> StackError:
    return StackError(
        f"{program} was not found: install the package {distribution} (`make install` does)"
    )
