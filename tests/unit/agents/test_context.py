"""What a model gets to read: never too much, never a call without its result."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from domain.agents.context import CUT_MARK, NumberedPassage, PromptSources, assemble_prompt, group
from domain.errors import InvalidInputError
from domain.llm.messages import ChatMessage, RequestedCall, Role
from domain.llm.token_estimates import TOKENS_PER_MESSAGE, estimate_message_tokens, estimate_tokens

ROOMY = 100_000
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
PLAIN = st.builds(ChatMessage, role=st.sampled_from([Role.USER, Role.ASSISTANT]), content=TEXTS)


def user(text: str) -> ChatMessage:
    return ChatMessage(role=Role.USER, content=text)


def says(text: str, *call_ids: str) -> ChatMessage:
    calls = tuple(
        RequestedCall(provider_call_id=each, tool="search_memory", arguments="{}")
        for each in call_ids
    )
    return ChatMessage(role=Role.ASSISTANT, content=text, tool_calls=calls)


def result(call_id: str | None, text: str = "found") -> ChatMessage:
    return ChatMessage(role=Role.TOOL, content=text, provider_call_id=call_id)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[ChatMessage, ...]:
    """Draw messages with calls that are answered, answered late, or never; and stray results."""
    messages: list[ChatMessage] = [user(draw(TEXTS))]
    for number in range(draw(st.integers(1, 6))):
        messages.append(draw(PLAIN))
        ids = [f"{number}.{each}" for each in range(draw(st.integers(0, 3)))]
        if not ids:
            continue
        messages.append(says(draw(TEXTS), *ids))
        for call_id in ids:
            if draw(st.booleans()):
                at = draw(st.integers(0, len(messages)))
                messages.insert(at, result(call_id, draw(TEXTS)))
    return tuple(messages)


PASSAGES = st.lists(TEXTS, max_size=4).map(
    lambda texts: tuple(
        NumberedPassage(number=number, text=text) for number, text in enumerate(texts, 1)
    ),
)
SOURCES = st.builds(
    PromptSources,
    system=TEXTS,
    messages=conversations(),
    passages=PASSAGES,
)


def size_of(messages: Sequence[ChatMessage]) -> int:
    return sum(estimate_message_tokens(message) for message in messages)


def open_ends(messages: Sequence[ChatMessage]) -> set[str | None]:
    """Return calls without a result after them, and results without a call before them."""
    waiting: set[str | None] = set()
    strays: set[str | None] = set()
    for message in messages:
        if message.role is Role.TOOL:
            known = waiting if message.provider_call_id in waiting else strays
            known ^= {message.provider_call_id}
        waiting |= {call.provider_call_id for call in message.tool_calls}
    return waiting | strays


def unanswered(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Return what users have said since the model spoke last."""
    groups = group(messages)
    said = [place for place, each in enumerate(groups) if each[0].role is Role.ASSISTANT]
    return [each[0] for each in groups[(said[-1] if said else -1) + 1 :]]


def check_limit(sources: PromptSources, limit: int) -> None:
    """Check that a prompt is within its limit and has what nobody has answered, or is refused."""
    frame = TOKENS_PER_MESSAGE + estimate_tokens(sources.system)
    users = [message for message in sources.messages if message.role is Role.USER]
    newest = group(sources.messages)[-1]
    needed = unanswered(sources.messages) or [users[-1], *newest]
    try:
        seen = assemble_prompt(sources, limit)
    except InvalidInputError:
        assert frame + size_of(needed) > limit
        return
    first, *rest = seen.messages
    assert size_of(seen.messages) <= limit
    assert first.role is Role.SYSTEM
    assert first.content.startswith(sources.system)
    assert rest[0].role is Role.USER
    assert users[-1] in rest
    if expected := unanswered(sources.messages):
        assert rest[-len(expected) :] == expected
    assert seen.dropped_message_count == len(sources.messages) - len(rest)


def check_calls(sources: PromptSources, limit: int) -> None:
    """Check that no call of a tool is parted from its result."""
    try:
        seen = assemble_prompt(sources, limit)
    except InvalidInputError:
        return
    assert open_ends(seen.messages) == set()


def numbered(messages: Sequence[ChatMessage]) -> tuple[ChatMessage, ...]:
    """Return messages that can be told from each other by their texts."""
    return tuple(
        message.model_copy(update={"content": f"{number} {message.content}"})
        for number, message in enumerate(messages)
    )


def check_priorities(sources: PromptSources, limit: int) -> None:
    """Check that messages go before passages, newer ones before older ones, by what is left out."""
    sources = sources.model_copy(update={"messages": numbered(sources.messages)})
    try:
        seen = assemble_prompt(sources, limit)
    except InvalidInputError:
        return
    alone = assemble_prompt(sources.model_copy(update={"passages": ()}), limit)
    assert alone.messages[1:] == seen.messages[1:], "no passage takes the place of a message"
    groups = group(sources.messages)
    kept = {message.content for message in seen.messages[1:]}
    pinned = {message.content for message in unanswered(sources.messages)}
    users = [each[0].content for each in groups if each[0].role is Role.USER]
    others = [each[0] for each in groups if each[0].content not in {*pinned, users[-1]}]
    is_kept = [message.content in kept for message in others]
    assert is_kept == sorted(is_kept), "an older message stays only if all newer ones do"
    left = [passage for passage in sources.passages if passage.number not in seen.passage_numbers]
    room = limit - size_of(seen.messages) - len(sources.passages)  # each is rounded up
    assert all(estimate_tokens(f"\n\n{passage.text}") > room for passage in left)


CHECKS = (check_limit, check_calls, check_priorities)


@pytest.mark.parametrize("check", CHECKS)
@given(sources=SOURCES, limit=st.integers(0, 400))
def test_a_prompt_keeps_its_limit_its_calls_and_its_priorities(
    check: Callable[[PromptSources, int], None], sources: PromptSources, limit: int
) -> None:
    check(sources, limit)


@pytest.mark.soak
@settings(max_examples=10_000, deadline=None)
@given(sources=SOURCES, limit=st.integers(0, 400))
def test_ten_thousand_prompts(sources: PromptSources, limit: int) -> None:
    for check in CHECKS:
        check(sources, limit)


@given(conversations())
def test_groups_hold_each_message_once_and_keep_the_order(messages: Sequence[ChatMessage]) -> None:
    groups = group(messages)
    kept = [message for each in groups for message in each]
    assert open_ends(kept) == set()
    for each in groups:
        assert each[0].role is not Role.TOOL
        assert all(message.role is Role.TOOL for message in each[1:])
    plain = [message for message in messages if message.role is Role.USER]
    assert [message for message in kept if message.role is Role.USER] == plain
    said = [message.content for message in messages if message.role is Role.ASSISTANT]
    heard = [message.content for message in kept if message.role is Role.ASSISTANT]
    assert [text for text in heard if text.strip()] == [text for text in said if text.strip()]


@given(SOURCES)
def test_with_room_enough_nothing_is_left_out(sources: PromptSources) -> None:
    assume(group(sources.messages))
    seen = assemble_prompt(sources, ROOMY)
    parts = [sources.system, *(passage.text for passage in sources.passages)]
    assert seen.messages[0].content == "\n\n".join(parts)
    assert seen.passage_numbers == tuple(passage.number for passage in sources.passages)
    flat = tuple(message for each in group(sources.messages) for message in each)
    assert seen.messages[1:] == flat


def test_results_follow_their_call_and_what_the_user_wrote_meanwhile_comes_after() -> None:
    call, meanwhile, one, two = says("", "a", "b"), user("hurry"), result("a"), result("b")
    assert group([user("q"), call, one, meanwhile, two]) == [
        (user("q"),),
        (call, one, two),
        (meanwhile,),
    ]


@pytest.mark.parametrize(
    ("messages", "kept"),
    [
        ([says("", "a")], []),
        ([says("wait", "a")], [says("wait")]),
        ([says("", "a", "b"), result("b")], [says("", "b"), result("b")]),
        ([result("a"), user("q")], [user("q")]),
        ([result(None), user("q")], [user("q")]),
        ([result("a"), says("", "a"), user("q")], [user("q")]),
        ([user(""), says("")], [user("")]),
    ],
)
def test_what_lacks_its_other_half_is_left_out(
    messages: list[ChatMessage],
    kept: list[ChatMessage],
) -> None:
    assert [message for each in group(messages) for message in each] == kept


def test_older_messages_go_first_and_with_their_results() -> None:
    old = (says("", "a"), result("a", "x" * 100))
    sources = PromptSources(system="s", messages=(user("first"), *old, user("q")))
    needed = size_of([ChatMessage(role=Role.SYSTEM, content="s"), user("q")])
    with_old = needed + size_of(old)
    everything = with_old + size_of([user("first")])
    assert assemble_prompt(sources, everything).messages[1:] == (user("first"), *old, user("q"))
    # The assistant does not begin a conversation: its turn goes with the question before it.
    assert assemble_prompt(sources, with_old).messages[1:] == (user("q"),)
    assert assemble_prompt(sources, with_old - 1).messages[1:] == (user("q"),)
    assert assemble_prompt(sources, with_old - 1).dropped_message_count == 3
    with pytest.raises(InvalidInputError) as refused:
        assemble_prompt(sources, needed - 1)
    assert refused.value.error_code == "context_too_long"


def test_a_passage_that_is_too_long_makes_room_for_a_shorter_one() -> None:
    long, short = "x" * 200, "y" * 20
    sources = PromptSources(
        system="s",
        messages=(user("q"),),
        passages=(NumberedPassage(number=1, text=long), NumberedPassage(number=2, text=short)),
    )
    base = size_of([ChatMessage(role=Role.SYSTEM, content="s"), user("q")])
    exact = base + estimate_tokens(f"\n\n{short}")
    seen = assemble_prompt(sources, exact)
    assert seen.passage_numbers == (2,)
    assert seen.messages[0].content == f"s\n\n{short}"
    assert assemble_prompt(sources, exact - 1).passage_numbers == ()


def test_messages_are_worth_more_than_passages() -> None:
    sources = PromptSources(
        system="s",
        messages=(user("earlier"), user("q")),
        passages=(NumberedPassage(number=1, text="p"),),
    )
    enough_for_messages = size_of([ChatMessage(role=Role.SYSTEM, content="s"), *sources.messages])
    seen = assemble_prompt(sources, enough_for_messages)
    assert (seen.dropped_message_count, seen.passage_numbers) == (0, ())


def test_nothing_to_read_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        assemble_prompt(PromptSources(system="s", messages=(says("", "a"),)), ROOMY)


def test_the_question_stays_however_much_tools_have_brought() -> None:
    question = ChatMessage(role=Role.USER, content="Where does the train leave from?")
    call = RequestedCall(provider_call_id="a", tool="search", arguments="{}")
    calling = ChatMessage(role=Role.ASSISTANT, content="", tool_calls=(call,))
    result = ChatMessage(role=Role.TOOL, content="x" * 400, provider_call_id="a")
    again = call.model_copy(update={"provider_call_id": "b"})
    more = [
        calling.model_copy(update={"tool_calls": (again,)}),
        result.model_copy(update={"provider_call_id": "b"}),
    ]
    old = ChatMessage(role=Role.USER, content="hello")
    messages = (old, question, calling, result, *more)
    context = assemble_prompt(PromptSources(system="", messages=messages, question=1), 300)
    assert context.messages[1:] == (question, *more)
    assert context.dropped_message_count == 3
    with pytest.raises(InvalidInputError):
        assemble_prompt(PromptSources(system="", messages=messages, question=1), 60)


def test_what_a_tool_has_just_brought_is_cut_to_the_room_that_is_left() -> None:
    """It was paid for; its end stays, for it closes the fence."""
    long = f"<tool-result>{'x' * 4_000}</tool-result>"
    messages = (user("q"), says("", "a", "b"), result("a", long), result("b", "short"))
    seen = assemble_prompt(PromptSources(system="s", messages=messages, question=0), 600).messages
    assert [message.role for message in seen[-3:]] == [Role.ASSISTANT, Role.TOOL, Role.TOOL]
    assert seen[-2].content.startswith("<tool-result>xxx")
    assert seen[-2].content.endswith("x</tool-result>")
    assert CUT_MARK in seen[-2].content
    assert seen[-1].content == "short"


def test_what_was_said_while_the_model_spoke_is_never_left_out() -> None:
    """Also if the answer before it, which is newer than the question, finds no room."""
    late = user("Stop, I meant Spain. " * 20)
    messages = (user("q " * 100), says("a " * 300), late)
    token_limits = size_of([ChatMessage(role=Role.SYSTEM, content="s"), messages[0], late])
    assert assemble_prompt(
        PromptSources(system="s", messages=messages, question=0), token_limits
    ).messages[1:] == (
        messages[0],
        late,
    )
    with pytest.raises(InvalidInputError):
        assemble_prompt(PromptSources(system="s", messages=messages, question=0), token_limits - 1)


def test_the_newest_of_the_user_s_words_stays_however_much_tools_have_brought() -> None:
    late, more = user("only in Spain"), (says("", "b"), result("b", "y" * 300))
    earlier = (says("", "a"), result("a", "x" * 300), late, says("hm", "c"))
    messages = (user("q"), *earlier, result("c", "z" * 300), *more)
    seen = assemble_prompt(PromptSources(system="s", messages=messages, question=0), 230).messages
    assert seen[1:] == (user("q"), late, *more)
