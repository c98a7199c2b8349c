"""Repository of the customers of an import; the caller owns the transaction."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from database.accounts.models import ImportedCustomer, User

MAPPED, LINKED = "mapped", "linked"


class ImportedCustomerRepository:
    """Reads and writes `imported_customers` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def put_mapping(self, user_ids: Mapping[str, UUID]) -> None:
        """Store users by Stripe's id of their customer, as the operator's mapping names them."""
        rows = [
            {"stripe_customer_id": customer_id, "mapped_user_id": user_id, "import_status": MAPPED}
            for customer_id, user_id in sorted(user_ids.items())
        ]
        statement = insert(ImportedCustomer).values(rows)
        changes = {"mapped_user_id": statement.excluded.mapped_user_id}
        await self._session.execute(
            statement.on_conflict_do_update(index_elements=["stripe_customer_id"], set_=changes)
        )

    async def mapped_users(self, stripe_customer_ids: Collection[str]) -> dict[str, UUID]:
        """Return the users whom the mapping names, by Stripe's id of their customer."""
        statement = select(
            ImportedCustomer.stripe_customer_id, ImportedCustomer.mapped_user_id
        ).where(
            ImportedCustomer.stripe_customer_id.in_(stripe_customer_ids),
            ImportedCustomer.mapped_user_id.is_not(None),
        )
        rows = await self._session.execute(statement)
        return {row[0]: row[1] for row in rows if row[1] is not None}

    async def put_status(
        self, stripe_customer_id: str, status: str, refusal: str | None = None
    ) -> None:
        """Store what became of a customer; it is finished with the import's subscriptions."""
        values = {"import_status": status, "refusal": refusal}
        statement = insert(ImportedCustomer).values(stripe_customer_id=stripe_customer_id, **values)
        await self._session.execute(
            statement.on_conflict_do_update(index_elements=["stripe_customer_id"], set_=values)
        )

    async def is_open(self, stripe_customer_id: str) -> bool:
        """Tell whether an import has linked this customer, and not adopted its subscriptions."""
        statement = select(ImportedCustomer.stripe_customer_id).where(
            ImportedCustomer.stripe_customer_id == stripe_customer_id,
            ImportedCustomer.import_status == LINKED,
            ~ImportedCustomer.is_finished,
        )
        return await self._session.scalar(statement) is not None

    async def finish(self) -> None:
        """Note that the subscriptions of all linked customers are adopted."""
        await self._session.execute(
            update(ImportedCustomer)
            .where(ImportedCustomer.import_status == LINKED, ~ImportedCustomer.is_finished)
            .values(is_finished=True)
        )

    async def counts(self) -> dict[str, int]:
        """Return the numbers of customers by status."""
        statement = select(ImportedCustomer.import_status, func.count()).group_by(
            ImportedCustomer.import_status
        )
        return {row[0]: row[1] for row in await self._session.execute(statement)}

    async def not_linked(self, after: str, limit: int) -> Sequence[ImportedCustomer]:
        """Return customers that belong to no user, by id, from the one that follows `after`."""
        statement = (
            select(ImportedCustomer)
            .where(
                ImportedCustomer.import_status != LINKED,
                ImportedCustomer.stripe_customer_id > after,
            )
            .order_by(ImportedCustomer.stripe_customer_id)
            .limit(limit)
        )
        return (await self._session.scalars(statement)).all()


async def users_by_external_id(
    session: AsyncSession, external_ids: Collection[str]
) -> dict[str, UUID]:
    """Return the users with these ids of an external login system."""
    statement = select(User.external_id, User.user_id).where(User.external_id.in_(external_ids))
    return {str(row[0]): row[1] for row in await session.execute(statement)}


async def existing_users(session: AsyncSession, user_ids: Collection[UUID]) -> set[UUID]:
    """Return those of the ids that belong to a user."""
    return set(await session.scalars(select(User.user_id).where(User.user_id.in_(user_ids))))
