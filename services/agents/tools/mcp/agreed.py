"""The tools of MCP servers that a person has agreed to, in a lock file beside the servers."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from services.agents.tools.http.json_schema import MAX_SCHEMA_LENGTH

LOCK = "mcp.lock.json"
MAX_DESCRIPTION_LENGTH = 4_000
MAX_NAME_LENGTH = 64
_OTHERS = re.compile(r"[^A-Za-z0-9_]+")


class AgreedTool(NamedTuple):
    """A tool of a server, as a person has agreed to it.

    Args:
        name: Name of the tool at the server.
        description: Description that models read.
        schema: JSON schema of the arguments.
    """

    name: str
    description: str
    schema: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Hex SHA-256 of all that a model reads of the tool."""
        text = json.dumps([self.name, self.description, self.schema], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


Agreed = dict[str, dict[str, AgreedTool]]


def read_agreed(folder: Path) -> Agreed:
    """Return the agreed tools by server and name.

    Args:
        folder: Folder of the servers' files.

    Raises:
        ValueError: The lock file cannot be read, or a tool in it is not what was agreed to.
    """
    path = folder / LOCK
    if not path.exists():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        found = {
            server: {
                name: AgreedTool(name, entry["description"], entry["schema"])
                for name, entry in tools.items()
            }
            for server, tools in document.items()
        }
        is_whole = all(
            document[server][tool.name]["digest"] == tool.digest
            for server, tools in found.items()
            for tool in tools.values()
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{LOCK}: cannot be read") from error
    if not is_whole:
        raise ValueError(f"{LOCK}: was changed by hand: run `python cli.py tools agree`")
    return found


def write_agreed(folder: Path, agreed: Agreed) -> None:
    """Write the lock file.

    Args:
        folder: Folder of the servers' files.
        agreed: The agreed tools by server and name.
    """
    document = {
        server: {
            tool.name: {
                "digest": tool.digest,
                "description": tool.description,
                "schema": tool.schema,
            }
            for tool in tools.values()
        }
        for server, tools in agreed.items()
    }
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / LOCK).write_text(f"{text}\n", encoding="utf-8")


def compare(agreed: Mapping[str, AgreedTool], offered: Iterable[AgreedTool]) -> dict[str, str]:
    """Return what differs from what was agreed to: names, and `new`, `changed` or `gone`."""
    found = {tool.name: tool for tool in offered}
    differences = dict.fromkeys(agreed.keys() - found.keys(), "gone")
    for name, tool in found.items():
        if name not in agreed:
            differences[name] = "new"
        elif agreed[name].digest != tool.digest:
            differences[name] = "changed"
    return dict(sorted(differences.items()))


def tool_name(server: str, name: str) -> str:
    """Return the name by which models call a tool of a server."""
    return f"{server}_{_OTHERS.sub('_', name).strip('_')}"


def find_fault(server: str, tool: AgreedTool) -> str | None:
    """Return why a tool cannot be offered to models; None if it can."""
    if len(tool_name(server, tool.name)) > MAX_NAME_LENGTH:
        return f"its name has more than {MAX_NAME_LENGTH} letters with that of the server"
    if tool.schema.get("type") != "object":
        return "its arguments are no object"
    if len(str(tool.schema)) > MAX_SCHEMA_LENGTH:
        return f"its schema has more than {MAX_SCHEMA_LENGTH} letters"
    if len(tool.description) > MAX_DESCRIPTION_LENGTH:
        return f"its description has more than {MAX_DESCRIPTION_LENGTH} letters"
    return None
