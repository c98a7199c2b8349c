"""The catalogue of calls, the answers, and what counts as covered."""

from itertools import product

import pytest

from sandbox.stripe.faults import ApiFault
from tests.campaign.answers import ANSWERS
from tests.campaign.calls import Call, call_of, template_of
from tests.campaign.coverage import STRIPES_OWN, cells_of
from tests.campaign.life import Cell
from tests.campaign.phases import Phase
from tests.campaign.plan import Planner, Reached, Spec
from tests.campaign.stories import POLICIES, STORIES, Order
from tests.campaign.test_invariants import FAILED, START, a_good_life, request

ID = "in_0123456789abcdef01234567"


@pytest.mark.parametrize("call", Call)
def test_every_call_is_found_by_its_path(call: Call) -> None:
    path = call.value.partition(" ")[2].replace("{id}", ID)
    assert call_of(call.method, path) is call


def test_other_calls_are_not_in_the_catalogue() -> None:
    assert template_of("POST", f"/v1/invoices/{ID}/pay") == "POST /v1/invoices/{id}/pay"
    assert call_of("POST", f"/v1/invoices/{ID}/send") is None
    assert call_of("GET", "/v1/quotes") is None


@pytest.mark.parametrize("answer", ANSWERS, ids=[answer.name for answer in ANSWERS])
def test_the_stand_in_takes_every_answer(answer: object) -> None:
    name = next(each.name for each in ANSWERS if each is answer)
    fault = Cell(Phase.WAIT_1, name, Call.PAY).fault(1)
    assert ApiFault.model_validate(fault).label == f"{name}@wait_1"


def test_a_cell_is_covered_if_the_log_shows_it_in_its_phase() -> None:
    seen = a_good_life()
    pay = f"/v1/invoices/{ID}/pay"
    seen.log = [
        request("POST", "/v1/customers", START, status=503, fault="503@start"),
        request("POST", pay, FAILED + 1, status=402, decline_code="lost_card"),
        # Not in its phase, not by the product, not in the catalogue, and nothing special.
        request("POST", pay, FAILED + 2, status=500, fault="500@start"),
        request("POST", pay, FAILED + 3, status=500, fault="500@past_due", user_agent="dashboard"),
        request("GET", "/v1/quotes", FAILED + 4, status=500, fault="500@past_due"),
        request("GET", f"/v1/invoices/{ID}", FAILED + 5),
        request("POST", "/v1/customers", START - 100, status=503, fault="503@start"),
    ]
    assert cells_of(seen) == {
        (Call.CREATE_CUSTOMER, "503", Phase.START),
        (Call.PAY, "402 lost_card", Phase.PAST_DUE),
        (STRIPES_OWN, "402 insufficient_funds", Phase.PAST_DUE),
    }


def test_a_seed_draws_the_same_lives_again_and_each_can_be_read_back() -> None:
    drawn = []
    for _ in range(2):
        specs = Planner(7, set(), Reached()).specs()
        drawn.append([next(specs) for _ in range(60)])
    assert drawn[0] == drawn[1]
    assert [Spec.loaded(spec.dumped()) for spec in drawn[0]] == drawn[0]


def test_what_nobody_has_had_comes_first() -> None:
    covered = {(Call.PAY.value, a.name, Phase.WAIT_1) for a in ANSWERS if a.name != "409"}
    reached = Reached()
    for story, policy, phase in product(STORIES, POLICIES, Phase):
        way = Order(story, policy).way
        reached.calls[way, phase] = {Call.PAY} if phase is Phase.WAIT_1 else set()
    specs = Planner(1, covered, reached).specs()
    cells = [cell for _ in range(80) for cell in next(specs).cells if cell.call is Call.PAY]
    assert {cell.answer for cell in cells} == {"409"}
