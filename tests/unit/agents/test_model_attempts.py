"""What an attempt at a model's call is booked at: never less than what it used."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import pytest

from adapters.llm.provider import Progress
from agents.registry import find_agent
from domain.agents.budgets import Reservation
from domain.agents.runs import StepInput
from domain.llm.messages import ChatMessage, ModelRequest, Role, TokenUsage
from domain.llm.token_estimates import TOKENS_PER_MESSAGE
from services.agents.model_calls.attempt import Attempt, booked_usage
from services.agents.prompts import Prompt

LIMIT = 100
PROMPT = 400
EARLY = TokenUsage(prompt_tokens=900, completion_tokens=1)
FINAL = TokenUsage(prompt_tokens=20, completion_tokens=10, cached_prompt_tokens=5)


def attempt() -> Attempt:
    messages = (ChatMessage(role=Role.USER, content="q"),)
    order = StepInput(agent_run_id=uuid4(), step=0, at=datetime.now(UTC))
    prompt = Prompt(find_agent("research"), messages, (), PROMPT, 1, 0)
    reservation = Reservation(
        max_tokens=LIMIT, token_count=PROMPT + LIMIT, cost_cents=Decimal(1), is_cut=False
    )
    request = ModelRequest(model="m", messages=messages, max_tokens=LIMIT)
    return Attempt(order, 1, (), uuid4(), prompt, request, reservation)


def progress(
    text: str = "",
    usage: TokenUsage | None = None,
    *,
    was_sent: bool = False,
    has_begun: bool = False,
    is_final: bool = False,
) -> Progress:
    """Make what was seen of an answer, a word a piece."""
    made = Progress(usage=usage, was_sent=was_sent, has_begun=has_begun, is_final=is_final)
    for word in text.split():
        made.see(f"{word} ")
    return made


@pytest.mark.parametrize(
    ("seen", "prompt", "completion", "is_estimated"),
    [
        # Never sent, or refused before anything was written.
        (progress(), 0, 0, False),
        # Sent, and nothing seen: anything may have been written.
        (progress(was_sent=True), PROMPT, LIMIT, True),
        (progress(was_sent=True, has_begun=True), PROMPT, LIMIT, True),
        # Canceled, cut or timed out: at what was seen.
        (progress("word " * 20, was_sent=True), PROMPT, 50, True),
        # A short text of many bytes is no more than the limit that the server keeps.
        (progress("wordwordword " * 40, was_sent=True), PROMPT, LIMIT, True),
        # One that does not keep it is paid for what it wrote.
        (progress("word " * 150, was_sent=True), PROMPT, 375, True),
        # What is said at the start is no end: Anthropic says one token there.
        (
            progress(
                "word " * 20, TokenUsage(prompt_tokens=900, completion_tokens=1), was_sent=True
            ),
            900,
            50,
            True,
        ),
        # A running count may be ahead of what was seen.
        (
            progress("word", TokenUsage(prompt_tokens=900, completion_tokens=77), was_sent=True),
            900,
            77,
            True,
        ),
        # The provider's last word counts, with the classes of its tokens.
        (progress("word", FINAL, was_sent=True, is_final=True), 20, 10, False),
        # Unless it is nothing but zeros.
        (progress("word " * 20, TokenUsage(), was_sent=True, is_final=True), PROMPT, 50, True),
    ],
)
def test_it_is_never_less_than_what_was_used(
    seen: Progress, prompt: int, completion: int, is_estimated: bool
) -> None:
    used, is_guessed = booked_usage(attempt(), seen)
    assert (used.prompt_tokens, used.completion_tokens) == (prompt, completion)
    assert is_guessed is is_estimated


def test_a_call_costs_more_than_its_name_and_arguments() -> None:
    seen = progress(was_sent=True, has_begun=True)
    seen.see_call()
    seen.see("search_memory")
    used, is_guessed = booked_usage(attempt(), seen)
    assert (used.completion_tokens, is_guessed) == (7 + TOKENS_PER_MESSAGE, True)


def test_classes_of_tokens_are_kept() -> None:
    used, _ = booked_usage(attempt(), progress("word", FINAL, was_sent=True, is_final=True))
    assert used == FINAL
