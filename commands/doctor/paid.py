"""Checks the models with one streamed tool call each, which costs money."""

from adapters.llm.gateway import Models, open_models
from adapters.llm.provider import Progress
from adapters.llm.providers.settings import LLMSettings
from commands.doctor.findings import CheckDoubtfulError, CheckFailedError
from config import Settings
from domain.errors import ApplicationError
from domain.llm.messages import (
    ChatMessage,
    FinishReason,
    ModelReply,
    ModelRequest,
    Role,
    ToolDefinition,
)

# Reason: models that reason use tokens before they call a tool.
MAX_TOKENS = 2_000
_TOOL = ToolDefinition(
    name="report_status",
    description="Report a status.",
    parameters={
        "type": "object",
        "properties": {"status": {"type": "string", "description": "One word."}},
        "required": ["status"],
    },
)
_QUESTION = ChatMessage(
    role=Role.USER,
    content="Please report the status: ready. Call the tool report_status, and write nothing else.",
)
_FLAGS = "vLLM needs --enable-auto-tool-choice and --tool-call-parser"
_ADVICE = {
    "model_without_tools": f"the model does not accept tools: {_FLAGS}",
    "model_not_found": (
        "the provider does not know this model: check LLM__MODEL, LLM__SMALL_MODEL, "
        "LLM__FALLBACK_MODEL and LLM__FALLBACK__..."
    ),
    "model_credentials": "the provider refuses the key or the account: check LLM__API_KEY",
    "model_rate_limited": "the provider limits the rate of calls: try again later",
    "model_unavailable": "the provider cannot be reached, breaks off or does not answer in time",
    "model_stream_incomplete": "the model's stream breaks off, or ends without a finish reason",
    "model_limit_refused": "the model accepts neither max_tokens nor max_completion_tokens",
    "model_answer_unreadable": "the model's answer has an unknown format",
}


def model_names(llm: LLMSettings) -> list[str]:
    """Return the names of the models in the settings, without duplicates."""
    return list(dict.fromkeys(name for each in llm.providers for name in each.names))


async def check_tool_calls(settings: Settings) -> str:
    """Ask each model for one streamed tool call.

    Args:
        settings: Settings with the provider and the models.

    Returns:
        The result as a line.

    Raises:
        CheckFailedError: Agents cannot use one of the models.
        CheckDoubtfulError: A model reports no usage, so that its cost is estimated.
    """
    llm, names = settings.llm, model_names(settings.llm)
    without_usage: list[str] = []
    for provider in llm.providers:
        secret, prices = provider.api_key.get_secret_value(), provider.make_prices()
        given = (provider.provider, provider.base_url, secret, llm.timeout_seconds, prices)
        async with open_models(*given) as models:
            without_usage += [
                name for name in provider.names if not await _reports_usage(models, name)
            ]
    if without_usage:
        raise CheckDoubtfulError(
            f"{', '.join(without_usage)}: no usage is reported, so costs are estimated",
        )
    return f"streamed by {', '.join(names)}"


async def _reports_usage(models: Models, name: str) -> bool:
    """Return whether a model reports its usage; raise if it does not call the tool."""
    request = ModelRequest(model=name, messages=(_QUESTION,), tools=(_TOOL,), max_tokens=MAX_TOKENS)
    progress = Progress()
    try:
        reply = await models.ask(request, lambda _: None, progress)
    except ApplicationError as error:
        status = error.details.get("provider_status")
        suffix = f" (status {status})" if status else ""
        advice = _ADVICE.get(error.error_code, error.message)
        raise CheckFailedError(f"{name}: {advice}{suffix}") from error
    if not any(call.tool == _TOOL.name for call in reply.tool_calls):
        raise CheckFailedError(f"{name}: {_missing_call(reply)}")
    return progress.is_final


def _missing_call(reply: ModelReply) -> str:
    if reply.has_call_as_text:
        return f"the model's tool call comes as text: {_FLAGS}"
    if reply.finish_reason is FinishReason.LENGTH:
        return f"the model wrote {MAX_TOKENS:,} tokens and called no tool"
    reason = reply.finish_reason
    return f"the model called no tool (finish reason {reason}): agents need tool calls"
