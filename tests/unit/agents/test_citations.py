"""Which documents an answer names."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from database.agents.models import AgentRun
from domain.agents.citations import EXCERPT_LENGTH, CitedPassage, cite, number_passages
from domain.knowledge.documents import Passage
from services.agents.teams.tools import adopted_answer

A, B = UUID(int=1), UUID(int=2)


def passage(number: int, document_id: UUID, text: str) -> CitedPassage:
    return CitedPassage(number=number, document_id=document_id, title="t", text=text)


SHOWN = (passage(1, A, "one"), passage(2, B, "two"), passage(3, A, "three"))


@pytest.mark.parametrize(
    ("answer", "excerpts"),
    [
        ("", []),
        ("Nobody knows.", []),
        ("So it is [1].", ["one"]),
        ("So [2], and so [1].", ["two", "one"]),
        ("So [1][2].", ["one", "two"]),
        ("So [1, 2], or [2,1].", ["one", "two"]),
        ("So [3], and again [1].", ["three"]),
        ("So [4], [0], [999] and [2].", ["two"]),
        ("So [2, 9].", ["two"]),
        ("So [1234], [-1], [ 1 ], [1.], [a], [], 1 and (2).", []),
        ("So [[1]].", ["one"]),
        ("So [٢].", ["two"]),
    ],
)
def test_each_document_once_in_the_order_of_its_first_mention(
    answer: str,
    excerpts: list[str],
) -> None:
    assert [citation.excerpt for citation in cite(answer, SHOWN)] == excerpts


def test_without_passages_nothing_is_cited() -> None:
    assert cite("So it is [1].", []) == ()


def test_excerpts_are_short() -> None:
    long = "é" * (EXCERPT_LENGTH + 1)
    (citation,) = cite("[1]", [passage(1, A, long)])
    assert (citation.document_id, citation.excerpt) == (A, long[:EXCERPT_LENGTH])


@given(st.text(), st.lists(st.integers(0, 9)))
def test_only_what_was_shown_is_ever_cited(noise: str, numbers: list[int]) -> None:
    answer = noise.join(f"[{number}]" for number in numbers)
    found = [citation.document_id for citation in cite(answer, SHOWN)]
    assert len(found) == len(set(found))
    assert set(found) <= {A, B}
    assert {1, 3} & set(numbers) == set() or A in found


def found(document_id: UUID, index: int) -> Passage:
    return Passage(document_id=document_id, title="t", chunk_index=index, text="x", score=1)


def test_a_passage_that_was_shown_before_keeps_its_number() -> None:
    known = {1: (A, 0), 2: (B, 0), 7: (B, 1)}
    numbered = number_passages([found(B, 2), found(B, 0), found(A, 5)], known)
    assert list(numbered) == [8, 2, 9]
    assert [passage.chunk_index for passage in numbered.values()] == [2, 0, 5]
    assert list(number_passages([found(A, 0), found(A, 1)], {})) == [1, 2]


def test_numbers_of_older_releases_are_not_given_again() -> None:
    assert list(number_passages([found(A, 0)], {1: (A, None), 4: (B, None)})) == [5]


def test_a_leader_takes_over_a_json_answer_without_touching_its_lists() -> None:
    brought = [passage(1, A, "one").model_dump(mode="json")]
    child = AgentRun(
        output='{"n": [1], "why": "So [1]."}',
        output_data={"n": [1], "why": "So [1]."},
        passages_data=brought,
    )
    text, merged = adopted_answer(child, [passage(1, B, "two")])
    assert text == '{"n": [1], "why": "So [2]."}'
    assert [(each.number, each.document_id) for each in merged] == [(1, B), (2, A)]
