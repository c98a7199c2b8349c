"""Routes for user accounts."""

from typing import Annotated
from uuid import UUID

from fastapi import Query
from fastapi.responses import JSONResponse

from api.auth.passwords import check_password, hash_password
from api.deps import AdminDep, Caller, CallerDep, MaybeCallerDep, PagingDep, SessionsDep
from api.http.routing import ApiRouter
from api.idempotency import Claim, IdempotentDep
from api.lookup import or_404, read_seq, resolve_user_id
from api.openapi.problems import (
    ADMIN_REQUIRED,
    ADMIN_REQUIRED_TO_IMPORT,
    COMMON_PASSWORD,
    EMAIL_TAKEN,
    EXTERNAL_ID_TAKEN,
    LAST_ADMIN,
    no_such,
    problems,
)
from api.schemas.accounts import NewUser, TimelineEntryOut, UserChangeIn, UserOut
from api.schemas.common import Listing
from database.accounts.login_sessions import LoginSessionRepository
from database.accounts.user_administration import UserAdministration
from database.accounts.users import ADMIN, UserRepository
from database.timeline import TimelineEntry, read_timeline
from domain.errors import ConflictError, ForbiddenError, InvalidInputError
from domain.ids import derived_id
from domain.timeline import TimelineKind, summarize

router = ApiRouter(prefix="/users", tags=["users"])


@router.post(
    "",
    status_code=201,
    response_model=UserOut,
    responses=problems(
        ADMIN_REQUIRED_TO_IMPORT,
        EMAIL_TAKEN,
        EXTERNAL_ID_TAKEN,
        InvalidInputError("a password is required"),
        COMMON_PASSWORD,
    ),
)
async def create_user(
    body: NewUser,
    caller: MaybeCallerDep,
    sessions: SessionsDep,
    once: IdempotentDep,
) -> JSONResponse:
    """Sign up.

    No credentials are needed. An administrator may also import users of another login system, with
    an `external_id` and without a password, and create other administrators.
    """
    _check_rights(body, caller)

    async def work(claim: Claim) -> UserOut:
        password_hash = None
        if body.password:
            check_password(body.password, body.email)
            password_hash = await hash_password(body.password)
        async with sessions.begin() as session:
            user = await UserRepository(session).add(
                claim.resource_id,
                body.email,
                name=body.name,
                locale=body.locale,
                password_hash=password_hash,
                external_id=body.external_id,
                role=body.role,
            )
        if user.user_id != claim.resource_id:
            is_email = user.email == body.email
            what, code = (
                ("email", "email_taken") if is_email else ("external_id", "external_id_taken")
            )
            raise ConflictError(f"a user with this {what} exists already", code)
        return UserOut.model_validate(user)

    caller_id = caller.user_id if caller else derived_id("email", body.email)
    return await once.run(caller_id, work, status=201)


@router.get("", responses=problems(ADMIN_REQUIRED))
async def list_users(
    _: AdminDep,
    sessions: SessionsDep,
    paging: PagingDep,
    email: Annotated[
        str | None,
        Query(min_length=1, max_length=320, description="How the email address begins."),
    ] = None,
    is_active: Annotated[bool | None, Query(description="Only those who are, or are not.")] = None,
) -> Listing[UserOut]:
    """List all users, newest first. Only administrators may ask."""
    async with sessions() as session:
        users = UserAdministration(session)
        page = await users.list(email, is_active, paging.limit, paging.cursor)
    return Listing[UserOut].of(page, UserOut.model_validate)


@router.post(
    "/{user_id}/deactivate", responses=problems(ADMIN_REQUIRED, no_such("user"), LAST_ADMIN)
)
async def deactivate_user(user_id: UUID, _: AdminDep, sessions: SessionsDep) -> UserOut:
    """Deactivate a user: all sessions end, and no log-in or API key works until reactivation.

    Subscriptions go on: cancel them, if they are to end. The last administrator stays active.
    """
    async with sessions.begin() as session:
        user = or_404(
            await UserAdministration(session).set_active(user_id, is_active=False), "user"
        )
        await LoginSessionRepository(session).revoke(user_id)
    return UserOut.model_validate(user)


@router.post("/{user_id}/reactivate", responses=problems(ADMIN_REQUIRED, no_such("user")))
async def reactivate_user(user_id: UUID, _: AdminDep, sessions: SessionsDep) -> UserOut:
    """Reactivate a user, who logs in again; API keys that were not revoked work again."""
    async with sessions.begin() as session:
        user = or_404(await UserAdministration(session).set_active(user_id, is_active=True), "user")
    return UserOut.model_validate(user)


@router.get("/me")
async def get_me(caller: CallerDep, sessions: SessionsDep) -> UserOut:
    """Return the caller's own account."""
    async with sessions() as session:
        user = await UserRepository(session).get(caller.user_id)
    return UserOut.model_validate(or_404(user, "user"))


@router.get("/{user_id}/timeline", responses=problems(ADMIN_REQUIRED, no_such("user")))
async def list_timeline(
    user_id: UUID, _: AdminDep, sessions: SessionsDep, paging: PagingDep
) -> Listing[TimelineEntryOut]:
    """List everything that happened to a customer, oldest first: money, access and runs.

    `cursor` is the number of the last entry seen. Only administrators may ask.
    """
    after = read_seq(paging.cursor)
    async with sessions() as session:
        or_404(await UserRepository(session).get(user_id), "user")
        found = await read_timeline(session, user_id, after, paging.limit + 1)
    shown = found[: paging.limit]
    return Listing[TimelineEntryOut](
        items=[_timeline_entry(entry) for entry in shown],
        next_cursor=str(shown[-1].seq) if len(found) > paging.limit else None,
    )


def _timeline_entry(entry: TimelineEntry) -> TimelineEntryOut:
    # Reason: the event of a subscription has a sentence already, made when it was stored.
    summary = entry.row_data.get("summary")
    return TimelineEntryOut(
        seq=entry.seq,
        kind=entry.kind,
        occurred_at=entry.occurred_at,
        summary=summary or summarize(TimelineKind(entry.kind), entry.row_data),
        resource_id=entry.resource_id,
    )


@router.patch("/me", responses=problems(no_such("user")))
async def change_me(body: UserChangeIn, caller: CallerDep, sessions: SessionsDep) -> UserOut:
    """Change the caller's own account. Administrators may change another user's."""
    user_id = await resolve_user_id(sessions, caller, body.user_id)
    async with sessions.begin() as session:
        users = UserRepository(session)
        if "locale" in body.model_fields_set:
            await users.set_locale(user_id, body.locale)
        user = await users.get(user_id)
    return UserOut.model_validate(or_404(user, "user"))


def _check_rights(body: NewUser, caller: Caller | None) -> None:
    if caller is not None and caller.role == ADMIN:
        return
    if body.role == ADMIN or body.external_id is not None:
        message = "only an administrator may set a role or an external_id"
        raise ForbiddenError(message, "admin_required")
    if body.password is None:
        raise InvalidInputError("a password is required")
