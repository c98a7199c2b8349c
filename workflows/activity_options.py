"""Timeouts and retry policies of activities."""

from datetime import timedelta
from typing import TypedDict

from temporalio.common import RetryPolicy

from domain.workflow_names import MODELS, STRIPE, TOOLS


class ActivityOptions(TypedDict, total=False):
    """Options that all activity calls of one kind share."""

    task_queue: str
    start_to_close_timeout: timedelta
    heartbeat_timeout: timedelta
    schedule_to_close_timeout: timedelta
    retry_policy: RetryPolicy


class LocalActivityOptions(TypedDict):
    """Options of activities that are executed within a workflow task."""

    start_to_close_timeout: timedelta
    retry_policy: RetryPolicy


# Reason: activities that move or record money are retried until an outage ends.
PATIENT = RetryPolicy(
    initial_interval=timedelta(milliseconds=500),
    maximum_interval=timedelta(seconds=30),
)
# Reason: a caller waits for a command, so it is retried soon after an outage.
_PROMPT = RetryPolicy(
    initial_interval=timedelta(milliseconds=500),
    maximum_interval=timedelta(seconds=5),
)

RECORD: ActivityOptions = {
    "start_to_close_timeout": timedelta(seconds=15),
    # Reason: a caller waits for the answer; a missing heartbeat reveals a killed worker early.
    "heartbeat_timeout": timedelta(seconds=5),
    "retry_policy": PATIENT,
}
# Reason: within a workflow task nothing is tried twice; what fails there is tried from the queue.
LOCAL_RECORD: LocalActivityOptions = {
    "start_to_close_timeout": timedelta(seconds=5),
    "retry_policy": RetryPolicy(maximum_attempts=1),
}
STRIPE_CALL: ActivityOptions = {
    "task_queue": STRIPE,
    "start_to_close_timeout": timedelta(minutes=3),
    # Reason: a missing heartbeat reveals a killed worker after seconds, not after three minutes.
    "heartbeat_timeout": timedelta(seconds=5),
    "retry_policy": PATIENT,
}
# A page of up to a hundred objects, which is read or handled at a part of Stripe's rate.
STRIPE_PAGE: ActivityOptions = {**STRIPE_CALL, "start_to_close_timeout": timedelta(minutes=15)}
STRIPE_COMMAND: ActivityOptions = {**STRIPE_CALL, "retry_policy": _PROMPT}
# Reason: an email that could not be sent for an hour is outdated.
MAIL: ActivityOptions = {
    "start_to_close_timeout": timedelta(seconds=30),
    "schedule_to_close_timeout": timedelta(hours=1),
    "retry_policy": PATIENT,
}

# Reason: a caller waits, and should get an error soon rather than wait for long.
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
    # Reason: a cancellation reaches the call with its next heartbeat, and must close it soon.
    "heartbeat_timeout": timedelta(seconds=3),
    "retry_policy": _SOON,
}
# Reason: each look at a batch is one try, which is short and says when the next one is due; the
# provider answers within a day, and may be away for a while.
BATCH_CALL: ActivityOptions = {**MODEL_CALL, "schedule_to_close_timeout": timedelta(days=2)}
# Reason: whoever cancels a run waits for it.
CANCEL_BATCH: ActivityOptions = {
    "task_queue": MODELS,
    "start_to_close_timeout": timedelta(seconds=15),
    "schedule_to_close_timeout": timedelta(seconds=30),
    "heartbeat_timeout": timedelta(seconds=5),
    "retry_policy": _SOON,
}
TOOL_CALL: ActivityOptions = {
    "task_queue": TOOLS,
    "start_to_close_timeout": timedelta(minutes=2),
    "heartbeat_timeout": timedelta(seconds=5),
    "retry_policy": PATIENT,
}
