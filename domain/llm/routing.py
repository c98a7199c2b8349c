"""Chooses the model of an attempt by the difficulty of the step and earlier failures."""

from collections.abc import Callable

from domain.base import Frozen
from domain.llm.messages import Difficulty, ProviderSlot

FAILURES_BEFORE_FALLBACK = 2

# Reason: after a rate limit the attempt waits for the same model; a fallback may cost more.
RATE_LIMITED = "model_rate_limited"


class Target(Frozen):
    """The model that an attempt calls.

    Args:
        model: The provider's name of the model.
        slot: The provider: the first one, or the one that takes its place.
    """

    model: str
    slot: ProviderSlot = ProviderSlot.PRIMARY

    @property
    def label(self) -> str:
        """Name of the model in metrics and breakers, different at each provider."""
        is_primary = self.slot is ProviderSlot.PRIMARY
        return self.model if is_primary else f"{self.slot}/{self.model}"


class ModelNames(Frozen):
    """The configured models, by the providers' names.

    Args:
        small: Model of easy steps.
        large: Model of difficult steps.
        fallback: Model of the same provider to use after failures of the others; None if there is
            none.
        second_small: Model of easy steps at the second provider.
        second_large: Model of difficult steps at the second provider; None if there is none.
    """

    small: str
    large: str
    fallback: str | None = None
    second_small: str | None = None
    second_large: str | None = None


def is_failure(error_code: str) -> bool:
    """Tell whether an attempt that ended with this code counts as a failure of its model."""
    return error_code != RATE_LIMITED


def route(
    names: ModelNames,
    difficulty: Difficulty,
    failure_count: int,
    is_shut: Callable[[Target], bool] = lambda _: False,
) -> Target:
    """Choose the model of an attempt.

    Two providers take turns: each gets as many attempts as failures lead to the other one.

    Args:
        names: Configured models.
        difficulty: Difficulty of the step.
        failure_count: Earlier failed attempts of this step, without rate limits.
        is_shut: Tells whether the circuit breaker of a model lets no call through.

    Returns:
        The model; one that is shut only if there is no other.
    """
    is_small = difficulty is Difficulty.SMALL
    first = Target(model=names.small if is_small else names.large)
    if names.second_large is None:
        if names.fallback and failure_count >= FAILURES_BEFORE_FALLBACK:
            return Target(model=names.fallback)
        return first
    name = names.second_small if is_small and names.second_small else names.second_large
    second = Target(model=name, slot=ProviderSlot.FALLBACK)
    turn = failure_count // FAILURES_BEFORE_FALLBACK % 2
    wanted, other = (second, first) if turn else (first, second)
    return other if is_shut(wanted) and not is_shut(other) else wanted
