"""The rounds of a pressed ticket, told by its masks, on runs that are written down by hand."""

from __future__ import annotations

import pytest
import torch

from tests.sims.invariants.recorded import MASK, PRUNED, forward, recorded, state, step, tensors
from unilth.sims.invariants.finder_penalty import _goes_on
from unilth.sims.invariants.penalty_rounds import Round, noted_only, one_round, others_were_trained, rounds


def mask(*a, b=(1, 1)):
    return tensors({"a.weight": [list(a)], "b.weight": [[one] for one in b]}, torch.bool)


FINAL, NONE, ONE, TWO = tensors(MASK, torch.bool), mask(1, 1, 1, 1), mask(1, 1, 1, 0), mask(1, 1, 0, 0)
MOVED, FIRST, SECOND, LAST = (state(a_weight=[a]) for a in ([4, 3, 2, 2], [4, 3, 1, 0], [4, 3, 0, 0], [5, 3, 1, 0]))
FREE = [forward(state()), step(MOVED)]
UNDER_ONE, UNDER_TWO = [forward(FIRST), step(LAST)], [forward(SECOND), step(SECOND)]
SEEN = forward(FIRST, learns=False)
TICKET = [forward(state(**PRUNED)), step(state(**PRUNED))]
THREE = [*FREE, *UNDER_ONE, *UNDER_TWO, *TICKET]


def told(events, masks, **more):
    """First and last event, the mask and that of the round before, of each round."""
    way, *_ = [*rounds(recorded(events, masks=masks, **more)), []]
    return [(one.first, one.last, one.run.mask, one.run.within) for one in way]


@pytest.mark.parametrize(
    ("events", "masks", "expected"),
    [
        (THREE, [ONE, TWO, FINAL], [(0, 2, ONE, None), (2, 4, TWO, ONE), (4, 6, FINAL, TWO)]),
        (THREE, [ONE, TWO], [(0, 2, ONE, None), (2, 4, TWO, ONE), (4, 6, FINAL, TWO)]),  # the last is known anyway
        (THREE, (ONE, FINAL), [(0, 2, ONE, None), (2, 6, FINAL, ONE)]),
        (THREE, [NONE, ONE, ONE, FINAL], [(0, 2, ONE, None), (2, 6, FINAL, ONE)]),
        (THREE, [NONE, FINAL], []), (THREE, [FINAL], []), (THREE, [], []), (THREE, None, []), (THREE, {1: ONE}, []),
        (THREE, [TWO, ONE, FINAL], []),  # not nested
        (THREE, [ONE, mask(0, 1, 1, 0), FINAL], []),
        (THREE, [ONE, {"a.weight": ONE["a.weight"]}], []),  # not the form of a mask
        ([*FREE, *TICKET], [ONE, FINAL], []),  # nothing was trained under it alone
        ([*FREE, *UNDER_TWO, *TICKET], [ONE, TWO, FINAL], [(0, 2, TWO, None), (2, 4, FINAL, TWO)]),
        ([*FREE, SEEN, *UNDER_TWO, *TICKET], [ONE, FINAL], [(0, 3, ONE, None), (3, 5, FINAL, ONE)]),
        ([*FREE, *UNDER_ONE], [ONE, FINAL], []),  # no ticket was trained
        ([*FREE, *UNDER_ONE, forward(MOVED), *TICKET], [ONE, FINAL], [(0, 2, ONE, None), (2, 5, FINAL, ONE)]),
    ],
)  # fmt: skip
def test_a_round_ends_where_something_is_trained_under_its_mask(events, masks, expected):
    found = told(events, masks)
    assert [one[:2] for one in found] == [one[:2] for one in expected]
    for (*_, got, before), (*_, kept, within) in zip(found, expected, strict=True):
        assert all(torch.equal(got[name], kept[name]) for name in kept)
        assert (before is None) == (within is None)
        assert within is None or all(torch.equal(before[name], within[name]) for name in within)


CUT = forward(FIRST, model=1)


@pytest.mark.parametrize(
    ("events", "masks", "ways"),
    [
        (THREE, [ONE, TWO, FINAL], [[2, 4, 6]]),
        (
            [*FREE, CUT, forward(MOVED), *UNDER_ONE, *TICKET],
            [ONE, FINAL],
            [[2, 6], [4, 6]],
        ),  # a control, then the press
        ([*FREE, CUT, forward(MOVED), *TICKET], [ONE, FINAL], [[2, 4]]),  # nobody else was trained under it
        ([*FREE, *UNDER_ONE, forward(MOVED), *UNDER_TWO, *TICKET], [ONE, TWO], [[2, 5, 7], [5, 7]]),
        ([*FREE, *UNDER_ONE, *UNDER_TWO, forward(FIRST), *TICKET], [ONE, TWO], [[2, 4, 7], [2, 7]]),
    ],
)
def test_a_round_may_end_again_where_others_came_between(events, masks, ways):
    seen = recorded(events, masks=masks)
    assert [[one.last for one in way] for way in rounds(seen)] == ways


@pytest.mark.parametrize(
    ("events", "masks", "only"),
    [
        (THREE, [ONE, TWO, FINAL], False), (THREE, [NONE, ONE, ONE, FINAL], False), (THREE, None, False),
        ([*FREE, *TICKET], [ONE, FINAL], True), (THREE, [ONE, mask(1, 1, 1, 0, b=(1, 0)), FINAL], True),
        ([*FREE, *UNDER_ONE], [ONE, FINAL], False),
    ],
)  # fmt: skip
def test_masks_that_nothing_was_trained_under_are_only_noted(events, masks, only):
    assert noted_only(recorded(events, masks=masks)) == only


def test_a_pass_that_is_only_looked_at_ends_no_round():
    seen = recorded([*FREE, forward(FIRST), *UNDER_TWO, *TICKET], masks=[ONE, FINAL])
    seen.memory["looks"] = {2}
    (way,) = rounds(seen)
    assert [(one.first, one.last) for one in way] == [(0, 3), (3, 5)]
    assert all(one.run.looks() == {2} for one in way), "counted from the beginning of the run"


def test_what_went_before_goes_no_more():
    ((_, second, third),) = rounds(recorded(THREE, masks=[ONE, TWO, FINAL]))
    assert second.run.goes()["a.weight"].tolist() == [[False, False, True, False]] and second.later
    assert not second.run.goes()["b.weight"].any() and third.run.goes()["b.weight"].tolist() == [[False], [True]]
    alone = one_round(recorded(THREE, masks=[ONE, TWO, FINAL]))
    assert (alone.first, alone.last, alone.later) == (0, 6, False)
    assert alone.run.goes()["a.weight"].tolist() == [[False, False, True, True]]
    assert [event.kind for event in second.past()] == ["forward", "step"] and len(second.alone().events) == 2


IN_ONE = [forward(FIRST), step(LAST), forward(LAST), step(FIRST)]


@pytest.mark.parametrize(
    ("events", "others"),
    [
        (IN_ONE, False),
        ([*IN_ONE[:2], forward(state()), step(LAST)], True),  # what was known before the round
        ([*IN_ONE, forward(state(a_weight=[[4, 3, 1, 0]]), model=1)], True),
        ([*IN_ONE, forward(state(a_weight=[[4, 3, 1, 7]])), step(LAST)], False),  # the weight that went before
        ([forward(state(a_weight=[[4, 3, 1, 0]])), step(LAST)], False),  # rewound, once
        ([*IN_ONE, forward(LAST), step(LAST)], True),  # back to what was learned from
        ([*IN_ONE, forward(state(a_weight=[[4, 3, 1, 0]], b_bias=[9, 9])), step(LAST)], False),
        ([*IN_ONE[:3], step(SECOND), forward(SECOND)], True),  # weights that go in this round are 0 already
    ],
)
def test_a_later_round_begins_with_what_was_known_and_does_not_go_back(events, others):
    seen = recorded([*FREE, *events, *TICKET], masks=[ONE, FINAL])
    _, later = rounds(seen)[0]
    assert later.first == 2 and others_were_trained(later) == others


def ramp(number):
    return 0.1 * number


@pytest.mark.parametrize(
    ("extra", "past", "goes_on"),
    [
        ([0.0, 0.1, 0.2], 0, True), ([0.5, 0.6, 0.7], 5, True), ([0.5, 0.6, 0.7], 4, False),
        ([0.5, 0.7], 50, False), ([0.25, 0.35], 50, False), ([0.0, 0.0], 50, False), ([None, None], 50, False),
        ([], 9, False),
        ([0.0, None, 0.6, None, 0.8], 20, True), ([0.6, None, 0.7], 20, False), ([0.05, 0.1, 0.15], 20, False),
    ],
)  # fmt: skip
def test_a_later_round_may_go_on_with_the_schedule(extra, past, goes_on):
    assert _goes_on(ramp, extra, past) == goes_on


def test_a_schedule_read_from_a_table_may_end():
    table = [0.1, 0.2, 0.3]
    assert _goes_on(lambda number: table[number], [0.2, 0.3], 50)
    assert not _goes_on(lambda number: table[number], [0.2, 0.3, 0.4], 50)


def test_the_only_round_ends_with_the_run_where_no_ticket_was_trained():
    assert one_round(recorded(FREE)).last is None and Round(recorded(FREE)).past() == []
