"""Which training is the one that led to the answer: runs that were written down by hand."""

from __future__ import annotations

import pytest

from tests.sims.invariants.recorded import MASK, PRUNED, forward, recorded, state, step, verdict
from unilth.sims.invariants import check, observe
from unilth.sims.invariants import finder_training as training
from unilth.sims.invariants.finder_run import changed_by_hand, equal_states
from unilth.sims.invariants.invariant import NotJudged
from unilth.sims.invariants.phases import phases
from unilth.sims.invariants.twins_finder import OneShot

DENSE, UNDER = {"a_weight": [[4, 3, 7, 8]], "b_weight": [[5], [9]]}, PRUNED
TRAINED = {"a_weight": [[6, 5, 0, 0]], "b_weight": [[7], [0]]}
SECOND = {"a_weight": [[8, 9, 0, 0]], "b_weight": [[9], [0]]}


def use(values, **more):
    event = forward(state(**values), **{key: value for key, value in more.items() if key != "model"})
    event.model = more.get("model", 0)
    return event


def left(values, model=0):
    event = step(state(**values))
    event.model = model
    return event


ONCE = [use(DENSE), left(DENSE), use(UNDER), left(TRAINED), use(TRAINED), left(TRAINED)]
TWICE = [*ONCE, use(DENSE), left(DENSE), use(UNDER), left(SECOND), use(SECOND)]
AGAIN = [left(DENSE), use(DENSE), left(DENSE), use(UNDER | {"b_weight": [[4.5], [0]]}), left(TRAINED)]
THRICE = [*TWICE, *AGAIN]


@pytest.mark.parametrize(
    ("events", "entries"),
    [
        (ONCE, [2]), (TWICE, [2, 8]), (ONCE[2:], [0]), (ONCE[:2], []), ([use(UNDER, learns=False), *ONCE], [3]),
        ([*ONCE[:4], use(DENSE), left(DENSE), use(UNDER)], [2, 6]),
        ([*ONCE[:3], use(DENSE), left(TRAINED), use(TRAINED)], [2]),  # another point on the way to the step
        ([*ONCE[:2], use(DENSE), use(UNDER), left(UNDER), use(UNDER)], [3]),  # a look at the gradients before the mask
        ([*ONCE[:2], use(DENSE), use(UNDER), use(DENSE), left(UNDER), use(UNDER)], [3]),
        ([*ONCE[:2], use(DENSE), use(SECOND | {"a_weight": [[8, 9, 1, 0]]}), left(UNDER), use(UNDER)], [5]),
        ([*ONCE[:2], use(UNDER, model=1), left(TRAINED, 1), use(DENSE), left(DENSE), use(TRAINED, model=1)], [2]),
        ([*ONCE, use(UNDER, model=1)], [2, 6]),
    ],
)  # fmt: skip
def test_training_under_the_mask_begins_where_it_was_dense_before(events, entries):
    assert [phase.start for phase in phases(recorded(events))] == entries


NEW, HALF = (
    {"a_weight": [[1, -2, 1, -2]], "b_weight": [[1], [-1]]},
    {"a_weight": [[4, 3, 0, 8]], "b_weight": [[0], [9]]},
)
LARGE, LOW = (
    {"a_weight": [[8, 9, 7, 7]], "b_weight": [[9], [8]]},
    {"a_weight": [[-8, -9, -7, -7]], "b_weight": [[-9], [-8]]},
)
BELOW = {"a_weight": [[-4, -3, -1, -2]], "b_weight": [[-5], [2]]}
FEW = {"a_weight": [[0, 0, 1.1, 0]], "b_weight": [[0], [2.1]]}
MOVED = {"a_weight": [[1, -2, 1, -2.1]], "b_weight": [[1], [-1]]}


@pytest.mark.parametrize(
    ("events", "starts"),
    [
        ([], []), ([use({})], [{}]), ([use({}, learns=False), use(DENSE)], [DENSE]),
        ([use(DENSE), left(SECOND)], [DENSE]),
        ([use(DENSE), left(SECOND), use(SECOND), left(NEW), use(NEW)], [DENSE]),
        ([left(SECOND), use(SECOND), left(SECOND)], [SECOND]),  # the first in any case
        ([use({}), left(DENSE), use(NEW, model=1)], [{}, NEW]),
        ([use({}), left(DENSE), use(SECOND, model=1)], [{}]),  # like what was trained before
        ([use(NEW), use({}, model=1), left(DENSE, model=1), use(NEW, model=2)], [NEW]),
        ([use({}), left(DENSE), use(DENSE, model=1)], [{}]), ([use({}), left(DENSE), use(HALF, model=1)], [{}]),
        ([use({}), left(DENSE), left(SECOND), use(HALF, model=1)], [{}]),
        ([use({}), left(SECOND), use(NEW, model=1), left(DENSE, model=1), use(NEW, model=2)], [{}, NEW]),
        ([use({}), left(DENSE), use(SECOND)], [{}]),  # like the one before
        ([use({}), left(DENSE), use(NEW)], [{}, NEW]), ([use({}), left(NEW), left(DENSE), use(NEW)], [{}]),
        ([use({}), left(DENSE), use(NEW), use(NEW), left(DENSE), use(NEW)], [{}, NEW]),
        ([use({}), left(DENSE), use({}), use(NEW)], [{}]),  # another point on the way to the step
        ([use({}), left(DENSE, model=1), use(NEW)], [{}]),
        ([use(NEW), left({}), use(NEW | {"a_weight": [[1, -2, 0, 0]]})], [NEW]),  # rewound and masked
        ([use(NEW), left(NEW), use(UNDER, model=1)], [NEW]),  # the given one, masked
        ([use(NEW), left(NEW), use(LARGE, model=1)], [NEW, LARGE]),
        ([use({}), left(BELOW), use(BELOW | {"a_weight": [[-4, -3, -1, -2.1]]}, model=1)], [{}]),
        ([use({}), left(SECOND), use(FEW, model=1)], [{}]),  # like the few that it has
        ([use({}), use(NEW), use(MOVED, model=1)], [{}]),  # steps were taken by hand
    ],
)  # fmt: skip
def test_training_starts_where_a_network_first_learns_or_is_drawn_anew(events, starts):
    found = recorded(events).starts()
    assert [equal_states(one, state(**wanted)) for one, wanted in zip(found, [{}, *starts], strict=True)].count(
        False
    ) == 0


@pytest.mark.parametrize(
    ("events", "counts"),
    [
        ([use(NEW), left(NEW), use(LOW, model=1)], False), ([use(NEW), left(NEW)], False), ([], True),
        ([left(NEW)], True),
        ([use(NEW, learns=False), left(NEW)], True), ([use({})], True), ([use(SECOND)], True), ([use(UNDER)], True),
        ([use(NEW), left(NEW), use(SECOND, model=1)], True), ([use(NEW), left(SECOND)], True),
    ],
)  # fmt: skip
def test_the_given_state_is_a_start_unless_what_learned_was_never_like_it(events, counts):
    seen = recorded(events)
    assert any(start is seen.given for start in seen.starts()) == counts


def test_weights_below_zero_may_be_drawn():
    first, second = recorded([use(NEW), left(NEW), use(LOW, model=1)]).starts()
    assert equal_states(first, state(**NEW)) and equal_states(second, state(**LOW))


TWICE_AS_LARGE = {"a_weight": [[8, 6, 2, 4]], "b_weight": [[10], [4]]}
BY_LAYER = {"a_weight": [[4, 3, 1, 2]], "b_weight": [[10], [4]]}


@pytest.mark.parametrize(
    ("other", "drawn"),
    [
        (TWICE_AS_LARGE, True), (BY_LAYER, True), ({}, False), (BY_LAYER | {"a_weight": [[4, 3, 1, 2.001]]}, False),
        (BY_LAYER | {"b_weight": [[5.0025], [2.001]]}, False), (BY_LAYER | {"b_weight": [[5.01], [2.004]]}, True),
        (BY_LAYER | {"a_weight": [[4, -3, 1, 2]]}, False), (BY_LAYER | {"a_weight": [[4, 3, 0, 0]]}, False),
        (BY_LAYER | {"b_weight": [[2.5], [1]]}, True), (BY_LAYER | {"b_weight": [[0], [0]]}, False),
    ],
)  # fmt: skip
def test_a_start_that_is_scaled_is_another_one(other, drawn):
    found = recorded([use({}), left(DENSE), use(other, model=1)]).starts()
    assert len(found) == 2 + drawn


def test_the_answer_is_found_among_what_was_seen():
    assert recorded(ONCE, weights=state(**TRAINED)).answered() == 5
    assert recorded(TWICE, weights=state(**TRAINED)).answered() == 5
    assert recorded(TWICE, weights=state(**SECOND)).answered() == 10
    assert recorded(ONCE, weights=state(**UNDER)).answered() == 2
    assert recorded(ONCE, weights=state(**DENSE)).answered() == 2, "as it is under the mask"
    assert recorded(ONCE, weights=state(a_weight=[[1, 1, 0, 0]])).answered() is None


@pytest.mark.parametrize(
    ("events", "answer", "phase"),
    [
        (TWICE, UNDER, 8), (THRICE, SECOND, 8), (THRICE, {"a_weight": [[1, 1, 0, 0]]}, 14),
        ([use(SECOND | {"b_weight": [[9], [1]]}), left(DENSE), *TWICE[2:8], use(TRAINED), *AGAIN], SECOND, 12),
        (ONCE, TRAINED, 2), (TWICE, TRAINED, 2), (TWICE, SECOND, 8), (TWICE, {"a_weight": [[1, 1, 0, 0]]}, 2),
        (TWICE, SECOND | {"a_weight": [[8, 9.5, 0, 0]]}, 8), (TWICE, TRAINED | {"a_weight": [[6, 5.5, 0, 0]]}, 2),
        ([use(SECOND | {"b_weight": [[9], [1]]}), left(DENSE), *TWICE[2:8], use(TRAINED)], SECOND, 2),
        ([use(SECOND | {"b_weight": [[9], [1]]}), left(DENSE), *ONCE[2:]], SECOND, 2),
    ],
)  # fmt: skip
def test_the_final_phase_led_to_the_answer(events, answer, phase):
    assert recorded(events, weights=state(**answer)).final_phase() == phase


def test_without_an_entry_there_is_no_phase():
    with pytest.raises(NotJudged, match="nothing was trained after"):
        recorded(ONCE[:2]).final_phase()
    with pytest.raises(NotJudged, match="nothing was pruned"):
        recorded(ONCE, mask={name: [[1] * len(row) for row in rows] for name, rows in MASK.items()}).final_phase()


def test_what_came_after_the_answer_is_not_its_training():
    judge = training.check_zero_every_step
    revived = [*ONCE[:4], use(TRAINED | {"a_weight": [[6, 5, 1, 1]]}), left(TRAINED)]
    assert verdict(judge, recorded(TWICE, weights=state(**TRAINED))) == ""
    assert verdict(judge, recorded(TWICE, weights=state(**SECOND))) == ""
    assert verdict(judge, recorded(revived, weights=state(**TRAINED))).startswith(
        "2 pruned weights are not 0 at the next"
    )
    later = [*ONCE[:4], use(TRAINED | {"a_weight": [[6, 5, 1, 0]]})]
    assert verdict(judge, recorded(later, weights=state(**UNDER))) == "", "it is from before its training"
    nowhere = state(a_weight=[[1, 1, 0, 0]])
    assert verdict(judge, recorded(ONCE, weights=nowhere)) == ""
    alive = TRAINED | {"a_weight": [[6, 5, 7, 8]], "b_weight": [[7], [9]]}
    assert verdict(judge, recorded([*ONCE, use(alive)], weights=nowhere)).startswith("3 pruned weights")
    assert verdict(judge, recorded([*ONCE, use(DENSE)], weights=nowhere)) == "", "another network in this module"


def test_an_answer_from_before_the_phase_is_not_rewound():
    dense = [use(SECOND | {"b_weight": [[9], [1]]}), left(SECOND | {"b_weight": [[9], [1]]}), *ONCE[2:]]
    got = "weights in the answer that were left behind before the training under the mask began"
    assert verdict(training.check_rewinds, recorded(dense, weights=state(**SECOND))) == got
    assert verdict(training.check_rewinds, recorded(dense, weights=state(**TRAINED))) == ""
    assert verdict(training.check_rewinds, recorded(dense, weights=state(**UNDER))) == "", "judged elsewhere"


@pytest.mark.parametrize(
    ("events", "changed"),
    [
        ([use(DENSE), left(DENSE), use(DENSE)], False), ([use(DENSE), left(DENSE), use(TRAINED)], True),
        ([use(DENSE), left(DENSE), use({})], False), ([use(DENSE), left(SECOND), use(UNDER)], False),
        ([use(DENSE), left(DENSE), use(TRAINED, model=1)], False), ([use(TRAINED), use(SECOND), left(SECOND)], False),
        ([use(DENSE), left(DENSE), use(DENSE), use(TRAINED)], False), ([left(DENSE), use(TRAINED, learns=False)], True),
        ([left({}), use({"a_bias": [9]})], False), ([left(DENSE), use(DENSE | {"b_weight": [[-1], [2]]})], True),
    ],
)  # fmt: skip
def test_changes_by_hand_are_neither_masking_nor_rewinding(events, changed):
    assert changed_by_hand(recorded(events), len(events)) == changed
    assert not changed_by_hand(recorded(events), 1)


def test_where_states_are_missing_a_ranking_is_not_judged():
    smallest = {"a.weight": [[0, 0, 1, 1]], "b.weight": [[0], [1]]}
    moved = [use({}), left({}), use({"a_weight": [[4, 3, 1.5, 2]]}), left({}), use(UNDER)]
    assert verdict(training.check_keeps_largest, recorded(moved, smallest), scope="global").startswith(
        "not judged: weights"
    )
    still = [use({}), left({}), use({}), left({}), use(UNDER)]
    assert verdict(training.check_keeps_largest, recorded(still, smallest), scope="global").startswith(
        "in none of 6 states"
    )


def test_what_torch_func_transforms_is_not_kept(monkeypatch):
    monkeypatch.setattr(observe.torch._C._functorch, "maybe_current_level", lambda: 1)
    assert observe._transformed()
    monkeypatch.setattr(observe.torch._C._functorch, "maybe_current_level", lambda: None)
    assert not observe._transformed()
    monkeypatch.delattr(observe.torch._C._functorch, "maybe_current_level")
    assert not observe._transformed(), "an older torch"


def test_an_observer_that_cannot_look_stops_nobody(monkeypatch):
    def fails(self, model):
        raise RuntimeError("no rule for this kind of tensor")

    monkeypatch.setattr(observe.Observer, "snapshot", fails)
    report = check(OneShot, budget="quick")
    assert report.ok, str(report)
    notes = {row.id: (row.status, row.note) for row in report.invariants}
    why = "something that training uses could not be copied or compared, so nothing that was seen counts"
    assert notes["finder-rewinds"] == ("not-applicable", why)
    assert notes["finder-zero-in-result"][0] == notes["finder-deterministic"][0] == "passed"
