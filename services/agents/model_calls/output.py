"""Structured output: what the model is told about it, and whether an answer fits its schema."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from adapters.json_schema import find_mismatches, schema_problem
from agents.guards import fence
from agents.spec import AgentSpec
from domain.agents.run_events import storable
from domain.agents.runs import RunFinish
from domain.errors import InvalidInputError
from domain.llm.json_output import read_json_output
from domain.llm.messages import ModelReply
from services.agents.model_calls.failures import finish_of

OUTPUT_INVALID = "output_invalid"


class Output(NamedTuple):
    """An answer that had to be JSON.

    Args:
        data: The document; None if it does not fit, or no schema was asked for.
        problem: What is wrong with the answer; None if nothing is.
    """

    data: dict[str, Any] | None = None
    problem: str | None = None


def read_output(spec: AgentSpec, reply: ModelReply) -> Output:
    """Read a final answer by the schema of its agent; any other reply has no problem.

    Args:
        spec: Spec of the agent.
        reply: What the model returned.
    """
    is_final = not reply.tool_calls and finish_of(reply) is RunFinish.STOP
    if spec.output_schema is None or not is_final:
        return Output()
    try:
        data = read_json_output(reply.text)
    except InvalidInputError as error:
        return Output(problem=error.message)
    if mismatches := find_mismatches(spec.output_schema, data):
        return Output(problem=storable("\n".join(mismatches)))
    return Output(data=storable(data))


def output_order(spec: AgentSpec) -> str:
    """Return the part of the system prompt that asks for JSON; empty if the agent has no schema."""
    if spec.output_schema is None:
        return ""
    # Reason: it is told in words as well, since not every server knows schemas of answers.
    schema = json.dumps(spec.output_schema, ensure_ascii=False)
    return (
        "\n\nYour final answer is one JSON document without any other text. It must fit this JSON "
        f"schema:\n{schema}"
    )


def repair_order(problem: str) -> str:
    """Return the message that asks a model to correct its answer.

    Args:
        problem: What is wrong; it quotes the answer, so it is fenced.
    """
    return (
        "(This message is from the system, not from the user.) Your last answer was not the JSON "
        f"document that was asked for:\n{fence(problem, 'problem')}\n"
        "Answer again, with the corrected JSON document only."
    )


def schema_problems(spec: AgentSpec) -> Iterator[str]:
    """Yield what is wrong with the schema of an agent's answers; the problem names the file."""
    if spec.output_schema is not None and (problem := schema_problem(spec.output_schema)):
        yield f"{spec.name}.toml has an output_schema that cannot be used: {problem}"
