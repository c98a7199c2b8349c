"""Writes what is generated in docs/: `python -m api.openapi`, or `make openapi`.

`docs/openapi.json` is the OpenAPI document; `docs/billing.md` has the table of commands.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from api.app import describe
from api.openapi.commands import commands_table

DOCS = Path(__file__).parents[2] / "docs"
SNAPSHOT = DOCS / "openapi.json"
BILLING = DOCS / "billing.md"
_TABLE = re.compile(r"(?<=<!-- commands: make openapi -->\n).*?(?=<!-- end -->)", re.DOTALL)


def render_snapshot(document: Mapping[str, Any]) -> str:
    """Return the text of the OpenAPI document, with sorted keys."""
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def with_table(text: str) -> str:
    """Return a page with the present table of commands between its markers."""
    return _TABLE.sub(lambda _: commands_table(), text)


def main() -> None:
    """Write the files."""
    SNAPSHOT.write_text(render_snapshot(describe()))
    BILLING.write_text(with_table(BILLING.read_text()))


if __name__ == "__main__":
    main()
