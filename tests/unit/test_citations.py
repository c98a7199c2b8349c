"""Which documents an answer names."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.citations import EXCERPT_LENGTH, CitedPassage, cite

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
