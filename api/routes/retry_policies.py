"""Routes for retry policies."""

from typing import Annotated

from fastapi import Body

from api.deps import AdminDep, CallerDep, PagingDep, SessionsDep
from api.http.routing import ApiRouter
from api.lookup import or_404
from api.openapi.problems import ADMIN_REQUIRED, no_such, problems
from api.schemas.common import Listing
from api.schemas.retry_policies import POLICY_EXAMPLES, PolicyName, RetryPolicyIn, RetryPolicyOut
from database.payment_retries.retry_policies import RetryPolicyRepository

router = ApiRouter(prefix="/retry-policies", tags=["retry-policies"])


@router.get("")
async def list_retry_policies(
    caller: CallerDep,  # noqa: ARG001 - every user may read policies
    sessions: SessionsDep,
    paging: PagingDep,
) -> Listing[RetryPolicyOut]:
    """List the newest version of each policy, newest first."""
    async with sessions() as session:
        page = await RetryPolicyRepository(session).list(paging.limit, paging.cursor)
    return Listing[RetryPolicyOut].of(page, RetryPolicyOut.of)


@router.get("/{name}", responses=problems(no_such("retry policy")))
async def get_retry_policy(
    name: PolicyName,
    caller: CallerDep,  # noqa: ARG001 - every user may read policies
    sessions: SessionsDep,
) -> RetryPolicyOut:
    """Return the newest version of a policy. The policy `default` always exists."""
    async with sessions() as session:
        policy = await RetryPolicyRepository(session).latest(name)
    return RetryPolicyOut.of(or_404(policy, "retry policy"))


@router.put("/{name}", responses=problems(ADMIN_REQUIRED))
async def put_retry_policy(
    name: PolicyName,
    body: Annotated[RetryPolicyIn, Body(openapi_examples=POLICY_EXAMPLES)],
    caller: AdminDep,  # noqa: ARG001 - the dependency is the check
    sessions: SessionsDep,
) -> RetryPolicyOut:
    """Store a new version of a policy. Open payment retries keep theirs. Administrators only.

    Durations are in ISO 8601 or short: `90s`, `15m`, `2h`, `3d`.
    """
    async with sessions.begin() as session:
        return RetryPolicyOut.of(await RetryPolicyRepository(session).put(name, body))
