"""Tool `ask_user`: asks the run's owner a question, and waits for the answer."""

from pydantic import Field

from agents.tools.spec import Arguments, ToolSpec
from domain.agents.approvals import OWNER


class AskUser(Arguments):
    """Arguments of `ask_user`."""

    question: str = Field(min_length=1, max_length=2_000, description="One question.")
    options: tuple[str, ...] = Field(
        default=(), max_length=10, description="Answers to choose from, if there are only these."
    )


ASK_USER = ToolSpec(
    name="ask_user",
    description="Ask this user a question that only the user can answer, and wait for the answer.",
    arguments=AskUser,
    approver_role=OWNER,
)
