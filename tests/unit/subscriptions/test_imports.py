"""An operator's mapping is used whole or not at all, and an email address is no part of it."""

from pathlib import Path
from uuid import UUID

import pytest

from commands.stripe.mapping import MappingError, read_mapping
from domain.subscriptions.adoption.imports import ImportCounts, candidate_of

MAPPED, NAMED, OWNER = (UUID(int=number) for number in (1, 2, 3))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("email,user_id\na@b.example,1\n", "needs the columns stripe_customer_id and"),
        ("stripe_customer_id,email\ncus_1,a@b.example\n", "needs the columns"),
        ("", "needs the columns"),
        ("stripe_customer_id,user_id\ncus_1,7\n", "line 2: '7' is no user_id"),
        ("stripe_customer_id,external_id\ncus_1,\n", "line 2: '' is no external_id"),
        ("stripe_customer_id,external_id\nsub_1,a\n", "line 2: 'sub_1' is no customer of Stripe"),
        ("stripe_customer_id,external_id\ncus_1\n", "line 2: '' is no external_id"),
        (
            "stripe_customer_id,external_id\ncus_1,a\ncus_1,b\n",
            "line 3: this stripe_customer_id stands in line 2 too",
        ),
        (
            "stripe_customer_id,external_id\ncus_1,a\ncus_2,a\n",
            "line 3: this external_id stands in line 2 too",
        ),
    ],
)
def test_a_wrong_mapping_is_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "customers.csv"
    path.write_text(text)
    with pytest.raises(MappingError) as refused:
        read_mapping(path)
    assert any(message in str(line) for line in refused.value.args), refused.value.args


def test_only_the_first_wrong_lines_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "customers.csv"
    path.write_text("stripe_customer_id,external_id\n" + "x,y\n" * 30)
    with pytest.raises(MappingError) as refused:
        read_mapping(path)
    assert len(refused.value.args) == 11
    assert str(refused.value.args[-1]).endswith("more")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="cannot be read"):
        read_mapping(tmp_path / "nowhere.csv")


def test_a_mapping_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "customers.csv"
    path.write_bytes("\ufeffexternal_id,name,stripe_customer_id\r\n a ,Ada, cus_1 \r\n".encode())
    mapping = read_mapping(path)
    assert mapping.column == "external_id"
    assert [tuple(row) for row in mapping.rows] == [(2, "cus_1", "a")]


@pytest.mark.parametrize(
    ("owner", "mapped", "named", "user"),
    [
        (None, None, None, None),
        (None, MAPPED, None, MAPPED),
        (None, MAPPED, NAMED, MAPPED),
        (None, None, NAMED, NAMED),
        (OWNER, None, NAMED, OWNER),
        (OWNER, OWNER, NAMED, OWNER),
    ],
)
def test_to_whom_a_customer_is_linked(
    owner: UUID | None, mapped: UUID | None, named: UUID | None, user: UUID | None
) -> None:
    assert candidate_of(owner, mapped, named) == (user, None)


def test_a_customer_is_not_taken_from_its_owner() -> None:
    user, refusal = candidate_of(OWNER, MAPPED, None)
    assert user is None
    assert refusal == "the customer belongs to another user"


def test_counts_add_up() -> None:
    one = ImportCounts(customer_count=1, card_count=2)
    assert one.plus(one) == ImportCounts(customer_count=2, card_count=4)
