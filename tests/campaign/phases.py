"""Where in its life a subscription is."""

from enum import StrEnum


class Phase(StrEnum):
    """A stretch of a lifecycle."""

    START = "start"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    WAIT_1 = "wait_1"
    WAIT_2 = "wait_2"
    ASKED = "asked"
    """The customer is asked for a card or an authentication."""
    LAST_RESORT = "last_resort"
    RECOVERED = "recovered"
    PAUSED = "paused"
    CHANGED = "changed"
    """Plan, quantity, discount or trial are changed."""
    RENEWED = "renewed"
    """A period begins with what was changed."""
    CANCEL = "cancel"
    REFUND = "refund"
