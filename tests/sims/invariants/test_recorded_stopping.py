"""When early stopping is judged, on runs that were written down by hand: one evaluation an epoch, and a known loss."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from tests.sims.invariants.recorded import PRUNED, forward, learns, recorded, rows, state, step, verdict
from unilth.sims.invariants import finder_stopping as stops
from unilth.sims.invariants.observe import Event
from unilth.sims.invariants.penalty_reading import Strength


def look(values, loss, numbers=(5.0, 6.0), learns=False, training=False):
    """An evaluation with a cross-entropy of `loss` on each row: log(1 + exp(-margin)) for class 0."""
    margin = -math.log(math.expm1(loss))
    logits = torch.tensor([[margin, 0.0]]).repeat(len(numbers), 1)
    return Event("forward", values, training, rows(numbers), logits, learns)


def test_an_evaluation_is_a_whole_pass_over_the_validation_split():
    def found(*events):
        return [(index, round(loss, 5)) for index, loss, _ in stops.evaluations(recorded(events))]

    one = state()
    assert found(look(one, 0.5)) == [(0, 0.5)]
    assert found(look(one, 0.5, (6.0,)), look(one, 0.7, (5.0,))) == [(1, 0.6)]
    assert found(look(one, 0.5, (6.0,)), step(one), look(one, 0.7, (5.0,))) == []
    assert found(look(one, 0.5, (6.0,)), look(one, 0.5, (6.0,))) == []
    assert (
        found(look(one, 0.5, (1.0, 5.0, 6.0))) == [] and found(look(one, 0.5, (5.0, 1.0)), look(one, 1, (6.0,))) == []
    )
    assert found(look(one, 0.5, learns=True)) == [] and found(look(one, 0.5, training=True)) == []
    assert found(look(one, 0.5), look(one, 0.25), step(one), look(one, 2.0)) == [(0, 0.5), (1, 0.25), (3, 2.0)]
    silent = look(one, 0.5)
    silent.rows = None
    assert found(silent, look(one, 0.5)) == [(1, 0.5)]
    flat = look(one, 0.5)
    flat.logits = flat.logits[:, 0]
    assert found(flat) == []
    views = look(one, 0.5)
    for logits in (views.logits.repeat(2, 1), views.logits[:1]):
        views.logits = logits
        assert found(views) == []
    mute = look(one, 0.5)
    mute.logits = None
    assert found(mute) == []


def test_a_row_that_is_not_known_ends_no_evaluation():
    one, deep = state(), look(state(), 0.5)
    deep.logits = deep.logits[:, None, :]
    strange = look(one, 0.5, (1.0, 5.0))
    for odd in (strange, deep):
        found = stops.evaluations(recorded([look(one, 0.5, (6.0,)), odd, look(one, 0.5, (5.0,))]))
        assert [index for index, _, _ in found] == [2]


def epochs(*losses, weights=None):
    """Training passes, steps and evaluations; the weight of `a` is the epoch's number."""
    events = []
    for number, loss in enumerate(losses):
        now = state(a_weight=[[number + 1.0] * 4])
        events += [learns(state(a_weight=[[float(number)] * 4])), step(now, by=0), look(now, loss)]
    return events


def stopping(events, patience=2, pressed=(), key=None, **result):
    seen = recorded(events, **result)
    seen.given = state(a_weight=[[0.0] * 4])
    best = [i for i, _, _ in stops.evaluations(seen)]
    for first in best:
        for last in best:
            seen.memory[(first, last)] = [Strength(0.0, 0.0)]
    if key is not None:
        seen.memory[tuple(best[i] for i in key)] = list(pressed)
    return verdict(stops.check_stops, seen, stops_early=patience)


LAST, BEST = forward(state(a_weight=[[4.0] * 4])), forward(state(a_weight=[[2.0] * 4]))


def test_stopping_goes_on_from_the_best_weights():
    worse = epochs(1.0, 0.5, 0.6, 0.7)  # best after epoch 2
    text = "training goes on from the last weights, {} evaluations after the best validation loss"
    assert stopping([*worse, BEST]) == "" and stopping(worse).startswith(
        "not judged: what follows the stop was rewound"
    )
    assert stopping([*worse, LAST]) == text.format(2)
    assert stopping([*worse, LAST, BEST]) == text.format(2) and stopping([*worse, BEST, LAST]) == ""
    assert stopping([*worse, look(state(), 0.1), LAST]) == text.format(2)
    assert stopping([*worse, LAST], 3) == "not judged: the patience never ran out on this problem"
    assert stopping([*epochs(1.0, 0.5, 0.6, 0.4), LAST]) == "not judged: the patience never ran out on this problem"
    assert stopping([*epochs(1.0, 0.5, 0.5, 0.5), LAST]) == text.format(2)  # equal is no progress
    masked = forward(state(a_weight=[[0.0, 0.0, 0.0, 4.0]]))
    assert stopping([*worse, masked]) == text.format(2), "pruned weights tell nothing, the others do"
    nothing = forward(state(a_weight=[[0.0] * 4]))
    assert stopping([*worse, nothing]) == "" and stopping([*worse, forward(state(a_weight=[[9.0] * 4]))]) == ""
    assert stopping([*worse, forward(state(a_weight=[[4.0, 4.0, 4.0, 2.0]]))]) == ""
    assert stopping([*epochs(1.0), LAST]) == "not judged: the patience never ran out on this problem"
    third = forward(state(a_weight=[[3.0] * 4]))
    assert stopping([*epochs(0.5, 0.6, 0.7), third]) == text.format(2), "the first was the best"
    assert stopping(epochs(0.5, 0.6, 0.7, 0.8, 0.9)) == text.format(2), "it waits longer than it says"
    looks = [look(state(a_weight=[[number] * 4]), loss) for number, loss in ((1.0, 0.5), (2.0, 0.6), (3.0, 0.7))]
    assert stopping([*looks, third, step(state())]).endswith("never ran out on this problem"), "without steps before"
    below = [copy.deepcopy(event) for event in (*worse, LAST, BEST)]
    for event in below:
        event.state["a.weight"] *= -1
    assert stopping(below[:-1]) == text.format(2) and stopping([*below[:-2], below[-1]]) == "", "weights below 0"
    assert stopping([step(state())]).startswith("no pass over the validation split")
    assert stopping([look(state(), 1.0)]).startswith("not judged: no optimizer step")


@pytest.mark.parametrize(
    ("left", "got"),
    [
        ([2, 2, 0, 0], ""), ([4, 4, 0, 0], "training goes on from the last weights"), ([2, 2, 2, 2], ""),
        ([1, 1, 0, 0], "not judged: what follows the stop was rewound"), ([9, 9, 9, 9], ""),
    ],
)  # fmt: skip
def test_where_nothing_follows_the_stop_the_answer_tells(left, got):
    answer = state(a_weight=[left])
    answer["a.weight"] = answer["a.weight"].double()
    found = stopping(epochs(1.0, 0.5, 0.6, 0.7), weights=answer)
    assert found.startswith(got) and bool(found) == bool(got), found


@pytest.mark.parametrize(
    ("now", "same"),
    [
        ([1, 2, 0, 4], True), ([1, 2, 3, 4], True), ([1, 0, 3, 4], False), ([1, 2, 0, 9], False), ([0, 0, 0, 0], False),
        ([1, 2, -5, 4], False), ([1, 2, 5, 4], False), ([1, 2, 3, 0], False),
    ],
)  # fmt: skip
def test_what_is_masked_after_every_step_is_the_same_training(now, same):
    """Of what the step left, [1, 2, 3, 4], only the third was 0 before it."""
    found = stops._same_but_masked(state(a_weight=[now]), state(a_weight=[[1, 2, 3, 4]]), USED, ["a.weight"])
    assert found == same


USED = state(a_weight=[[9, 9, 0, -9]])
LAYER = {"stops_early": 2, "keeps": "largest", "scope": "layer"}


@pytest.mark.parametrize(
    ("best", "last", "claims", "got"),
    [
        ([9, 8, 2, 1], [1, 2, 8, 9], LAYER, ""), ([1, 2, 8, 9], [9, 8, 2, 1], LAYER, "the mask of the last weights"),
        ([9, 8, 2, 1], [8, 9, 1, 2], LAYER, ""), ([1, 2, 8, 9], [1, 5, 8, 9], LAYER, "not judged: the mask is"),
        ([1, 2, 8, 9], [9, 8, 2, 1], {"stops_early": 2}, "not judged: what follows the stop was rewound"),
        ([4, 3, 8, 9], [9, 8, 2, 1], LAYER, ""),  # not rewound
        ([9, 8, 2, 1], [4, 3, 8, 9], LAYER, "not judged: the mask is that of the best weights"),  # or to the last ones
        ([1, 2, 8, 9], [4, 3, 8, 9], LAYER, "training goes on from the last weights"),
        ([9, 8, 2, 1], [4, 3, 2, 1], LAYER, "training goes on from the last weights"),  # that is their mask
        ([9, 8, 2, 1], [4, 3, 8, 9], {"stops_early": 2}, "training goes on from the last weights"),
    ],
)  # fmt: skip
def test_a_mask_tells_which_weights_a_rewound_ticket_stopped_with(best, last, claims, got):
    states = [state(a_weight=[weights]) for weights in ([9, 9, 9, 9], [6, 6, 6, 6], best, [5, 5, 5, 5], last)]
    events = []
    for before, now, loss in zip(states, states[1:], (1.0, 0.5, 0.6, 0.7), strict=False):
        events += [learns(before), step(now, by=0), look(now, loss)]
    seen = recorded([*events, forward(state(**PRUNED)), step(state(**PRUNED), by=2)])
    seen.given = states[0]
    evaluated = [index for index, _, _ in stops.evaluations(seen)]
    seen.memory |= {(first, end): [Strength(0.0, 0.0)] for first in evaluated for end in evaluated}
    found = verdict(stops.check_stops, seen, **claims)
    assert found.startswith(got) and bool(found) == bool(got)
    seen.events.insert(len(events), forward(state(a_weight=[[7, 7, 7, 7]])))
    seen.memory = {key: value for key, value in seen.memory.items() if isinstance(key, tuple)}
    assert verdict(stops.check_stops, seen, **claims) == "", "something else follows first"


@pytest.mark.parametrize(
    ("second", "begins", "got"),
    [
        (BEST, 0.0, "not judged: something was trained before the training that stops, and did not stop"),
        (LAST, 0.0, "training goes on from the last weights, 2 evaluations"),  # neither did
        (BEST, 9.0, "training goes on from the last weights, 2 evaluations"),  # it is no other training
    ],
)
def test_a_baseline_that_does_not_stop_may_come_first(second, begins, got, monkeypatch):
    monkeypatch.setattr(stops, "strengths", lambda seen, case, first, last: [Strength(0.0, 0.0)])
    baseline = [*epochs(1.0, 0.5, 0.6, 0.7), LAST, step(state(a_weight=[[8.0] * 4]), by=0)]
    again = epochs(0.9, 0.4, 0.5, 0.6)
    again[0] = learns(state(a_weight=[[begins] * 4]))
    assert stopping([*baseline, *again, second]).startswith(got)
    looked = forward(weights(0), learns=False)
    assert stopping([*baseline, looked]).startswith("training goes on"), "nothing was trained after that"
    only = epochs(1.0, 0.5, 0.6, 0.7)
    assert stopping([forward(weights(0)), *only, LAST]).startswith("training goes on"), "it began once"


def test_a_probe_that_is_taken_back_is_not_judged():
    worse = epochs(1.0, 0.5, 0.6, 0.7)
    from_last, probed = "training goes on from the last weights", "not judged: after the stop something was trained"
    moved, masked = forward(state(a_weight=[[3.0] * 4])), forward(state(a_weight=[[2.0, 0.0, 0.0, 2.0]]))
    own, other = step(state(a_weight=[[5.0] * 4]), by=0), step(state(a_weight=[[5.0] * 4]), by=1)
    ticket = forward(state(a_weight=[[4.0, 4.0, 0.0, 0.0]], b_weight=[[5], [0]]))
    restored = forward(state(a_weight=[[2.0, 2.0, 0.0, 0.0]], b_weight=[[5], [0]]))
    answer = step(state(**PRUNED), by=2)  # by default
    for events, got in (
        ([LAST, other, BEST], probed), ([LAST, other, LAST, other, BEST], probed), ([LAST, other, masked], probed),
        ([LAST, own, BEST], probed), ([LAST, BEST], from_last), ([LAST, other], from_last),
        ([LAST, other, moved], from_last), ([LAST, BEST, other], from_last),
        ([LAST, other, look(state(a_weight=[[5.0] * 4]), 0.1), BEST], from_last),
        ([LAST, look(state(a_weight=[[4.0] * 4]), 0.7), other, BEST], probed),
        ([BEST, other, BEST], ""), ([moved, other, BEST], ""),
        ([LAST, other, BEST, other, look(state(a_weight=[[5.0] * 4]), 0.1)], probed),
        ([LAST, other, restored, answer], probed),
        ([ticket, answer, BEST], from_last),  # it was answered: what comes then is a comparison
        ([LAST, other, BEST, other, ticket, answer], probed), ([LAST, other, ticket, answer, BEST], from_last),
    ):  # fmt: skip
        found = stopping([*worse, *events])
        assert found.startswith(got) and bool(found) == bool(got)


def test_a_phase_that_is_not_plain_training_is_not_judged_for_stopping():
    worse, over = epochs(1.0, 0.5, 0.6, 0.7), "not judged: the first training ended before its patience ran out"
    second = copy.deepcopy(worse)
    second[-2].by = 1
    assert stopping([*second, LAST]) == over
    later = [*worse, step(state(), by=1), LAST]
    assert stopping(later) != over
    moved = copy.deepcopy(worse)
    moved[6].state["a.weight"][0, 0] += 1  # other weights than the last step left
    assert stopping([*moved, LAST]) == over
    unlearned = copy.deepcopy(worse)
    unlearned.insert(6, forward(state(a_weight=[[7.0] * 4]), learns=False))
    assert stopping([*unlearned, LAST]) not in ("", over)
    for goes, stays, ended in ((2e-4, 0.0, True), (2e-4, 1.5e-4, False), (-2e-4, 0.0, False)):
        assert (
            stopping([*worse, LAST], pressed=[Strength(0.0, 0.0), Strength(goes, stays)], key=(1, 3)) == over
        ) == ended
    odd = [Strength(0.0, 0.0), Strength(0.0, 0.0, odd="no L2")]
    assert stopping([*worse, LAST], pressed=odd, key=(1, 3)) == over
    assert stopping([*worse, LAST], pressed=[Strength(1.0, 0.0)], key=(0, 3)) != over, (
        "what came before the best is the past"
    )


ACCUSED = "training goes on from the last weights, 2 evaluations after the best validation loss"
WORSE = (1.0, 0.5, 0.6, 0.7)


def weights(number):
    return state(a_weight=[[float(number)] * 4])


def test_passes_without_a_step_between_them_are_one_evaluation():
    logged = [one for event in epochs(*WORSE) for one in ([event, event] if not event.training else [event])]
    assert stopping([*logged, LAST]) == ACCUSED
    assert stopping([*logged, LAST], 3).endswith("never ran out on this problem")
    assert stopping([*logged[:-4], LAST]).endswith("never ran out on this problem"), "one epoch after the best"


@pytest.mark.parametrize(("after", "judged"), [(1, False), (2, False), (3, False), (4, True)])
def test_two_states_between_two_steps_leave_open_which_one_steers(after, judged):
    events = epochs(*WORSE)
    events.insert(3 * after, look(weights(9), 0.1))
    found = stopping([*events, LAST])
    open_ = "not judged: several states of the network are evaluated between two optimizer steps"
    assert found == (ACCUSED if judged else open_)


def test_a_second_state_after_the_stop_leaves_open_what_one_before_it_left_open():
    events = epochs(*WORSE)
    events.insert(3, look(weights(9), 0.1))
    assert stopping([*events, look(weights(8), 0.1), LAST]).startswith("not judged: several states")


def test_passes_in_evaluation_mode_over_other_rows_than_those_held_out():
    end = "in evaluation mode"
    trained = [step(state()), look(state(), 0.5, (1.0, 2.0))]
    assert stopping(trained) == f"passes over training rows only {end}"
    nothing = f"no pass over the validation split {end}"
    assert stopping([step(state()), look(state(), 0.5, (1.0,), learns=True)]) == nothing
    assert stopping([step(state()), look(state(), 0.5, (7.0,), training=True)]) == nothing
    unknown = "not judged: no evaluation was recognised as one of the validation split given"
    assert stopping([*trained, look(state(), 0.5, (1.0, 7.0))]) == unknown
    assert stopping([*trained, look(state(), 0.5, (5.0,))]) == unknown, "a part of it"
    silent = look(state(), 0.5)
    silent.rows = None
    assert stopping([step(state()), silent]) == unknown, "no tensor came first"


def test_the_mean_of_batches_may_steer_as_well():
    """One row of two has a loss of 0 in a pass of two batches; a third batch counts it twice."""

    def passes(*losses):
        events = epochs(*WORSE)
        for number, (first, both) in enumerate(losses):
            now = events[3 * number + 1].state
            events[3 * number + 2] = [look(now, first, (5.0,)), look(now, both, (5.0, 6.0))]
        return [one for event in events for one in (event if isinstance(event, list) else [event])]

    rising = passes((0.9, 0.9), (0.5, 0.5), (0.5, 0.6), (0.5, 0.7))
    assert stopping([*rising, LAST]) == ACCUSED, "both means rise"
    mixed = passes((0.9, 0.9), (0.5, 0.5), (0.3, 0.6), (0.2, 0.7))
    assert [loss for _, loss, _ in stops.evaluations(recorded(mixed))][1:] == pytest.approx([0.5, 0.6, 0.7])
    by_batch = stops.evaluations(recorded(mixed), by_batch=True)
    assert [loss for _, loss, _ in by_batch][1:] == pytest.approx([0.5, 0.45, 0.45])
    assert stopping([*mixed, LAST]).endswith("never ran out on this problem")
    single = recorded([look(state(), 0.5, (5.0,)), step(state()), look(state(), 0.7)])
    assert stops.evaluations(single, by_batch=True)[0][1] == pytest.approx(0.7), "what a step broke off is no part"


UNKNOWN = "not judged: training minimises another loss than cross-entropy, so the validation loss is not known"
UNSEEN = "not judged: no gradient through the logits of training rows was seen, to know the loss by"


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({}, ""), ({"pull": (-5.0, 5.0)}, ""), ({"pull": (0.5, -0.5)}, UNKNOWN), ({"pull": (-0.5, 0.4)}, UNKNOWN),
        ({"pull": (-0.5, 0.502)}, UNKNOWN), ({"pull": (-0.5, 0.5001)}, ""), ({"logits": (0.0, 1.0)}, ""),
        ({"pull": (-0.5, 0.0)}, UNKNOWN), ({"numbers": (1.0, 1.0, 2.0, 7.0)}, ""),
        ({"pull": (0.0, 0.0)}, UNKNOWN), ({"logits": (40.0, 0.0), "pull": (0.0, 0.0)}, ""),
        ({"pull": (-0.5, 0.5008)}, ""), ({"pull": (-0.5, 0.5013)}, UNKNOWN),  # a thousandth
        ({"logits": (11.0, 0.0), "pull": (-1.27e-5, 1.67e-5)}, ""),  # rounding of what is nearly learned by heart
    ],
)  # fmt: skip
def test_the_loss_is_known_by_its_gradient(how, why):
    events = epochs(*WORSE)
    events[3] = learns(events[3].state, **how)
    assert stopping([*events, LAST]) == (why or ACCUSED)


@pytest.mark.parametrize("lost", ["rows", "logits", "pull"])
def test_without_a_gradient_the_loss_is_not_known(lost):
    events = epochs(*WORSE)
    for event in events:
        if event.learns:
            setattr(event, lost, None)
    assert stopping([*events, LAST]) == UNSEEN
    strange = [learns(event.state, (7.0,)) if event.learns else event for event in epochs(*WORSE)]
    assert stopping([*strange, LAST]) not in (UNSEEN, ACCUSED)  # the loss is known, how many rows an epoch has is not
    for shape in ((3,), (3, 2, 1), (2, 2), (4, 2)):
        odd = epochs(*WORSE)
        for event in odd:
            if event.learns:
                event.logits = torch.zeros(shape)
        assert stopping([*odd, LAST]) == UNSEEN


@pytest.mark.parametrize("odd", [{"logits": (40.0, 0.0), "pull": (0.0, 0.0)}, None])
def test_a_batch_that_tells_nothing_leaves_the_others(odd):
    """One that is learned by heart, or with other answers than rows."""
    events = epochs(*WORSE)
    events[0] = learns(events[0].state, **(odd or {}))
    if odd is None:
        events[0].logits = torch.zeros(6, 2)
    assert stopping([*events, LAST]) == ACCUSED


PARTS = "not judged: there is more than one evaluation in an epoch of training rows"


@pytest.mark.parametrize(
    ("passes", "judged"),
    [
        ([(1.0, 2.0, 3.0)], True), ([(1.0, 2.0)], True), ([(1.0,)], False), ([(2.0, 2.0, 2.0)], False),
        ([(1.0,), (2.0,)], True), ([(1.0,), (1.0,)], False), ([(1.0, 7.0)], True), ([(1.0,), (7.0,)], False),
        ([(1.0,), None, (7.0,)], True), ([(7.0,), (7.0,), (1.0,)], True),
    ],
)  # fmt: skip
def test_patience_counts_epochs_of_training_rows(passes, judged):
    """Of three rows; 7 is none of them, and more passes for one step (None) may be over the same rows."""
    events = epochs(*WORSE)
    now = events[6].state
    events[6:7] = [step(now, by=0) if one is None else learns(now, one) for one in passes]
    assert stopping([*events, LAST]) == (ACCUSED if judged else PARTS)


def test_the_epochs_until_the_stop_count_and_no_later_ones():
    last = epochs(*WORSE)
    last[9] = learns(last[9].state, (1.0,))
    assert stopping([*last, LAST]) == PARTS
    goes_on = [learns(weights(4), (1.0,)), step(weights(5), by=0), look(weights(5), 0.8), forward(weights(5))]
    assert stopping([*epochs(*WORSE), *goes_on]) == ACCUSED


def test_what_was_trained_before_the_first_evaluation_is_no_epoch():
    events = epochs(*WORSE)
    events[0] = learns(events[0].state, (1.0,))
    assert stopping([*events, LAST]) == ACCUSED
    silent = epochs(*WORSE)
    silent[6] = forward(silent[6].state, learns=False, rows=rows((1.0, 2.0, 3.0)))
    assert stopping([*silent, LAST]) == PARTS
