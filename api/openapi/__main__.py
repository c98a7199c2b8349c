"""Writes what is generated in docs/: `python -m api.openapi`, or `make openapi`.

`docs/openapi.json` is the OpenAPI document, `docs/subscription-commands.md` has the table of
commands.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from api.app import describe
from api.openapi.commands import commands_page

DOCS = Path(__file__).parents[2] / "docs"
SNAPSHOT = DOCS / "openapi.json"
COMMANDS_PAGE = DOCS / "subscription-commands.md"


def render_snapshot(document: Mapping[str, Any]) -> str:
    """Return the text of the OpenAPI document, with sorted keys."""
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the files."""
    SNAPSHOT.write_text(render_snapshot(describe()))
    COMMANDS_PAGE.write_text(commands_page())


if __name__ == "__main__":
    main()
