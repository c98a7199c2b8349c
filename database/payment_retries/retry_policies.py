"""Repository of retry policies; the caller owns the transaction.

The policy `default` always exists: until another version is stored, it is the built-in version 1.
"""

from sqlalchemy import exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from database.paging import Page, encode_cursor, newest_first
from database.payment_retries.models import RetryPolicyVersion
from domain.payment_retries.policy import DEFAULT_POLICY_NAME, RetryPolicy, VersionedPolicy

BUILT_IN = VersionedPolicy()


class RetryPolicyRepository:
    """Reads and writes `retry_policies` within one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def latest(self, name: str) -> VersionedPolicy | None:
        """Return the newest version of a policy, or None if there is no such policy."""
        statement = (
            select(RetryPolicyVersion)
            .where(RetryPolicyVersion.name == name)
            .order_by(RetryPolicyVersion.version.desc())
            .limit(1)
        )
        row = await self._session.scalar(statement)
        if row is not None:
            return _read(row)
        return BUILT_IN if name == DEFAULT_POLICY_NAME else None

    async def list(self, limit: int, cursor: str | None) -> Page[VersionedPolicy]:
        """Return one page of the newest versions of all policies, newest first."""
        newer = aliased(RetryPolicyVersion)
        statement = select(RetryPolicyVersion).where(
            ~exists().where(
                newer.name == RetryPolicyVersion.name,
                newer.version > RetryPolicyVersion.version,
            ),
        )
        sort_key = (RetryPolicyVersion.created_at, RetryPolicyVersion.retry_policy_id)
        page = await newest_first(self._session, statement, sort_key, limit, cursor)
        items = [_read(row) for row in page.items]
        if page.next_cursor is not None or await self._last_version(DEFAULT_POLICY_NAME):
            return Page(items, page.next_cursor)
        # Reason: the built-in policy has no row; it counts as the oldest.
        if len(items) < limit:
            return Page([*items, BUILT_IN], None)
        last = page.items[-1]
        return Page(items, encode_cursor(last.created_at, last.retry_policy_id))

    async def put(self, name: str, policy: RetryPolicy) -> VersionedPolicy:
        """Store a policy as the next version of this name."""
        # Reason: two concurrent calls must not take the same version number.
        await self._session.execute(select(func.pg_advisory_xact_lock(func.hashtext(name))))
        built_in = BUILT_IN.version if name == DEFAULT_POLICY_NAME else 0
        version = (await self._last_version(name) or built_in) + 1
        row = RetryPolicyVersion(
            name=name,
            version=version,
            policy_data=policy.model_dump(mode="json"),
        )
        self._session.add(row)
        await self._session.flush()
        return VersionedPolicy(name=name, version=version, policy=policy)

    async def _last_version(self, name: str) -> int | None:
        statement = select(func.max(RetryPolicyVersion.version)).where(
            RetryPolicyVersion.name == name,
        )
        return await self._session.scalar(statement)


def _read(row: RetryPolicyVersion) -> VersionedPolicy:
    policy = RetryPolicy.model_validate(row.policy_data)
    return VersionedPolicy(name=row.name, version=row.version, policy=policy)
