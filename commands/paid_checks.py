"""Checks that cost something: one streamed tool call of each model."""

from adapters.llm.gateway import Models, open_models
from adapters.llm.pricing import Prices
from adapters.llm.provider import Progress
from commands.findings import CheckDoubtfulError, CheckFailedError
from config import LLMSettings, Settings
from domain.errors import ApplicationError
from domain.llm.messages import (
    ChatMessage,
    FinishReason,
    ModelReply,
    ModelRequest,
    Role,
    ToolDefinition,
)

# Room for models that reason before they call.
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
    "model_without_tools": f"it takes no tools: {_FLAGS}",
    "model_not_found": "the provider does not know it: look at LLM__MODEL and its like",
    "model_credentials": "the provider refuses the key or the account: look at LLM__API_KEY",
    "model_rate_limited": "the provider asks us to slow down: try again later",
    "model_unavailable": "the provider cannot be reached, breaks off or is silent for too long",
    "model_stream_incomplete": "its stream breaks off, or ends without a finish reason",
    "model_limit_refused": "it takes neither max_tokens nor max_completion_tokens",
    "model_answer_unreadable": "its answer has a shape that we cannot read",
}


def prices_of(llm: LLMSettings) -> Prices:
    """Return the prices that the settings ask for."""
    return Prices(
        llm.provider,
        llm.prompt_cents_per_million,
        llm.completion_cents_per_million,
        llm.cached_cents_per_million,
        llm.cache_write_cents_per_million,
    )


def model_names(llm: LLMSettings) -> list[str]:
    """Return the models that the settings name, each once."""
    given = (llm.model, llm.small_model, llm.fallback_model)
    return list(dict.fromkeys(name for name in given if name))


async def check_tool_calls(settings: Settings) -> str:
    """Ask each model for one streamed tool call.

    Args:
        settings: Who is asked.

    Returns:
        What is well.

    Raises:
        CheckFailedError: A model cannot be used by agents, and why.
        CheckDoubtfulError: One can, but what it costs has to be guessed.
    """
    llm = settings.llm
    secret, prices = llm.api_key.get_secret_value(), prices_of(llm)
    names = model_names(llm)
    async with open_models(
        llm.provider, llm.base_url, secret, llm.timeout_seconds, prices
    ) as models:
        unknown = [name for name in names if not await _calls_and_counts(models, name)]
    if unknown:
        raise CheckDoubtfulError(
            f"{', '.join(unknown)}: no usage is reported, so costs are estimated",
        )
    return f"streamed by {', '.join(names)}"


async def _calls_and_counts(models: Models, name: str) -> bool:
    """Tell whether a model that calls its tool reports what that took."""
    request = ModelRequest(model=name, messages=(_QUESTION,), tools=(_TOOL,), max_tokens=MAX_TOKENS)
    progress = Progress()
    try:
        reply = await models.ask(request, lambda _: None, progress)
    except ApplicationError as error:
        status = error.details.get("provider_status")
        said = f" (status {status})" if status else ""
        advice = _ADVICE.get(error.error_code, error.message)
        raise CheckFailedError(f"{name}: {advice}{said}") from error
    if not any(call.tool == _TOOL.name for call in reply.tool_calls):
        raise CheckFailedError(f"{name}: {_instead(reply)}")
    return progress.is_final


def _instead(reply: ModelReply) -> str:
    if reply.has_call_as_text:
        return f"its tool call comes as text: {_FLAGS}"
    if reply.finish_reason is FinishReason.LENGTH:
        return f"it wrote {MAX_TOKENS:,} tokens and called no tool"
    return f"it called no tool (finish reason {reply.finish_reason}): agents need one that does"
