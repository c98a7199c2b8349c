"""What is told of a POST whose every key Stripe answers with an answer that it has saved."""

import pytest

from domain.errors import ApplicationError, ProviderRejectedError, ProviderUnavailableError
from services.stripe_idempotency import KEY_COUNT, post_once

REFUSED = ProviderRejectedError("a schedule is attached", details={"is_replayed": True})
DOWN = ProviderUnavailableError("500", details={"is_replayed": True})


async def nothing() -> None:
    """Find no effect."""


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([DOWN, DOWN, DOWN], "provider_unavailable"),
        ([REFUSED, REFUSED, REFUSED], "provider_rejected"),
        ([DOWN, DOWN, REFUSED], "provider_rejected"),
    ],
)
async def test_a_saved_refusal_is_told_as_a_refusal(
    answers: list[ApplicationError], code: str
) -> None:
    keys: list[str] = []

    async def post(key: str) -> None:
        keys.append(key)
        raise answers[len(keys) - 1]

    with pytest.raises(ApplicationError) as caught:
        await post_once("pause", post, nothing)
    assert caught.value.error_code == code
    assert keys == [f"pause:{number}" for number in range(1, KEY_COUNT + 1)]
