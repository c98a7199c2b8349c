"""How long activities may take, and how they are tried again."""

from datetime import timedelta
from typing import TypedDict

from temporalio.common import RetryPolicy

from domain.workflow_names import MODELS, STRIPE, TOOLS


class ActivityOptions(TypedDict, total=False):
    """Options that every call of a kind shares."""

    task_queue: str
    start_to_close_timeout: timedelta
    heartbeat_timeout: timedelta
    schedule_to_close_timeout: timedelta
    retry_policy: RetryPolicy


# Reason: money and its records wait for as long as an outage lasts; they never give up.
PATIENT = RetryPolicy(
    initial_interval=timedelta(milliseconds=500),
    maximum_interval=timedelta(seconds=30),
)
# Reason: somebody waits for a command, and hears soon once an outage is over.
_PROMPT = RetryPolicy(
    initial_interval=timedelta(milliseconds=500),
    maximum_interval=timedelta(seconds=5),
)

RECORD: ActivityOptions = {
    "start_to_close_timeout": timedelta(seconds=15),
    # Reason: a killed worker is noticed by its missing heartbeat; whoever waits does so online.
    "heartbeat_timeout": timedelta(seconds=5),
    "retry_policy": PATIENT,
}
STRIPE_CALL: ActivityOptions = {
    "task_queue": STRIPE,
    "start_to_close_timeout": timedelta(minutes=3),
    # Reason: a killed worker is noticed by its missing heartbeat, not after three minutes.
    "heartbeat_timeout": timedelta(seconds=5),
    "retry_policy": PATIENT,
}
STRIPE_COMMAND: ActivityOptions = {**STRIPE_CALL, "retry_policy": _PROMPT}
# Reason: a mail that could not be sent for an hour is no news any more.
MAIL: ActivityOptions = {
    "start_to_close_timeout": timedelta(seconds=30),
    "schedule_to_close_timeout": timedelta(hours=1),
    "retry_policy": PATIENT,
}

# Reason: a caller that waits is better told that there is no answer than left waiting.
_SOON = RetryPolicy(
    initial_interval=timedelta(milliseconds=500),
    maximum_interval=timedelta(seconds=20),
)
LOOK_UP: ActivityOptions = {
    "task_queue": TOOLS,
    "start_to_close_timeout": timedelta(seconds=60),
    "schedule_to_close_timeout": timedelta(minutes=15),
    "heartbeat_timeout": timedelta(seconds=5),
    "retry_policy": _SOON,
}
MODEL_CALL: ActivityOptions = {
    "task_queue": MODELS,
    "start_to_close_timeout": timedelta(minutes=10),
    "schedule_to_close_timeout": timedelta(minutes=30),
    # Reason: a cancel reaches the call with its next heartbeat, and the socket is to close at once.
    "heartbeat_timeout": timedelta(seconds=3),
    "retry_policy": _SOON,
}
TOOL_CALL: ActivityOptions = {
    "task_queue": TOOLS,
    "start_to_close_timeout": timedelta(minutes=2),
    "heartbeat_timeout": timedelta(seconds=5),
    "retry_policy": PATIENT,
}
