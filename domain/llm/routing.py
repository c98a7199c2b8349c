"""Which model answers: by how difficult the step is, and by what went wrong so far."""

from domain.base import Frozen
from domain.llm.messages import Difficulty

FAILURES_BEFORE_FALLBACK = 2

# Reason: its wait is served out on the same model; another model's price is no cure for haste.
RATE_LIMITED = "model_rate_limited"


class ModelNames(Frozen):
    """The models at hand, by the provider's names.

    Args:
        small: For easy steps.
        large: For difficult ones.
        fallback: After failures of the others; None if there is none.
    """

    small: str
    large: str
    fallback: str | None = None


def is_failure(error_code: str) -> bool:
    """Tell whether an attempt that ended with this code speaks against its model."""
    return error_code != RATE_LIMITED


def route(names: ModelNames, difficulty: Difficulty, failure_count: int) -> str:
    """Choose the model of an attempt.

    Args:
        names: The models at hand.
        difficulty: Of the step.
        failure_count: Earlier attempts of this step that failed, rate limits not counted.

    Returns:
        The provider's name of the model.
    """
    if names.fallback and failure_count >= FAILURES_BEFORE_FALLBACK:
        return names.fallback
    return names.small if difficulty is Difficulty.SMALL else names.large
