"""Compares the views of subscriptions with Stripe, and sends hints to those that are behind."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from adapters.stripe.listings import ListedSubscription, StripeListings
from adapters.stripe.subscriptions import StripeSubscriptions
from database.reconciliation.findings import ComparedRows
from database.session import Sessions
from database.subscriptions.models import Subscription
from domain.errors import NotFoundError
from domain.ids import reconciliation_hint
from domain.reconciliation.messages import (
    ReconciliationIds,
    Repair,
    RepairAction,
    RepairKind,
    StageInput,
    StageResult,
)
from domain.reconciliation.rules import differences, stripe_facts
from domain.subscriptions.lifecycle import FINAL
from domain.subscriptions.snapshots import SubscriptionSnapshot
from services.reconciliation.pace import CallPace
from services.reconciliation.repairs import record_repairs
from services.subscriptions.adoption import SubscriptionAdoption
from services.subscriptions.mailboxes import Mailboxes

# Reason: each of these is a call to Stripe, which waits for its turn.
UNLISTED_PAGE_SIZE = 10
# Calls that finding the owner of a subscription takes: the subscription, and the account.
_CALLS_OF_ADOPTION = 2


class Finding(NamedTuple):
    """A finding, and the owner of the subscription; None if it is not ours."""

    repair: Repair
    user_id: UUID | None = None


@dataclass(frozen=True)
class SubscriptionComparison:
    """Compares subscriptions with Stripe, a page at a time.

    Args:
        listings: Lists Stripe's subscriptions.
        subscriptions: Reads single subscriptions at Stripe.
        pace: Pace of the calls.
        sessions: Database sessions.
        adoption: Adopts subscriptions of our users, and sends hints.
        settle_seconds: How long a view is waited for before it counts as behind, because a hint
            may be on its way.
    """

    listings: StripeListings
    subscriptions: StripeSubscriptions
    pace: CallPace
    sessions: Sessions
    adoption: SubscriptionAdoption
    settle_seconds: float

    async def compare_listed(self, given: StageInput) -> StageResult:
        """Compare one page of Stripe's live subscriptions with our views.

        Raises:
            ApplicationError: Stripe is down, or refuses.
        """
        await self.pace.wait()
        page = await self.listings.live_subscriptions(given.page)
        repairs = await self._compare(page.subscriptions)
        if repairs:
            await asyncio.sleep(self.settle_seconds)
            repairs = await self._compare(page.subscriptions)
        async with self.sessions() as session:
            owners = await self._owners(ComparedRows(session), page.subscriptions)
        repairs += await _stopped(self.adoption.mailboxes, owners.values(), repairs)
        found = [await self._settle(given.ids, repair) for repair in repairs]
        async with self.sessions.begin() as session:
            rows = ComparedRows(session)
            listed_ids = [row.subscription_id for row in owners.values()]
            await rows.note_listed(given.ids.reconciliation_id, listed_ids)
            repair_count = await record_repairs(session, given.ids, found)
        return StageResult(
            next_page=page.next_page,
            counts={"subscriptions_read": len(page.subscriptions), "stripe_calls": 1},
            repair_count=repair_count,
        )

    async def compare_unlisted(self, given: StageInput) -> StageResult:
        """Read the live subscriptions that Stripe did not list, one by one.

        They have ended at Stripe, or Stripe does not know them.

        Raises:
            ApplicationError: Stripe is down, or refuses.
        """
        after = UUID(given.page) if given.page else None
        async with self.sessions() as session:
            rows = await ComparedRows(session).unlisted(
                given.ids.reconciliation_id, after, UNLISTED_PAGE_SIZE
            )
        compared = [await self._compare_one(row) for row in rows]
        repairs = [await self._settle(given.ids, each) for each in compared if each is not None]
        async with self.sessions.begin() as session:
            repair_count = await record_repairs(session, given.ids, repairs)
        is_last = len(rows) < UNLISTED_PAGE_SIZE
        return StageResult(
            next_page=None if is_last else str(rows[-1].subscription_id),
            counts={"subscriptions_read": len(rows), "stripe_calls": len(rows)},
            repair_count=repair_count,
        )

    async def _compare(self, listed: Sequence[ListedSubscription]) -> list[Finding]:
        async with self.sessions() as session:
            owners = await self._owners(ComparedRows(session), listed)
        return [
            finding
            for each in listed
            if (finding := _repair_of(each, owners.get(each.stripe_subscription_id)))
        ]

    async def _owners(
        self, rows: ComparedRows, listed: Sequence[ListedSubscription]
    ) -> dict[str, Subscription]:
        """Return our subscriptions by Stripe's ids."""
        views = await rows.views(
            [each.stripe_subscription_id for each in listed],
            [each.our_id for each in listed if each.our_id is not None],
        )
        owners = {row.stripe_subscription_id: row for row in views if row.stripe_subscription_id}
        by_id = {row.subscription_id: row for row in views}
        for each in listed:
            row = by_id.get(each.our_id) if each.our_id is not None else None
            # Reason: a row with another id at Stripe was named by metadata that somebody edited.
            if row is not None and row.stripe_subscription_id is None:
                owners.setdefault(each.stripe_subscription_id, row)
        return owners

    async def _compare_one(self, row: Subscription) -> Finding | None:
        await self.pace.wait()
        try:
            snapshot = await self.subscriptions.status(row.stripe_subscription_id or "")
        except NotFoundError:
            # Reason: with a key of another account nothing is found, so nothing is done about it.
            repair = Repair(
                kind=RepairKind.SUBSCRIPTION_MISSING,
                resource_id=str(row.subscription_id),
                before={
                    "stripe_subscription_id": row.stripe_subscription_id,
                    "subscription_status": row.subscription_status,
                },
            )
            return Finding(repair, row.user_id)
        return _behind(row, snapshot)

    async def _settle(self, ids: ReconciliationIds, found: Finding) -> Repair:
        """Send the hint of a finding, or adopt the subscription; return what was done."""
        repair, user_id = found
        if user_id is not None and repair.action is RepairAction.HINTED:
            hint_id = reconciliation_hint(ids.reconciliation_id)
            await self.adoption.mailboxes.hint(UUID(repair.resource_id), user_id, [hint_id])
        if repair.kind is not RepairKind.SUBSCRIPTION_UNKNOWN:
            return repair
        for _ in range(_CALLS_OF_ADOPTION):
            await self.pace.wait()
        adopted_id = await self.adoption.adopt_named(repair.resource_id, ())
        if adopted_id is None:
            return repair
        changes = {"resource_id": str(adopted_id), "action": RepairAction.ADOPTED}
        return repair.model_copy(update=changes)


def _repair_of(listed: ListedSubscription, row: Subscription | None) -> Finding | None:
    if listed.snapshot is None:
        name = str(row.subscription_id) if row else listed.stripe_subscription_id
        return Finding(Repair(kind=RepairKind.SUBSCRIPTION_UNREADABLE, resource_id=name))
    if row is not None:
        return _behind(row, listed.snapshot)
    facts = stripe_facts(listed.snapshot) | {
        "stripe_customer_id": listed.snapshot.stripe_customer_id
    }
    repair = Repair(
        kind=RepairKind.SUBSCRIPTION_UNKNOWN,
        resource_id=listed.stripe_subscription_id,
        after=differences({}, facts)[1],
    )
    return Finding(repair)


def _behind(row: Subscription, snapshot: SubscriptionSnapshot) -> Finding | None:
    theirs = stripe_facts(snapshot)
    before, after = differences(_facts(row, theirs), theirs)
    if not after:
        return None
    repair = Repair(
        kind=RepairKind.SUBSCRIPTION_BEHIND,
        resource_id=str(row.subscription_id),
        action=RepairAction.HINTED,
        before=before,
        after=after,
    )
    return Finding(repair, row.user_id)


async def _stopped(
    mailboxes: Mailboxes, rows: Iterable[Subscription], found: Sequence[Finding]
) -> list[Finding]:
    """Return those live subscriptions, beside those found, whose workflow does not run."""
    found_ids = {each.repair.resource_id for each in found}
    return [
        Finding(
            Repair(
                kind=RepairKind.WORKFLOW_STOPPED,
                resource_id=str(row.subscription_id),
                action=RepairAction.HINTED,
                before={"workflow_id": row.workflow_id},
            ),
            row.user_id,
        )
        for row in rows
        if str(row.subscription_id) not in found_ids
        and row.subscription_status not in FINAL
        and not await mailboxes.is_running(row.subscription_id)
    ]


def _facts(row: Subscription, names: Mapping[str, Any]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}
