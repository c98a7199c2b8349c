"""The base of all tables, and the columns that many of them have."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnClause,
    DateTime,
    Index,
    MetaData,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Declarative base; every timestamp carries its zone, every dictionary is JSONB."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar = {
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[dict[str, Any]]: JSONB,
        int: BigInteger,
    }


def id_column() -> Mapped[UUID]:
    """Return a primary key that PostgreSQL makes."""
    return mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))


def created_column() -> Mapped[datetime]:
    """Return the time at which a row was inserted."""
    return mapped_column(server_default=func.now())


# What `parked_data` holds when all is well; as a literal, so that the partial indexes serve.
NOTHING_PARKED: ColumnClause[Any] = literal_column("'[]'::jsonb")


def parked_column() -> Mapped[list[dict[str, Any]]]:
    """Return the list of a workflow's parked steps."""
    return mapped_column(server_default=text("'[]'::jsonb"))


def parked_index(table: str, *columns: str) -> Index:
    """Return the index of a table's rows that have parked steps."""
    is_parked = text("parked_data <> '[]'::jsonb")
    return Index(f"ix_{table}_parked", *columns, postgresql_where=is_parked)
