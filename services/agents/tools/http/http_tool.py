"""An HTTP tool: builds its requests, and reads the answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.tool_requests import MAX_REDIRECTS, SendFailure, ToolReply, ToolRequests
from agents.tools.http_tool import HttpToolSpec
from database.accounts.users import UserRepository
from database.agents.models import AgentRun, ToolCall
from database.session import Sessions
from domain.agents.tools.http_requests import (
    HttpRequest,
    RequestTemplate,
    build_request,
    placeholders,
)
from domain.agents.tools.tool_calls import ToolCallStatus
from domain.agents.tools.tool_outcomes import is_ok
from domain.errors import InvalidInputError, NotFoundError, UnavailableError
from services.agents.tools.catalog import Effect, ToolResources
from services.agents.tools.http.secrets import hide_secrets

# Longest answer that is read; models get the part of it that the tool's file allows.
MAX_BYTES = 1_000_000
LOOKUP_TIME_LIMIT = timedelta(seconds=10)
_EXTERNAL_ID = "external_id"
_TRY_AGAIN = frozenset({408, 425, 429})


class Requests(NamedTuple):
    """The requests of one call: for its effect, and to look for the effect, if that is possible."""

    effect: HttpRequest
    lookup: HttpRequest | None


@dataclass(frozen=True)
class HttpTool:
    """An HTTP tool.

    Args:
        name: Name of the tool.
        spec: Its file.
        template: Template of its requests.
        lookup: Template of its look-ups, if it has any.
        secrets: Its secrets by reference.
        http: Sends the requests.
    """

    name: str
    spec: HttpToolSpec
    template: RequestTemplate
    lookup: RequestTemplate | None
    secrets: Mapping[str, str] = field(repr=False)
    http: ToolRequests

    @property
    def can_find_out(self) -> bool:
        """Whether another attempt can find out what became of a request."""
        return self.spec.idempotency_header is not None or self.lookup is not None

    async def read(self, resources: ToolResources, run: AgentRun, call: ToolCall) -> Effect:
        """Make a call of a tool that reads.

        Raises:
            ApplicationError: The address is refused, or the server does not answer now.
        """
        request = (await self.build(resources.sessions, run, call)).effect
        redirect_count = MAX_REDIRECTS if request.method == "GET" else 0
        limit = self.spec.time_limit.total_seconds()
        reply = await self.http.send(request, limit, MAX_BYTES, redirect_count)
        if isinstance(reply, SendFailure):
            if reply.is_final:
                raise InvalidInputError(reply.reason, "tool_address_refused")
            raise UnavailableError(reply.reason)
        if is_ok(reply.status, self.spec.ok_statuses):
            return Effect(ToolCallStatus.DONE, self.facts(reply))
        if reply.status >= 500 or reply.status in _TRY_AGAIN:
            raise UnavailableError(f"the server answers {reply.status}")
        return self.refusal(reply)

    async def preview(
        self, session: AsyncSession, run: AgentRun, arguments: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Return what a call would send, as far as it holds no secret."""
        del session, run, arguments  # Reason: the approver sees the arguments anyway.
        return {"method": self.template.method, "url": self.template.url}

    async def build(self, sessions: Sessions, run: AgentRun, call: ToolCall) -> Requests:
        """Build the requests of a call.

        Raises:
            InvalidInputError: An argument cannot be where it should be.
            NotFoundError: The run's owner has no `external_id`, which the tool needs.
        """
        facts = await self._facts_of(sessions, run, call.call_id)
        arguments = call.arguments_data
        effect = build_request(self.template, arguments, facts, self.secrets)
        if self.spec.idempotency_header is not None:
            headers = {**effect.headers, self.spec.idempotency_header: str(call.call_id)}
            effect = effect._replace(headers=headers)
        if self.lookup is None:
            return Requests(effect, None)
        return Requests(effect, build_request(self.lookup, arguments, facts, self.secrets))

    def facts(self, reply: ToolReply) -> dict[str, Any]:
        """Return what the model reads of an answer."""
        return {"status_code": reply.status, "body": self.body(reply)}

    def refusal(self, reply: ToolReply) -> Effect:
        """Return the result of a call that the server refused."""
        message = f"the server answers {reply.status}"
        result = {"code": "tool_refused", "message": message, **self.facts(reply)}
        return Effect(ToolCallStatus.FAILED, result)

    def body(self, reply: ToolReply) -> Any:
        """Return the body of an answer: a document, a text, or None if it is neither."""
        text = hide_secrets(reply.body.decode(errors="replace"), self.secrets.values())
        if not reply.is_cut and _is_json(reply.media_type):
            return _parsed(text)
        return text if _is_text(reply.media_type) else None

    async def _facts_of(self, sessions: Sessions, run: AgentRun, call_id: UUID) -> dict[str, str]:
        facts = {
            "call_id": str(call_id),
            "agent_run_id": str(run.agent_run_id),
            "conversation_id": str(run.conversation_id),
            "user_id": str(run.user_id),
        }
        if not self._needs_external_id:
            return facts
        async with sessions() as session:
            user = await UserRepository(session).get(run.user_id)
        if user is None or user.external_id is None:
            raise NotFoundError("the run's owner has no external_id", "no_external_id")
        return {**facts, _EXTERNAL_ID: user.external_id}

    @property
    def _needs_external_id(self) -> bool:
        texts = (self.template.url, self.spec.lookup or "", *self.template.headers.values())
        return any(_EXTERNAL_ID in placeholders(text) for text in texts)


def _is_json(media_type: str) -> bool:
    return media_type == "application/json" or media_type.endswith("+json")


def _is_text(media_type: str) -> bool:
    return _is_json(media_type) or media_type.startswith("text/") or not media_type


def _parsed(text: str) -> Any:
    """Return a JSON document; the text if it is not JSON, or nested too deeply to be stored."""
    try:
        document = orjson.loads(text)
        orjson.dumps(document)
    except (ValueError, TypeError):
        return text
    return document
