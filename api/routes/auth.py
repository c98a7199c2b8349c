"""Routes for logging in and out, and for passwords."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import structlog
from fastapi import Form, Request

from api.auth.passwords import check_password, hash_password, needs_rehash, verify_password
from api.auth.tokens import make_token
from api.deps import CallerDep, SessionsDep, SettingsDep
from api.http.client_address import client_address
from api.http.routing import ApiRouter
from api.lookup import or_404
from api.openapi.problems import (
    COMMON_PASSWORD,
    LINK_EXPIRED,
    REFRESH_REFUSED,
    TOO_MANY_LOG_INS,
    WRONG_PASSWORD,
    WRONG_PRESENT_PASSWORD,
    invalid,
    problems,
)
from api.schemas.accounts import (
    ChangePasswordIn,
    CreateTokenIn,
    LogOutIn,
    NewPasswordIn,
    PasswordResetIn,
    TokenOut,
)
from config import Settings
from database.accounts.login_sessions import LoginSessionRepository
from database.accounts.passwords import PasswordRepository
from database.accounts.users import UserRepository
from database.session import Sessions
from domain.errors import ForbiddenError, UnauthorizedError
from services.accounts.login_sessions import LoginSessions, OpenSession
from services.accounts.login_throttle import LoginThrottle
from services.accounts.password_resets import PasswordResets

log = structlog.get_logger(__name__)
router = ApiRouter(prefix="/auth", tags=["auth"])


@router.post(
    "/token",
    responses=problems(
        WRONG_PASSWORD,
        REFRESH_REFUSED,
        invalid(("body", "username and password must be sent")),
        TOO_MANY_LOG_INS,
    ),
)
async def create_token(
    form: Annotated[CreateTokenIn, Form()],
    request: Request,
    sessions: SessionsDep,
    settings: SettingsDep,
) -> TokenOut:
    """Log in with an email address and a password, or go on with a refresh token (OAuth2).

    A refresh token can be used once: the answer has the next one. Whoever uses one a second time
    ends the session, because it may have been stolen; only right after it was used, and as long as
    nobody has used the next one, an answer that was lost can be asked for again.

    At most 100 passwords an hour are checked for an account, from all addresses together; an
    address from which somebody has logged in within 30 days has a budget of its own.
    """
    ttl = timedelta(seconds=settings.auth.refresh_ttl_seconds)
    log_ins = LoginSessions(sessions, ttl)
    if form.grant_type == "refresh_token":
        return _issue(await log_ins.refresh(form.refresh_token or ""), settings)
    address = client_address(request, settings.api.trusted_proxies)
    return _issue(await _log_in(log_ins, sessions, form, address), settings)


async def _log_in(
    log_ins: LoginSessions, sessions: Sessions, form: CreateTokenIn, address: str
) -> OpenSession:
    throttle, now = LoginThrottle(sessions), datetime.now(UTC)
    email, password = (form.username or "").strip(), form.password or ""
    await throttle.admit(email, address, now)
    async with sessions() as session:
        user = await UserRepository(session).get_by_email(email)
    is_match = await verify_password(user.password_hash if user else None, password)
    if user is None or not is_match or not user.is_active:
        raise UnauthorizedError("the email address or the password is wrong", "invalid_credentials")
    if user.password_hash and needs_rehash(user.password_hash):
        user.password_hash = await hash_password(password)
        async with sessions.begin() as session:
            await PasswordRepository(session).set(user.user_id, user.password_hash)
    await throttle.remember(email, address, now)
    return await log_ins.open(user)


def _issue(opened: OpenSession, settings: Settings) -> TokenOut:
    ttl_seconds = settings.auth.token_ttl_seconds
    token = make_token(
        opened.user.user_id,
        settings.auth.jwt_secret.get_secret_value(),
        ttl_seconds,
        opened.user.password_hash,
        opened.login_session_id,
    )
    return TokenOut(access_token=token, expires_in=ttl_seconds, refresh_token=opened.refresh_token)


@router.post("/logout", status_code=204)
async def end_login_session(
    caller: CallerDep, sessions: SessionsDep, body: LogOutIn | None = None
) -> None:
    """Log out: end the session of the token that was sent, or all sessions of the user.

    Streams that were opened with it end within seconds. API keys are not touched.
    """
    is_all = body is not None and body.all
    only = None if is_all else caller.login_session_id
    if not is_all and only is None:
        return  # an API key, or a token without a session, which expires by itself
    async with sessions.begin() as session:
        await LoginSessionRepository(session).revoke(caller.user_id, only=only)


@router.post("/password-reset", status_code=202)
async def start_password_reset(
    body: PasswordResetIn, sessions: SessionsDep, settings: SettingsDep
) -> None:
    """Ask for a mail with a link to set a new password. The answer is always the same.

    At most five mails an hour are sent to an account. The link leads to
    `AUTH__PASSWORD_RESET_PAGE`, and works once, for an hour.
    """
    if settings.auth.password_reset_page is None:
        log.warning("password_reset_page_missing")
        return
    await PasswordResets(sessions).request(body.email)


@router.post(
    "/password-reset/confirm",
    status_code=204,
    responses=problems(COMMON_PASSWORD, LINK_EXPIRED),
)
async def confirm_password_reset(body: NewPasswordIn, sessions: SessionsDep) -> None:
    """Set a new password by the token of a link. All sessions of the user end."""
    resets = PasswordResets(sessions)
    user = await resets.find_user(body.token)
    check_password(body.password, user.email)
    await resets.confirm(body.token, await hash_password(body.password))


@router.post(
    "/password",
    status_code=204,
    responses=problems(WRONG_PRESENT_PASSWORD, COMMON_PASSWORD, TOO_MANY_LOG_INS),
)
async def change_password(
    body: ChangePasswordIn,
    request: Request,
    caller: CallerDep,
    sessions: SessionsDep,
    settings: SettingsDep,
) -> None:
    """Change the caller's password.

    All other sessions end. The access token of this one ends as well: its refresh token gets the
    next one.
    """
    async with sessions() as session:
        user = or_404(await UserRepository(session).get(caller.user_id), "user")
    # Reason: whoever has a stolen token could guess the password here as well.
    address = client_address(request, settings.api.trusted_proxies)
    await LoginThrottle(sessions).admit(user.email, address, datetime.now(UTC))
    if not await verify_password(user.password_hash, body.current):
        raise ForbiddenError("the present password is wrong", "wrong_password")
    check_password(body.new, user.email)
    changed = await hash_password(body.new)
    async with sessions.begin() as session:
        await PasswordRepository(session).set(user.user_id, changed)
        await LoginSessionRepository(session).revoke(user.user_id, but=caller.login_session_id)
