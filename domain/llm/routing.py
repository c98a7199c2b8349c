"""Chooses the model of an attempt by the difficulty of the step and earlier failures."""

from domain.base import Frozen
from domain.llm.messages import Difficulty

FAILURES_BEFORE_FALLBACK = 2

# Reason: after a rate limit the attempt waits for the same model; a fallback may cost more.
RATE_LIMITED = "model_rate_limited"


class ModelNames(Frozen):
    """The configured models, by the provider's names.

    Args:
        small: Model of easy steps.
        large: Model of difficult steps.
        fallback: Model to use after failures of the others; None if there is none.
    """

    small: str
    large: str
    fallback: str | None = None


def is_failure(error_code: str) -> bool:
    """Tell whether an attempt that ended with this code counts as a failure of its model."""
    return error_code != RATE_LIMITED


def route(names: ModelNames, difficulty: Difficulty, failure_count: int) -> str:
    """Choose the model of an attempt.

    Args:
        names: Configured models.
        difficulty: Difficulty of the step.
        failure_count: Earlier failed attempts of this step, without rate limits.

    Returns:
        The provider's name of the model.
    """
    if names.fallback and failure_count >= FAILURES_BEFORE_FALLBACK:
        return names.fallback
    return names.small if difficulty is Difficulty.SMALL else names.large
