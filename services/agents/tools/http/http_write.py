"""A call of an HTTP tool that writes: never done twice, and asked of a person if nothing tells."""

import asyncio
from datetime import timedelta
from typing import Any

from adapters.tool_requests import SendFailure, ToolReply
from database.agents.conversations import ConversationRepository
from database.agents.models import AgentRun, ToolCall
from database.agents.tool_outcomes import ToolOutcomeRepository
from domain.agents.tools.http_requests import HttpRequest, percent_encoded, render
from domain.agents.tools.tool_calls import ToolCallStatus
from domain.agents.tools.tool_outcomes import (
    Knowledge,
    Step,
    is_ok,
    is_present,
    next_step,
    read_failure,
    read_status,
)
from domain.errors import ApplicationError, UnavailableError
from services.agents.knowledge.look_ups import is_overdue
from services.agents.tools.catalog import Effect, ToolResources
from services.agents.tools.http.http_tool import LOOKUP_TIME_LIMIT, MAX_BYTES, HttpTool
from services.agents.tools.outside import find_refusal, start_call, unknown_outcome
from services.stripe_idempotency import finish

WRITE_PATIENCE = timedelta(minutes=10)
_NOT_THERE = frozenset({404, 410})


class HttpWrite:
    """One call of an HTTP tool that writes.

    Args:
        tool: The tool.
        resources: What tools may use of this process.
        run: The run.
        call: The call, as it was when this attempt began.
    """

    def __init__(
        self, tool: HttpTool, resources: ToolResources, run: AgentRun, call: ToolCall
    ) -> None:
        self._tool, self._run, self._call = tool, run, call
        self._sessions = resources.sessions

    async def make(self) -> Effect:
        """Make the call, unless an attempt before may have made it.

        Raises:
            ApplicationError: It cannot be made, or whether it was made is to be found out by
                another attempt.
        """
        was_sent = self._call.tool_call_status == ToolCallStatus.STARTED
        try:
            requests = await self._tool.build(self._sessions, self._run, self._call)
        except ApplicationError:
            if was_sent:
                return unknown_outcome(self._call)
            raise
        if not was_sent:
            key = await self._business_key()
            refusal = await find_refusal(self._sessions, self._run, self._call, key)
            if refusal is not None:
                return refusal
            was_sent = not await start_call(self._sessions, self._call)
        has_key = self._tool.spec.idempotency_header is not None
        lookup = requests.lookup
        step = next_step(was_sent=was_sent, has_key=has_key, has_look_up=lookup is not None)
        if step is Step.ASK_PERSON:
            return unknown_outcome(self._call)
        if step is Step.LOOK_UP and lookup is not None:
            found = await self._find(lookup, is_repeated=not has_key)
            if found is not None:
                return found
        return await self._send(requests.effect, was_sent=was_sent)

    async def _find(self, request: HttpRequest, *, is_repeated: bool) -> Effect | None:
        """Return the result of a call whose effect is there; None if it is not.

        Args:
            request: The look-up.
            is_repeated: Whether to look again after a while: the server may still work on it.
        """
        found = await self._look_up(request)
        if found is None and is_repeated:
            await asyncio.sleep(self._tool.spec.lookup_after.total_seconds())
            found = await self._look_up(request)
        return found

    async def _look_up(self, request: HttpRequest) -> Effect | None:
        limit = min(self._tool.spec.time_limit, LOOKUP_TIME_LIMIT).total_seconds()
        reply = await self._tool.http.send(request, limit, MAX_BYTES)
        if isinstance(reply, SendFailure):
            return self._later(reply.reason)
        if reply.status in _NOT_THERE:
            return None
        if not is_ok(reply.status, ()) or reply.is_cut:
            return self._later(f"the look-up answers {reply.status}")
        if not is_present(self._tool.body(reply), self._tool.spec.lookup_field):
            return None
        return Effect(ToolCallStatus.DONE, {**self._tool.facts(reply), "is_looked_up": True})

    async def _send(self, request: HttpRequest, *, was_sent: bool) -> Effect:
        limit = self._tool.spec.time_limit.total_seconds()
        # Reason: a worker that is shut down waits for the answer, which may be the only one.
        reply = await finish(self._tool.http.send(request, limit, MAX_BYTES), is_last=True)
        match self._knowledge(reply, was_sent=was_sent):
            case Knowledge.DONE if isinstance(reply, ToolReply):
                return Effect(ToolCallStatus.DONE, self._tool.facts(reply))
            case Knowledge.REFUSED:
                return _refused(self._tool, reply)
            case Knowledge.NOT_NOW:
                async with self._sessions.begin() as session:
                    await ToolOutcomeRepository(session).take_back(self._call.call_id)
                if self._is_given_up():
                    facts = {"code": UnavailableError.code, "message": _reason(reply)}
                    return Effect(ToolCallStatus.FAILED, facts)
                raise UnavailableError(_reason(reply))
            case Knowledge.LOST if self._tool.can_find_out:
                return self._later(_reason(reply))
        return unknown_outcome(self._call)

    def _knowledge(self, reply: ToolReply | SendFailure, *, was_sent: bool) -> Knowledge:
        if isinstance(reply, ToolReply):
            return read_status(reply.status, self._tool.spec.ok_statuses, was_sent=was_sent)
        return read_failure(is_reached=reply.was_sent, is_final=reply.is_final, was_sent=was_sent)

    def _later(self, reason: str) -> Effect:
        """Let another attempt find out, or give up and leave it to a person.

        Raises:
            UnavailableError: Another attempt finds out.
        """
        if self._is_given_up():
            return unknown_outcome(self._call)
        raise UnavailableError(reason)

    async def _business_key(self) -> str | None:
        template, run = self._tool.spec.business_key, self._run
        if template is None:
            return None
        async with self._sessions() as session:
            # Reason: forks and the runs of a team share their effects.
            root_id = await ConversationRepository(session).root_of(run.conversation_id)
        facts = {"agent_run_id": str(run.agent_run_id), "conversation_id": str(root_id)}
        filled = render(template, {**self._call.arguments_data, **facts}, {}, percent_encoded)
        # Reason: the result of the first call must not be told to another user.
        return f"{self._tool.name}:{run.user_id}:{filled}"

    def _is_given_up(self) -> bool:
        return is_overdue(self._tool.spec.patience or WRITE_PATIENCE)


def _reason(reply: ToolReply | SendFailure) -> str:
    if isinstance(reply, SendFailure):
        return reply.reason
    return f"the server answers {reply.status}"


def _refused(tool: HttpTool, reply: ToolReply | SendFailure) -> Effect:
    if isinstance(reply, ToolReply):
        return tool.refusal(reply)
    facts: dict[str, Any] = {"code": "tool_address_refused", "message": reply.reason}
    return Effect(ToolCallStatus.FAILED, facts)
