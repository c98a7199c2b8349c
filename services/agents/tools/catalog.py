"""The catalogue of tools: what each tool does, whatever source it comes from."""

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from adapters.python_sandbox import PythonSandbox
from agents.tools.spec import ToolSpec
from database.agents.models import AgentRun, ToolCall
from database.session import Sessions
from domain.agents.tools.tool_calls import ToolCallStatus
from domain.errors import NotFoundError
from domain.llm.messages import ToolDefinition
from services.knowledge.files import PageReader
from services.knowledge.search import KnowledgeSearch
from services.payments.commands import PaymentCommands
from services.subscriptions.mailboxes import Mailboxes


class Effect(NamedTuple):
    """The outcome of a tool call.

    Args:
        status: The call's status in the ledger.
        result: The result that the model reads.
    """

    status: ToolCallStatus
    result: Mapping[str, Any]


@dataclass(frozen=True)
class ToolResources:
    """What tools may use of this process."""

    library: KnowledgeSearch
    pages: PageReader
    commands: PaymentCommands
    mailboxes: Mailboxes
    sessions: Sessions
    python: PythonSandbox


MakeEffect = Callable[[ToolResources, AgentRun, ToolCall], Awaitable[Effect]]
Watch = Callable[[], Coroutine[Any, Any, None]]
Preview = Callable[[AsyncSession, AgentRun, Mapping[str, Any]], Awaitable[dict[str, Any] | None]]


@dataclass(frozen=True)
class Tool:
    """A tool that agents may use.

    Args:
        spec: What the model reads of the tool, and its limits, patience and approver.
        effect: Makes a call. An error that can be retried is retried by Temporal; any other error
            is the call's result, which the model reads.
        preview: Computes the expected effect of a call with these arguments, for its approver;
            returns None if the effect is unknown.
        is_held: Tells whether the tool is not offered to models until a person agrees to it.
    """

    spec: ToolSpec
    effect: MakeEffect
    preview: Preview | None = None
    is_held: Callable[[], bool] = lambda: False


class ToolCatalog:
    """All tools that agents may use, by name.

    Args:
        tools: The first tools; those of other sources can be added.
    """

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        self._tools: dict[str, Tool] = {}
        # What workers run beside their activities, to notice changes at the sources of tools.
        self.watches: list[Watch] = []
        self.add(tools)

    @property
    def names(self) -> frozenset[str]:
        """Names of all tools."""
        return frozenset(self._tools)

    def add(self, tools: Iterable[Tool]) -> None:
        """Add the tools of a source.

        Raises:
            ValueError: There is a tool of this name already.
        """
        for tool in tools:
            if tool.spec.name in self._tools:
                raise ValueError(f"there are two tools of the name {tool.spec.name}")
            self._tools[tool.spec.name] = tool

    def find(self, name: str) -> Tool:
        """Return a tool.

        Raises:
            NotFoundError: There is no tool of this name (any more).
        """
        if (tool := self._tools.get(name)) is None:
            raise NotFoundError(f"there is no tool {name}", "unknown_tool")
        return tool

    def select(self, names: Iterable[str]) -> tuple[Tool, ...]:
        """Return the tools of these names.

        Raises:
            NotFoundError: There is no tool of one of the names.
        """
        return tuple(self.find(name) for name in names)

    def definitions(self, names: Iterable[str]) -> tuple[ToolDefinition, ...]:
        """Return the definitions, as models read them, of those tools of these names not held.

        Raises:
            NotFoundError: There is no tool of one of the names.
        """
        return tuple(tool.spec.definition for tool in self.select(names) if not tool.is_held())
