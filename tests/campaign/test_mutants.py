"""The faults that can be put back fit today's code, and what a campaign says of them is read."""

from pathlib import Path

import pytest

from tests.campaign.mutants.__main__ import PROJECT, Mutant, apply, mutants

SAID = """VIOLATED seed 1-2 (life@example.com)
  every_owed_invoice_is_collected: in_1 is owed and has no payment retry
  nothing_is_stuck: the story stops
  again: python -m tests.campaign --only '{}'
campaign: 3 cells, 2 violated
"""


def test_every_mutant_fits() -> None:
    for mutant in mutants([]):
        apply(mutant, PROJECT, "--check")


@pytest.mark.parametrize(
    ("head", "caught"),
    [
        ("", ["every_owed_invoice_is_collected", "nothing_is_stuck"]),
        ("Caught-by: nothing_is_stuck\n", ["nothing_is_stuck"]),
        ("Caught-by: one_charge_per_attempt\n", []),
    ],
)
def test_who_caught_a_mutant_is_read(head: str, caught: list[str], tmp_path: Path) -> None:
    path = tmp_path / "one.patch"
    path.write_text(f'Declines stop.\nPlay: {{"story": "recover"}}\n{head}diff --git a/x b/x\n')
    mutant = Mutant(path)
    assert (mutant.name, mutant.line("Play")) == ("one", '{"story": "recover"}')
    assert mutant.caught_by(SAID) == caught
