"""Tools of agents in a team: `delegate` asks a member, `hand_over` passes the task to a peer."""

from datetime import timedelta

from pydantic import Field

from agents.tools.spec import Arguments, ToolSpec
from domain.agents.patterns import DELEGATE, HAND_OVER

MAX_TASK_LENGTH = 8_000


class Delegate(Arguments):
    """Arguments of `delegate`."""

    agent: str = Field(min_length=1, max_length=60, description="Name of the team's member.")
    task: str = Field(
        min_length=1,
        max_length=MAX_TASK_LENGTH,
        description="The whole task: the member reads nothing else.",
    )


class HandOver(Arguments):
    """Arguments of `hand_over`."""

    agent: str = Field(min_length=1, max_length=60, description="Name of the peer.")
    task: str = Field(
        min_length=1,
        max_length=MAX_TASK_LENGTH,
        description="What is left to do, and what you have found out.",
    )


DELEGATE_SPEC = ToolSpec(
    name=DELEGATE,
    description="Give a member of your team a task, and get its answer. Several calls at once are "
    "worked on at the same time.",
    arguments=Delegate,
    patience=timedelta(seconds=15),
)
HAND_OVER_SPEC = ToolSpec(
    name=HAND_OVER,
    description="Pass the task on to a peer who is better suited. Your own part ends with it.",
    arguments=HandOver,
    patience=timedelta(seconds=15),
)
