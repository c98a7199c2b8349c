"""Route for logging in."""

from typing import Annotated

from fastapi import Depends
from fastapi.security import OAuth2PasswordRequestForm

from api.auth.passwords import verify_password
from api.auth.tokens import make_token
from api.deps import SessionsDep, SettingsDep
from api.http.routing import ApiRouter
from api.openapi.problems import WRONG_PASSWORD, problems
from api.schemas.accounts import TokenOut
from database.accounts.users import UserRepository
from domain.errors import UnauthorizedError

router = ApiRouter(prefix="/auth", tags=["auth"])


@router.post("/token", responses=problems(WRONG_PASSWORD))
async def create_token(
    form: Annotated[OAuth2PasswordRequestForm, Depends()],
    sessions: SessionsDep,
    settings: SettingsDep,
) -> TokenOut:
    """Log in with an email address and a password (OAuth2 password form)."""
    async with sessions() as session:
        user = await UserRepository(session).get_by_email(form.username.strip())
    is_match = await verify_password(user.password_hash if user else None, form.password)
    if user is None or not is_match or not user.is_active:
        raise UnauthorizedError("the email address or the password is wrong", "invalid_credentials")
    ttl_seconds = settings.auth.token_ttl_seconds
    secret = settings.auth.jwt_secret.get_secret_value()
    token = make_token(user.user_id, secret, ttl_seconds, user.password_hash)
    return TokenOut(access_token=token, expires_in=ttl_seconds)
