"""The catalogue of behaviours of the models' stand-in: where each makes sense, and its pace."""

from dataclasses import dataclass

OPENAI, ANTHROPIC = "openai", "anthropic"
PROVIDERS = (OPENAI, ANTHROPIC)
BAD_STREAM_LIMIT = 3
SILENCE_LIMIT = 2
CALL_LIMIT = 8


@dataclass(frozen=True)
class Oddity:
    """A behaviour of the stand-in.

    Args:
        name: As a script orders it.
        providers: Whose words it can be said in.
        token_seconds: A pace at which people can act while it answers.
        call_limit: How many calls of one step it may answer with a success.
        is_refusal: Whether it refuses before it streams, so that nobody acts in mid-answer.
        is_remembered: Whether the product, rightly, keeps to its refusal in later runs, so that
            only the same oddity is played beside it.
        is_endless: Whether it ends only when somebody cancels.
        window: How many tokens it reads.
        is_batch: Whether it is of batches, so that the runs are begun with `urgency: batch`.
        hidden_tokens: How many tokens it is paid for and never shows: until the last count comes,
            nobody who has seen a word of the answer can know of them.
    """

    name: str
    providers: tuple[str, ...] = PROVIDERS
    token_seconds: float = 0.25
    call_limit: int = CALL_LIMIT
    is_refusal: bool = False
    is_remembered: bool = False
    is_endless: bool = False
    window: int = 8_192
    is_batch: bool = False
    hidden_tokens: int = 0


_O = (OPENAI,)
ODDITIES = (
    Oddity("list_content", _O),
    Oddity("object_arguments", _O),
    Oddity("null_arguments", _O),
    Oddity("zero_index_calls"),
    Oddity("no_finish", token_seconds=0.06, call_limit=BAD_STREAM_LIMIT),
    Oddity("odd_finish", call_limit=BAD_STREAM_LIMIT),
    Oddity("model_length"),
    Oddity("one_chunk_no_usage"),
    Oddity("call_without_usage"),
    Oddity("running_usage", call_limit=BAD_STREAM_LIMIT),
    Oddity("xai_totals", _O, hidden_tokens=500),
    Oddity("cached_prompt"),
    Oddity("whole_json", token_seconds=1.0),
    Oddity("html_page", token_seconds=1.0, call_limit=BAD_STREAM_LIMIT),
    Oddity("broken", token_seconds=0.06, call_limit=BAD_STREAM_LIMIT),
    Oddity("slow", token_seconds=0.003),
    Oddity("endless", token_seconds=0.002, is_endless=True),
    Oddity("slow_reasoning", token_seconds=0.003),
    Oddity("hidden_reasoning", token_seconds=0.001, hidden_tokens=200),
    Oddity("cut_call"),
    Oddity("empty", token_seconds=0.5, call_limit=SILENCE_LIMIT),
    Oddity("empty_after_tool", token_seconds=0.2, call_limit=SILENCE_LIMIT),
    Oddity("filtered"),
    Oddity("refused"),
    Oddity("call_as_text", token_seconds=0.2, call_limit=BAD_STREAM_LIMIT),
    Oddity("nine_letter_ids"),
    Oddity("wants_reasoning_back", _O),
    Oddity("wants_signature_back"),
    Oddity("no_max_tokens", _O),
    Oddity("no_limits", is_refusal=True, is_remembered=True),
    Oddity("small_output", is_remembered=True),
    Oddity("no_temperature", _O),
    Oddity("no_output_schema", _O),
    Oddity("no_stream_options", _O),
    Oddity("no_schema_format"),
    Oddity("no_tools", is_refusal=True),
    Oddity("too_large", is_refusal=True),
    Oddity("small_window", is_remembered=True, window=1_500),
    Oddity("alternating", token_seconds=0.1),
    Oddity("no_prefill", token_seconds=0.1),
    Oddity("no_user_after_tool", token_seconds=0.1),
    Oddity("strict", token_seconds=0.1),
    Oddity("batch_fails", _O, is_batch=True),
    Oddity("batch_expires", _O, is_batch=True),
    Oddity("batch_error_line", _O, is_batch=True),
    Oddity("batch_answer_lost", _O, is_batch=True),
    Oddity("batch_slow", _O, is_batch=True),
)
BY_NAME = {oddity.name: oddity for oddity in ODDITIES}
