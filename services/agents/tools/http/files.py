"""Reads the files of HTTP tools, and makes tools of them; a fault is told with file and field."""

import asyncio
import tomllib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from pydantic import ValidationError

from adapters.egress import Egress
from adapters.tool_requests import MAX_REDIRECTS, ToolReply, ToolRequests
from agents.tools.http_tool import NAME, HttpToolSpec, ToolEffect
from agents.tools.spec import ToolSpec
from database.agents.models import AgentRun, ToolCall
from domain.agents.tools.http_requests import (
    FACTS,
    HttpRequest,
    Place,
    RequestTemplate,
    placeholders,
    secrets_in,
)
from services.agents.tools.catalog import Effect, Tool, ToolResources
from services.agents.tools.http.checks import effect_of, find_problems
from services.agents.tools.http.http_tool import HttpTool
from services.agents.tools.http.http_write import HttpWrite
from services.agents.tools.http.json_schema import check_schema, make_arguments
from services.agents.tools.http.openapi import Operation, parse_document, read_operation
from services.agents.tools.http.secrets import read_secret

READ_PATIENCE = timedelta(seconds=15)
# Longest duration of one try, within the two minutes of an activity.
TRY_LIMIT = timedelta(seconds=110)
MAX_DOCUMENT_BYTES = 5_000_000
DOCUMENT_SECONDS = 20.0
_NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}}
_IN_QUERY = frozenset({"GET", "DELETE"})


@dataclass(frozen=True)
class ToolSources:
    """What files of tools may refer to.

    Args:
        environ: Environment variables, with those of `.env`.
        egress: Resolves host names, and refuses private addresses.
    """

    environ: Mapping[str, str]
    egress: Egress


def find_files(folder: Path) -> list[Path]:
    """Return the files of HTTP tools in a folder, in order of their names."""
    return sorted(folder.glob("*.toml"))


def read_tool(path: Path, sources: ToolSources) -> Tool:
    """Read the file of a tool.

    Args:
        path: The file, which has the name of its tool.
        sources: What the file may refer to.

    Raises:
        ValueError: The file is wrong; the message begins with its name and the field.
    """
    try:
        return _make_tool(path, sources)
    except ValidationError as error:
        raise ValueError(describe_faults(path.name, error)) from error
    except RecursionError as error:
        raise ValueError(f"{path.name}: is nested too deeply") from error
    except (ValueError, OSError) as error:
        raise ValueError(f"{path.name}: {error}") from error


def describe_faults(file: str, error: ValidationError) -> str:
    """Return what is wrong with a file, with its fields."""
    lines = [_line(each["loc"], each["msg"]) for each in error.errors(include_url=False)]
    return "; ".join(f"{file}: {line}" for line in lines)


def _line(place: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    field = ".".join(map(str, place)).removesuffix(".[key]")
    return f"{field}: {message}" if field else message


def _make_tool(path: Path, sources: ToolSources) -> Tool:
    name = path.stem
    if not NAME.fullmatch(name):
        raise ValueError("the name has other characters than a-z, 0-9 and _, or is too long")
    spec = HttpToolSpec.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    operation = _operation(path, spec, sources.egress)
    check_schema(operation.arguments)
    secrets = _secrets(spec, operation.url, sources.environ)
    if problems := list(find_problems(spec, operation, secrets)):
        raise ValueError("; ".join(f"{field}: {problem}" for field, problem in problems))
    tool = HttpTool(
        name=name,
        spec=spec,
        template=RequestTemplate(operation.method, operation.url, spec.headers, operation.places),
        lookup=_lookup(spec),
        secrets=secrets,
        http=ToolRequests(sources.egress),
    )
    return _tool(tool, operation)


def _tool(tool: HttpTool, operation: Operation) -> Tool:
    spec, arguments = tool.spec, make_arguments(tool.name, operation.arguments)
    if effect_of(spec, operation.method) is ToolEffect.READ:
        read_spec = ToolSpec(
            tool.name,
            spec.description,
            arguments,
            approver_role=spec.approver_role,
            time_limit=TRY_LIMIT,
            patience=spec.patience or READ_PATIENCE,
            output_limit_bytes=spec.output_limit_bytes,
        )
        return Tool(read_spec, tool.read, tool.preview if spec.approver_role else None)

    async def write(resources: ToolResources, run: AgentRun, call: ToolCall) -> Effect:
        return await HttpWrite(tool, resources, run, call).make()

    write_spec = ToolSpec(
        tool.name,
        spec.description,
        arguments,
        approver_role=spec.approver_role or "admin",
        time_limit=TRY_LIMIT,
        output_limit_bytes=spec.output_limit_bytes,
    )
    return Tool(write_spec, write, tool.preview)


def _operation(path: Path, spec: HttpToolSpec, egress: Egress) -> Operation:
    """Return what the tool calls, from its file or from the document that the file names."""
    if spec.openapi is not None and spec.operation_id is not None:
        try:
            document = _document(path, spec.openapi, egress)
        except (ValueError, OSError) as error:
            raise ValueError(f"openapi: {spec.openapi} {error}") from error
        source = spec.openapi if _is_address(spec.openapi) else None
        return read_operation(document, spec.operation_id, spec.url, source)
    # Reason: an argument that is not declared has no place in the request.
    arguments = {"additionalProperties": False, **(spec.arguments or _NO_ARGUMENTS)}
    method = spec.method or ""
    in_url = placeholders(spec.url or "")
    default = Place.QUERY if method in _IN_QUERY else Place.BODY
    places = {
        name: Place.PATH if name in in_url else spec.places.get(name, default)
        for name in arguments.get("properties", {})
    }
    return Operation(method, spec.url or "", arguments, places)


def _is_address(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _document(path: Path, source: str, egress: Egress) -> dict[str, Any]:
    if _is_address(source):
        return parse_document(_download(source, egress), is_yaml=False)
    file = path.parent / source
    content = file.read_bytes()
    if len(content) > MAX_DOCUMENT_BYTES:
        raise ValueError(f"has more than {MAX_DOCUMENT_BYTES} bytes")
    return parse_document(content, is_yaml=file.suffix in {".yaml", ".yml"})


def _download(address: str, egress: Egress) -> bytes:
    request = HttpRequest("GET", address, {}, None)
    sending = ToolRequests(egress).send(
        request, DOCUMENT_SECONDS, MAX_DOCUMENT_BYTES, MAX_REDIRECTS
    )
    # Reason: processes read the files before they begin, some of them within an event loop.
    with ThreadPoolExecutor(1) as thread:
        reply = thread.submit(asyncio.run, sending).result()
    if not isinstance(reply, ToolReply):
        raise ValueError(f"cannot be read: {reply.reason}")  # noqa: TRY004 - the file is wrong
    if reply.status != httpx.codes.OK or reply.is_cut:
        raise ValueError(f"cannot be read: status {reply.status}, or too long")
    return reply.body


def _secrets(spec: HttpToolSpec, url: str, environ: Mapping[str, str]) -> dict[str, str]:
    fields = {
        "url": url,
        "lookup": spec.lookup or "",
        **{f"headers.{name}": value for name, value in spec.headers.items()},
    }
    secrets = {}
    for field, template in fields.items():
        for reference in sorted(secrets_in(template)):
            try:
                secrets[reference] = read_secret(reference, environ)
            except ValueError as error:
                raise ValueError(f"{field}: {error}") from error
    return secrets


def _lookup(spec: HttpToolSpec) -> RequestTemplate | None:
    if spec.lookup is None:
        return None
    places = dict.fromkeys(placeholders(spec.lookup) - FACTS, Place.PATH)
    return RequestTemplate("GET", spec.lookup, spec.headers, places)
