"""What is easily overlooked: one wrong step of many, an infinite score, names that hash otherwise."""

from __future__ import annotations

import math
import shlex

import pytest
import torch

from unilth.sims.invariants import cases, check, mask_order, mask_rule, penalty_schedule
from unilth.sims.invariants.invariant import Plan
from unilth.sims.invariants.mask_chance import Salted
from unilth.sims.invariants.ranking import ranked, shuffled
from unilth.sims.invariants.schedules import BLOCK, blocks
from unilth.sims.invariants.search import PATIENCE_SECONDS

LARGEST = mask_rule(scope="global", keeps="largest")


def outcome(target, id, **more):
    (row,) = check(target, budget="quick", only=id, **more).invariants
    return row


@pytest.mark.parametrize(
    ("id", "wrong", "value", "case"),
    [
        ("schedule-number", 12_345, math.nan, [12_345]),
        ("schedule-number", 12_345, "much", [12_345]),
        ("schedule-number", 12_345, True, [12_345]),
        ("schedule-nonnegative", 12_345, -1e-9, [12_345]),
        ("schedule-monotone", 12_345, 0.3, [12_344, 12_345]),
        ("schedule-monotone", 12_345, 0.9, [12_345, 12_346]),
        ("schedule-monotone", 12 * BLOCK, 0.3, [12 * BLOCK - 1, 12 * BLOCK]),  # where blocks meet
        ("schedule-ceiling", 12_345, 1.1, [12_345]),
        ("schedule-ceiling", 22_222, 1.1, [22_222]),
        ("schedule-stays", 22_222, 0.9, [22_222]),
    ],
)
def test_one_wrong_step_of_many_is_found_and_is_the_case(id, wrong, value, case, monkeypatch):
    monkeypatch.setitem(PATIENCE_SECONDS, "quick", 600)  # a machine with other work would be asked for fewer steps

    @penalty_schedule(ceiling=1.0, steps=16_000)
    def schedule(step):
        return value if step == wrong else min(step / 16_000, 1.0)

    row = outcome(schedule, id)
    assert row.status == "violated" and row.case == {"steps": case} and str(case[-1]) in row.got
    assert outcome(schedule, id, case=row.case).status == "violated"
    assert outcome(schedule, id, case={"first": wrong - 2, "last": wrong + 2}).case == {"steps": case}
    assert outcome(schedule, id, case={"first": wrong + 2, "last": wrong + 9}).status == "passed"


@pytest.mark.parametrize("last", [12_344, 12_345])
def test_the_first_and_the_last_step_of_a_block_belong_to_it(last):
    @penalty_schedule(ceiling=1.0, steps=16_000)
    def schedule(step):
        return -1.0 if step == last else min(step / 16_000, 1.0)

    def status(**case):
        return outcome(schedule, "schedule-nonnegative", case=case).status

    assert status(first=last - 2, last=last) == status(first=last, last=last + 2) == "violated"
    assert status(first=last - 2, last=last - 1) == status(first=last + 1, last=last + 2) == "passed"


def rising(values):
    """A schedule of these values, the last of which stays."""
    return penalty_schedule(ceiling=1.0, steps=len(values) - 1)(lambda step: values[min(step, len(values) - 1)])


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ((0.0, 0.5, 0.5, 1.0), ()), ((0.0, 0.5, 0.5 * (1 - 9e-8), 1.0), ()),  # a stair; rounding
        ((0.0, 0.5, 0.5 * (1 - 2e-7), 1.0), ("schedule-monotone",)), ((0.0, 1.0, 1 - 9e-8, 1.0), ()),
        ((0.0, 1.0, 1 - 2e-7, 1.0), ("schedule-monotone",)),
        ((0.0, 1e-4, 1e-4 * (1 - 2e-7), 1.0), ("schedule-monotone",)),
        ((0.0, 0.5, 1 + 9e-8), ()), ((0.0, 0.5, 1 + 2e-7), ("schedule-ceiling",)),
        ((0.0, 0.5, 1 - 9e-7), ()), ((0.0, 0.5, 1 - 2e-6), ("schedule-reaches",)),
    ],
)  # fmt: skip
def test_rounding_is_excused_and_no_more(values, wrong):
    report = check(rising(values), budget="quick")
    assert tuple(row.id for row in report.violations) == wrong


class Odd:
    def __init__(self, error):
        self.error = error

    def __float__(self):
        raise self.error


@pytest.mark.parametrize("error", [TypeError("no"), ValueError("no"), RuntimeError("no")])
def test_what_is_no_number_is_said_at_its_step(error):
    @penalty_schedule(ceiling=1.0, steps=16)
    def schedule(step):
        return Odd(error) if step == 5 else min(step / 16, 1.0)

    assert outcome(schedule, "schedule-number").got == "an answer at step 5 that is no number (no)"


@pytest.mark.parametrize("drift", [1e-3, -1e-3])
def test_a_value_that_drifts_either_way_is_no_function_of_the_step(drift):
    calls = []

    @penalty_schedule(ceiling=1.0, steps=16)
    def schedule(step):
        calls.append(step)
        return min(step / 16, 1.0) + drift * len(calls)

    assert "and later" in outcome(schedule, "schedule-pure").got


def test_blocks_leave_no_step_out_and_end_at_the_budget():
    found = list(blocks(0, 2500, Plan("quick")))
    assert found == [{"first": 0, "last": 1000}, {"first": 1000, "last": 2000}, {"first": 2000, "last": 2500}]
    for budget, most in (("quick", 20_000), ("standard", 200_000), ("thorough", 2_000_000)):
        *_, last = blocks(7, 10**9, Plan(budget))
        assert last["last"] == 7 + most


def test_a_slow_schedule_is_searched_less(monkeypatch):
    ticks = iter(range(100))
    monkeypatch.setattr("unilth.sims.invariants.schedules.time.monotonic", lambda: next(ticks) * 0.3)
    assert len(list(blocks(0, 20_000, Plan("quick")))) == 3  # 0.3, 0.6 and 0.9 of 1 second


def test_an_infinite_score_may_be_refused():
    @LARGEST
    def refuses(scores, sparsity, *, within=None, generator=None):
        if any(bool(score.isinf().any()) for score in scores.values()):
            raise ValueError("an infinite score")
        return ranked(scores, sparsity, within)

    assert outcome(refuses, "mask-infinite-scores").status == "passed"


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        (lambda masks: 1 / 0, "raised ZeroDivisionError: division by zero"),
        (lambda masks: {name: torch.zeros_like(mask) for name, mask in masks.items()}, "the infinite score 0 of 'a'"),
        (lambda masks: {name: torch.ones_like(mask) for name, mask in masks.items()}, "0 weights pruned"),
        (lambda masks: {name: torch.arange(4) == 0 for name in masks}, "3 weights pruned"),
    ],
)
def test_an_infinite_score_upsets_neither_order_nor_count(answer, got):
    @LARGEST
    def upset(scores, sparsity, *, within=None, generator=None):
        masks = ranked(scores, sparsity, within)
        return answer(masks) if any(bool(score.isinf().any()) for score in scores.values()) else masks

    row = outcome(upset, "mask-infinite-scores")
    assert row.status == "violated" and got in row.got


def test_salted_names_are_equal_to_the_text_and_hash_by_their_salt_alone():
    one, other = (type("Name", (Salted,), {"salt": salt}) for salt in (1, 2))
    assert one("a") == "a" == other("a") and one("a") != "b" and one("a") != 1
    assert hash(one("a")) == hash(one("a")) != hash(other("a"))
    assert hash(one("a")) != hash(one("b"))
    assert type(str(one("a"))) is str


def test_a_rule_that_keeps_books_by_name_is_not_judged_on_how_names_hash():
    books = {*"abc", *(f"layer{i}" for i in range(8)), *(name for shapes in cases.LAYERS for name in shapes)}

    @mask_rule(scope="global", keeps="random")
    def bookkeeper(scores, sparsity, *, within=None, generator=None):
        if not books.issuperset(scores):
            raise KeyError("a layer that is not in the books")
        return shuffled(scores, sparsity, within, generator)

    row = outcome(bookkeeper, "mask-ignores-hash")
    assert row.status == "not-applicable" and "no plain text" in row.note


def test_a_rule_may_answer_in_plain_names():
    @LARGEST
    def plain(scores, sparsity, *, within=None, generator=None):
        return {str(name): mask for name, mask in ranked(scores, sparsity, within).items()}

    assert outcome(plain, "mask-ignores-hash").status == "passed"


def test_the_replay_line_of_a_narrowed_case_shows_the_narrowed_case():
    row = check("unilth.sims.invariants.twins_schedule:forgets_one_step", only="schedule-monotone").invariants[0]
    words = shlex.split(row.replay)
    assert words[words.index("--case") + 1] == '{"steps": [776, 777]}'


@pytest.mark.parametrize(
    ("shape", "strides"),
    [((5,), (2,)), ((2, 3), (1, 2)), ((2, 3, 4), (1, 2, 6)), ((2, 3, 4, 5), (60, 1, 15, 3)), ((2, 1, 2, 1, 3), None)],
)
def test_the_other_layout_has_the_same_values_at_the_same_positions(shape, strides):
    value = torch.arange(1.0, 1 + math.prod(shape)).reshape(shape)
    other = mask_order._strided(value)
    assert torch.equal(other, value) and not other.is_contiguous()
    assert strides is None or other.stride() == strides
    assert torch.equal(mask_order._strided(torch.tensor(3.0)), torch.tensor(3.0))
