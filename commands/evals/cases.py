"""The file of an evaluation: its cases, and what is expected of each run."""

import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from commands.settings import CommandError


class EvalFileError(CommandError):
    """The file of an evaluation cannot be used."""


class Strict(BaseModel):
    """Base of all parts of the file: unknown names are refused, since they would check nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Expectation(Strict):
    """What is expected of a run; what is left out is not looked at.

    Args:
        run_status: Status in which it ends.
        contains: Texts that the answer has, in any case.
        excludes: Texts that the answer does not have.
        tools: Tools that it calls, each at least once.
        no_tools: Tools that it does not call.
        citation_count: Least number of cited documents.
        max_tokens: Most tokens that it uses.
        max_cost_cents: Highest cost.
    """

    run_status: str = "completed"
    contains: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    no_tools: tuple[str, ...] = ()
    citation_count: int = Field(default=0, ge=0)
    max_tokens: int | None = Field(default=None, gt=0)
    max_cost_cents: float | None = Field(default=None, gt=0)


class CaseDocument(Strict):
    """A document that the user has before the case is played."""

    title: str
    content: str


class Case(Strict):
    """One case.

    Args:
        name: Name of the case.
        input: What the user asks.
        documents: Documents that the user has.
        expect: What is expected of the run.
        replies: What the stand-in's model says in turn; a real model is not told.
    """

    name: str
    input: str
    documents: tuple[CaseDocument, ...] = ()
    expect: Expectation = Expectation()
    replies: tuple[dict[str, Any], ...] = ()


class EvalFile(Strict):
    """A file of cases for one agent."""

    agent: str
    cases: tuple[Case, ...] = Field(min_length=1)


class Outcome(Strict):
    """What became of a case.

    Args:
        name: Name of the case.
        prompt_version: Version of the prompt.
        problems: What was not as expected; empty if the case has passed.
        token_count: Tokens that the run used.
        cost_cents: Cost of the run.
        seconds: How long it took.
    """

    name: str
    prompt_version: str
    problems: tuple[str, ...]
    token_count: int
    cost_cents: float
    seconds: float


def read_cases(path: Path) -> EvalFile:
    """Read a file of cases.

    Raises:
        EvalFileError: There is no such file, or it is none.
    """
    try:
        return EvalFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise EvalFileError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise EvalFileError(*(f"{path}: {line}" for line in lines)) from error
    except ValueError as error:
        raise EvalFileError(f"{path} is no TOML: {error}") from error


def problems_of(run: dict[str, Any], called: Collection[str], expect: Expectation) -> list[str]:
    """Return what is not as expected of a run.

    Args:
        run: The run, as the API shows it.
        called: Names of the tools that it called.
        expect: What is expected.
    """
    output = (run["output"] or "").casefold()
    found = []
    if run["run_status"] != expect.run_status:
        code = (run["error"] or {}).get("code")
        found.append(f"it is {run['run_status']}" + (f" ({code})" if code else ""))
    found += [f"it lacks {text!r}" for text in expect.contains if text.casefold() not in output]
    found += [f"it says {text!r}" for text in expect.excludes if text.casefold() in output]
    found += [f"it does not call {tool}" for tool in expect.tools if tool not in called]
    found += [f"it calls {tool}" for tool in expect.no_tools if tool in called]
    if len(run["citations"]) < expect.citation_count:
        found.append(f"it cites {len(run['citations'])} documents")
    tokens = run["usage"]["prompt_tokens"] + run["usage"]["completion_tokens"]
    if expect.max_tokens is not None and tokens > expect.max_tokens:
        found.append(f"it uses {tokens} tokens")
    cost = run["usage"]["cost_cents"]
    if expect.max_cost_cents is not None and cost > expect.max_cost_cents:
        found.append(f"it costs {cost:g} cents")
    return found
