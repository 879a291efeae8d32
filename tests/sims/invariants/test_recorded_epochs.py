"""Which epoch training goes on from, and whether the validation loss is known: runs that were written down by hand."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from tests.sims.invariants.recorded import MASK, PRUNED, forward, learns, recorded, state, step, tensors, verdict
from tests.sims.invariants.test_recorded_stopping import ACCUSED, LAST, WORSE, epochs, look, stopping, weights
from unilth.sims.invariants import finder_stopping as stops
from unilth.sims.invariants.penalty_reading import Strength

OTHER = "training goes on from the weights of epoch {}, and the best validation loss was that after epoch {}"


def right(event, one, other):
    """An evaluation whose rows have these margins: positive ones are classified correctly."""
    event.logits = torch.tensor([[one, 0.0], [other, 0.0]])
    return event


def loss(*margins):
    return sum(math.log1p(math.exp(-margin)) for margin in margins) / len(margins)


def ended(*margins, then):
    """A run with these margins on the two validation rows after each epoch, going on from another epoch's weights."""
    events = epochs(*[0.5] * len(margins))
    for number, (one, other) in enumerate(margins):
        right(events[3 * number + 2], one, other)
    return stopping([*events, then if not isinstance(then, int) else forward(weights(then))])


BEST, WRONG, WORST = (1.0, 1.0), (2.0, -0.5), (2.0, -1.5)
"""Both rows are right; one of them; one of them with a larger loss."""


@pytest.mark.parametrize(
    ("margins", "then", "got"),
    [
        ((WRONG, BEST, WORST, WORST), 1, OTHER.format(1, 2)), ((WRONG, BEST, WORST, WORST), 2, ""),
        ((WRONG, BEST, WORST, WORST), 3, OTHER.format(3, 2)), ((WRONG, BEST, WORST, WORST), 4, ACCUSED),
        ((WRONG, BEST, WORST, WORST), 9, ""),  # of no epoch
        (((0.9, 0.9), BEST, WORST, WORST), 1, ""),  # as many are right: the accuracy may have chosen it
        (((0.3, 0.3), (2.0, -0.1), WORST, WORST), 1, ""),  # more are right
        (((2.0, -0.10), (2.0, -0.06), WORST, WORST), 1, ""),  # within a margin
        (((1.0, -0.01), (1.0, 0.01), WORST, WORST), 1, ""),  # and fewer are right
        (((-0.1, -0.1), (9.0, -0.03), WORST, WORST), 1, OTHER.format(1, 2)),
    ],
)  # fmt: skip
def test_training_goes_on_from_the_best_epoch(margins, then, got):
    assert ended(*margins, then=then) == got


def test_without_a_mask_that_tells_what_was_cut_off_may_be_rewound():
    margins = (WRONG, BEST, WORST, WORST)
    for left in ([3.0, 0.0, 3.0, 0.0], [3.0, 0.0, 3.0, 2.0]):
        assert ended(*margins, then=forward(state(a_weight=[left]))).startswith("not judged: what follows the stop")
    assert ended(*margins, then=forward(state(a_weight=[[0.0] * 4]))) == "", "nothing is left to tell by"


HIGH, LOW, EARLY, ALIKE = [9, 8, 2, 1], [1, 2, 8, 9], [5, 6, 7, 8], [6, 5, 1, 2]
TWICE = [tensors({"a.weight": [[1, 1, 0, 1]], "b.weight": [[1], [1]]}, torch.bool), tensors(MASK, torch.bool)]


@pytest.mark.parametrize(
    ("first", "best", "last", "then", "got"),
    [
        (EARLY, HIGH, LOW, [5, 6, 0, 0], ""),  # rewound to the first epoch
        (EARLY, LOW, HIGH, [5, 6, 0, 0], "the mask of the last weights"),
        (ALIKE, LOW, LOW[::-1], [6, 5, 0, 0], OTHER.format(1, 2)),  # that is where the mask was taken
        (ALIKE, HIGH, LOW, [6, 5, 0, 0], ""), (ALIKE, HIGH, LOW, [9, 8, 0, 0], ""),
        (EARLY, [9, 8, 1, 2], LOW, [5, 6, 0, 8], ""),  # the first of two rounds
        (EARLY, LOW, [9, 8, 1, 2], [5, 6, 0, 8], "the mask of the last weights"),
        (ALIKE, [8, 1, 9, 2], [8, 1, 9, 3], [7, 7, 0, 7], "not judged: the mask is neither"),
        (ALIKE, LOW, [8, 1, 9, 3], [6, 5, 0, 2], OTHER.format(1, 2)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("sign", [1, -1])
def test_the_mask_tells_a_rewound_epoch_from_one_that_was_restored(first, best, last, then, got, sign):
    states = [state(a_weight=[a]) for a in ([9, 9, 9, 9], first, best, [5, 5, 5, 4], last)]
    events = []
    for before, now, loss, margins in zip(
        states, states[1:], (1.0, 0.5, 0.6, 0.7), (WRONG, BEST, WORST, WORST), strict=False
    ):
        events += [learns(before), step(now, by=0), right(look(now, loss), *margins)]
    b = [[5], [0]] if then[3] == 0 else [[5], [2]]
    seen = recorded([*events, forward(state(a_weight=[then], b_weight=b)), step(state(**PRUNED), by=2)], masks=TWICE)
    seen.given = states[0]
    for values in {id(event.state): event.state for event in seen.events}.values():
        values["a.weight"] = sign * values["a.weight"]
    evaluated = [index for index, _, _ in stops.evaluations(seen)]
    seen.memory |= {(start, end): [Strength(0.0, 0.0)] for start in evaluated for end in evaluated}
    found = verdict(stops.check_stops, seen, stops_early=2, keeps="largest", scope="layer")
    assert found.startswith(got) and bool(found) == bool(got), found


def test_an_epoch_is_known_by_weights_below_zero():
    events = epochs(*[0.5] * 4)
    for number, (one, other) in enumerate((WRONG, BEST, WORST, WORST)):
        right(events[3 * number + 2], one, other)
    events = [copy.deepcopy(event) for event in (*events, forward(weights(3)))]
    for event in events:
        event.state["a.weight"] *= -1
    assert stopping(events) == OTHER.format(3, 2)
    events[-1].state["a.weight"][0, 0] = -9.0
    assert stopping(events) == ""


def test_rows_are_counted_right_over_the_batches_of_a_pass():
    def hits(*events, end=-1):
        return stops._hits(recorded(events), len(events) + end)

    def one(margin, number, **more):
        event = look(state(), 0.5, (number,), **more)
        event.logits = torch.tensor([[margin, 0.0]])
        return event

    stepped = epochs(0.5)[1]
    assert hits(one(1.0, 5.0), one(1.0, 6.0)) == 2 and hits(one(-1.0, 5.0), one(1.0, 6.0)) == 1
    assert hits(one(1.0, 5.0), stepped, one(1.0, 6.0)) == 1 and hits(one(1.0, 5.0), one(-1.0, 5.0), one(1.0, 6.0)) == 1
    assert hits(one(1.0, 5.0), one(1.0, 6.0), one(-1.0, 5.0), end=-2) == 2
    assert hits(one(1.0, 5.0), one(1.0, 6.0), look(state(), 0.5, (7.0,))) == 2
    assert hits(one(1.0, 5.0), one(1.0, 6.0, learns=True)) == 1
    silent, mute, deep, flat = one(1.0, 6.0), one(1.0, 6.0), one(1.0, 6.0), one(1.0, 6.0)
    silent.rows, mute.logits, deep.logits, flat.logits = None, None, torch.ones(1, 2, 1), torch.ones(1)
    for odd in (silent, mute, deep, flat):
        assert hits(one(1.0, 5.0), odd) == 1
    seen = recorded([one(1.0, 5.0), one(-1.0, 6.0)])
    seen.pristine.validation[1].fill_(1)
    assert stops._hits(seen, 1) == 1, "of the other class"


def test_a_loss_before_training_may_be_a_log():
    first = look(weights(0), 0.55)
    late = [first, *epochs(0.6, 0.58, 0.57), forward(weights(3))]
    assert stopping(late).endswith("never ran out on this problem"), "from the first epoch on it falls"
    assert stopping([look(weights(0), 0.5, (1.0,)), *late]).endswith("never ran out on this problem")
    assert stopping([first, *epochs(*WORSE), LAST]) == ACCUSED


MODE = "not judged: the network is looked at in training mode as well, which may be where its loss is taken"
ROWS = "not judged: other rows are evaluated as well, which may be part of the validation loss"
PENALTY = "not judged: training minimises an L2 term as well, which may be part of the validation loss"


@pytest.mark.parametrize("at", [2, 8, 12])
def test_the_validation_loss_is_known_by_what_was_looked_at(at):
    now = weights(at // 3 + 1)
    silent = look(now, 0.5)
    silent.rows = None
    for event, why in (
        (look(now, 0.5, training=True), MODE), (look(now, 0.5, (5.0, 7.0)), ROWS), (silent, ROWS),
        (look(now, 0.5, (1.0, 2.0)), ACCUSED), (look(now, 0.5, (7.0,), learns=at < 12), ACCUSED),
    ):  # fmt: skip
        events = epochs(*WORSE)
        events.insert(at, event)
        assert stopping([*events, LAST]) == (why if at < 12 else ACCUSED)


MORE = "not judged: the gradients hold more than those of the logits, which may be part of the validation loss"


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (Strength(0.0, 0.0), ACCUSED), (Strength(5e-5, 5e-5), ACCUSED), (Strength(2e-4, 2e-4), PENALTY),
        (Strength(-1.0, -1.0), ACCUSED), (None, MORE), (Strength(0.0, 0.0, 2e-4), PENALTY),
        (Strength(0.0, 0.0, 5e-5), ACCUSED), (Strength(0.0, 0.0, most=2e-4), PENALTY),
        (Strength(0.0, 0.0, most=5e-5), ACCUSED),
    ],
)  # fmt: skip
def test_what_else_training_minimises_may_be_in_the_validation_loss(step, why):
    pressed = [Strength(0.0, 0.0), step]
    assert stopping([*epochs(*WORSE), LAST], pressed=pressed, key=(1, 3)) == why


def mixed(**parts):
    """Going on with parts of the best epoch (2) and the last (4)."""
    events = epochs(*WORSE)
    for number in range(4):
        for event in events[3 * number + 1 : 3 * number + 3]:
            event.state["b.bias"] = torch.tensor([-number - 1.0, 1.0])
    return stopping([*events, forward(state(**parts))])


HALVES = "training goes on with {} of the best epoch, and with {} of the last"


@pytest.mark.parametrize(
    ("parts", "got"),
    [
        ({"a_weight": [[2.0] * 4], "b_bias": [-2.0, 1.0]}, ""),
        ({"a_weight": [[2.0] * 4], "b_bias": [-4.0, 1.0]}, HALVES.format("a.weight", "b.bias")),
        ({"a_weight": [[2.0, 0.0, 2.0, 0.0]], "b_bias": [-4.0, 1.0]}, HALVES.format("a.weight", "b.bias")),
        ({"a_weight": [[4.0] * 4], "b_bias": [-2.0, 1.0]}, ACCUSED),
        ({"a_weight": [[0.0] * 4], "b_bias": [-4.0, 1.0]}, ""), ({"a_weight": [[2.0] * 4], "b_bias": [9.0, 1.0]}, ""),
        ({"a_weight": [[2.0] * 4], "b_bias": [0.0, 1.0]}, ""),
        ({"a_weight": [[2.0] * 3 + [9.0]], "b_bias": [-4.0, 1.0]}, ""),
    ],
)  # fmt: skip
def test_all_parameters_are_restored(parts, got):
    assert mixed(**parts) == got
