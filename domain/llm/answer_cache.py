"""Which answers of models may be given again, and for which requests. Pure."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from domain.llm.messages import FinishReason, ModelReply, ModelRequest


def cache_key(agent: str, prompt_version: str, request: ModelRequest) -> str:
    """Return the digest of a whole request; the user is a column of its own.

    Args:
        agent: Name of the agent.
        prompt_version: Version of its prompt that the run keeps.
        request: Request with the longest answer that the agent may give, whatever is left of a
            budget.
    """
    facts: Mapping[str, Any] = {
        "agent": agent,
        "prompt_version": prompt_version,
        "request": request.model_dump(mode="json"),
    }
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def is_repeatable(reply: ModelReply) -> bool:
    """Tell whether a reply may be given again: a finished answer without tool calls."""
    is_finished = reply.finish_reason is FinishReason.STOP and not reply.tool_calls
    return is_finished and not reply.has_call_as_text and bool(reply.text.strip())
