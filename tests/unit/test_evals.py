"""What evaluations expect of runs, and files that are none."""

from pathlib import Path
from typing import Any

import pytest

from commands.evals.cases import EvalFileError, Expectation, problems_of, read_cases
from tests.conftest import PROJECT

RUN: dict[str, Any] = {
    "run_status": "completed",
    "output": "It leaves from Platform 4 [1].",
    "citations": [{"document_id": "x"}],
    "usage": {"prompt_tokens": 90, "completion_tokens": 10, "cost_cents": 0.5},
    "error": None,
}


@pytest.mark.parametrize(
    ("expect", "complaint"),
    [
        ({}, None),
        ({"contains": ["platform 4", "[1]"]}, None),
        ({"contains": ["platform 5"]}, "it lacks 'platform 5'"),
        ({"excludes": ["PLATFORM"]}, "it says 'PLATFORM'"),
        ({"tools": ["search_memory"]}, None),
        ({"tools": ["ask_user"]}, "it does not call ask_user"),
        ({"no_tools": ["search_memory"]}, "it calls search_memory"),
        ({"citation_count": 1}, None),
        ({"citation_count": 2}, "it cites 1 documents"),
        ({"max_tokens": 100}, None),
        ({"max_tokens": 99}, "it uses 100 tokens"),
        ({"max_cost_cents": 0.4}, "it costs 0.5 cents"),
        ({"run_status": "failed"}, "it is completed"),
    ],
)
def test_what_is_expected(expect: dict[str, Any], complaint: str | None) -> None:
    found = problems_of(RUN, {"search_memory"}, Expectation.model_validate(expect))
    assert found == ([] if complaint is None else [complaint])


def test_a_failed_run_tells_its_code() -> None:
    run = RUN | {"run_status": "failed", "output": None, "error": {"code": "model_rejected"}}
    found = problems_of(run, (), Expectation(contains=("x",)))
    assert found == ["it is failed (model_rejected)", "it lacks 'x'"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("agent = ", "is no TOML"),
        ('agent = "a"\ncases = []', "cases: "),
        ('agent = "a"\n[[cases]]\nname = "n"', "cases.0.input: "),
        ('agent = "a"\n[[cases]]\nname="n"\ninput="i"\nexpect={contain=["x"]}', "contain: "),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "cases.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(EvalFileError, match=complaint):
        read_cases(path)
    with pytest.raises(EvalFileError, match="cannot be read"):
        read_cases(tmp_path / "nothing.toml")


def test_every_example_can_be_read() -> None:
    files = sorted((PROJECT / "examples" / "evals").glob("*.toml"))
    assert files
    for path in files:
        assert read_cases(path).cases
