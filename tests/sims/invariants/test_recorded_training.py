"""The judges of training on runs that were written down by hand: each verdict on both sides of its line."""

from __future__ import annotations

import pytest
import torch

from tests.sims.invariants.recorded import (
    CASE,
    FINAL,
    MASK,
    PRUNED,
    Tiny,
    forward,
    recorded,
    rows,
    state,
    step,
    tensors,
    verdict,
)
from unilth.sims.invariants import finder_abilities as abilities
from unilth.sims.invariants import finder_chance as chance
from unilth.sims.invariants import finder_penalty as penalty
from unilth.sims.invariants import finder_training as training
from unilth.sims.invariants import finder_validation as validation
from unilth.sims.invariants.declarations import TicketFinder
from unilth.sims.invariants.invariant import Plan, Subject, Violation
from unilth.sims.invariants.observe import Event
from unilth.sims.invariants.penalty_reading import Strength

ALIVE = {"a_weight": [[4, 3, 7, 8]], "b_weight": [[5], [9]]}


@pytest.mark.parametrize(
    ("after", "got"),
    [
        ([step(state(**PRUNED)), forward(state(**PRUNED))], ""),
        ([step(state(**ALIVE)), forward(state(**PRUNED))], ""),  # masked right after the step
        ([step(state(**ALIVE))], ""),  # nothing used them: the answer is judged elsewhere
        ([step(state()), forward(state(**PRUNED)), forward(state(**ALIVE))], ""),  # a line search
        ([forward(state(**ALIVE)), step(state()), forward(state(**PRUNED))], ""),
        ([step(state()), forward(state(**ALIVE))], "3 pruned weights are not 0 at the next use after optimizer step 1"),
        ([step(state()), forward(state(**PRUNED))] * 2 + [step(state()), forward(state(**ALIVE))], "3 pruned|step 3"),
        ([step(state()), forward(state(b_weight=[[5], [9]], a_weight=[[4, 3, 0, 0]]), learns=False)], "1 pruned"),
    ],
)
def test_pruned_weights_are_judged_at_the_first_use_after_each_step(after, got):
    found = verdict(training.check_zero_every_step, recorded([*FINAL, *after]))
    assert all(part in found for part in got.split("|")) and bool(found) == bool(got)


@pytest.mark.parametrize(
    ("events", "mask", "why"),
    [
        ([forward(state(**PRUNED))], None, "no optimizer step on the network was seen"),
        (FINAL[:2], None, "nothing was trained after the mask was applied"),
        ([*FINAL[:2], forward(state(**PRUNED), learns=False)], None, "nothing was trained after"),
        ([*FINAL[:2], step(state(**PRUNED))], None, "nothing was trained after"),
        (FINAL, {"a.weight": [[1] * 4], "b.weight": [[1], [1]]}, "nothing was pruned"),
    ],
)  # fmt: skip
def test_without_training_under_the_mask_nothing_is_judged(events, mask, why):
    seen = recorded(events, mask)
    for judge in (training.check_zero_every_step, training.check_rewinds, abilities.check_optimizer_state):
        assert verdict(judge, seen).startswith(f"not judged: {why}")


def last_pass(used, seen_weights=None, training=False, **more):
    """A run whose last training pass had these weights, and gave the logits of those (the same, unless they differ)."""
    network, inputs = Tiny(), torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    network.load_state_dict(used if seen_weights is None else seen_weights)
    logits = network(inputs).detach()
    event = Event("forward", used, training, inputs, logits, learns=True)
    for name, value in more.items():
        setattr(event, name, value)
    return recorded([forward(state()), step(state()), event, forward(state(), learns=False)])


def test_dense_final_training_is_proven_by_the_logits(monkeypatch):
    monkeypatch.setattr(training.problems, "network", lambda case: Tiny())
    dense, sparse = state(), state(**PRUNED)
    got = "no training under the final mask: 3 pruned weights took part in the last training pass"
    assert verdict(training.check_rewinds, last_pass(dense)) == got
    assert verdict(training.check_rewinds, last_pass(dense, training=True)) == got
    partly = last_pass(state(b_weight=[[5], [0]]))
    assert verdict(training.check_rewinds, partly) == got.replace("3 pruned", "2 pruned")
    silent = "not judged: nothing was trained after the mask was applied"
    assert verdict(training.check_rewinds, last_pass(dense, sparse)) == silent, "masked inside the forward pass"
    assert verdict(training.check_rewinds, last_pass(dense, state(a_bias=[3]))) == silent
    assert verdict(training.check_rewinds, last_pass(dense, rows=None)) == silent
    assert verdict(training.check_rewinds, last_pass(dense, logits=None)) == silent
    idle = state(a_weight=[[4, 3, 0.5, 0]], b_weight=[[5], [0]], a_bias=[-15])  # what is pruned changes no logit
    assert verdict(training.check_rewinds, last_pass(idle)) == silent
    assert verdict(training.check_rewinds, recorded([step(state())])) == silent


@pytest.mark.parametrize(
    ("start", "got"),
    [
        (PRUNED, ""),
        (PRUNED | {"a_weight": [[4, 9, 0, 0]]}, "1 of 2 kept weights of 'a.weight' differ from .initial"),
        (PRUNED | {"b_weight": [[-5], [0]]}, "1 of 1 kept weights of 'b.weight' differ"),
        (PRUNED | {"a_bias": [9]}, ""),
    ],
)
def test_rewinding_is_judged_by_the_kept_weights(start, got):
    seen = recorded([forward(state()), step(state(a_weight=[[9, 9, 9, 9]])), forward(state(**start)), step(state())])
    found = verdict(training.check_rewinds, seen)
    assert found.startswith(got) and bool(found) == bool(got)
    assert verdict(training.check_rewinds_rest, seen) == ("a.bias differ from .initial" if "a_bias" in start else "")


@pytest.mark.parametrize(
    ("steps", "got"),
    [
        ([()], ""),
        ([(), ("momentum_buffer",)], ""),
        ([("exp_avg", "step")], "an optimizer that brings exp_avg, step from earlier training"),
        ([], "not judged: no optimizer step was seen after the mask was applied"),
    ],
)
def test_the_first_step_under_the_mask_may_carry_nothing(steps, got):
    before = [forward(state()), step(state(), carried=("momentum_buffer",)), forward(state(**PRUNED))]
    seen = recorded([*before, *(step(state(**PRUNED), carried=carried) for carried in steps)])
    assert verdict(training.check_rewinds_optimizer, seen) == got


LARGEST = {"a_weight": [[9, 8, 2, 2]], "b_weight": [[9], [1]]}
CROSSED = {"a_weight": [[3, 3, 2, 2]], "b_weight": [[9], [4]]}  # the largest of each layer, not of all
OTHER = {"a_weight": [[1, 8, 2, 2]], "b_weight": [[9], [1]]}


@pytest.mark.parametrize("scope", ["global", "layer", "other"])
@pytest.mark.parametrize("trained", [True, False])
def test_the_kept_weights_were_once_the_largest(scope, trained):
    start, end = state(**OTHER), [forward(state(**PRUNED)), step(state(**LARGEST))] if trained else []

    def found(*states, scope=scope):
        seen = recorded([forward(start), *(step(one) for one in states), *end])
        seen.given = start
        return verdict(training.check_keeps_largest, seen, scope=scope)

    assert found(state(**LARGEST)) == "" and found(state(**LARGEST), start) == ""
    assert found(start, start) == "in none of 4 states before the mask were the kept weights the largest"
    assert found(state(**CROSSED)) == ("" if scope != "global" else found(start))
    assert found(state(a_weight=[[-9, 8, 2, -2]], b_weight=[[2], [1]])) == ""
    assert found(state(a_weight=[[9, 2, 2, 1]], b_weight=[[2], [2]])) == ""  # ties may go either way


def test_the_initial_values_under_an_earlier_mask_are_initial_values():
    """Their largest are no mask of training; only where something was trained, and is rewound, do they not count."""
    start = state(a_weight=[[9, 8, 0, 2]], b_weight=[[9], [1]])
    trained = [forward(state(**OTHER)), step(state(**OTHER)), forward(start)]
    for first, claims, got in (
        (trained, {"rewinds": True}, "in none of"), (trained, {}, ""),
        ([forward(start)], {"rewinds": True}, ""), ([*trained, step(state(**LARGEST))], {"rewinds": True}, ""),
    ):  # fmt: skip
        begun = [forward(state(a_weight=[[9, 8, 0, 0]], b_weight=[[9], [0]])), step(state(**PRUNED))]
        seen = recorded([*first, *begun], initial=state(a_weight=[[9, 8, 3, 2]], b_weight=[[9], [1]]))
        seen.given = seen.result.initial
        found = verdict(training.check_keeps_largest, seen, scope="global", **claims)
        assert found.startswith(got) and bool(found) == bool(got), found


def test_without_a_step_the_largest_are_looked_for_in_vain():
    seen = recorded([forward(state())])
    assert verdict(training.check_keeps_largest, seen).startswith("not judged: no optimizer step")
    full = recorded(FINAL[:2], mask={"a.weight": [[1, 1, 1, 1]], "b.weight": [[0], [0]]})
    assert verdict(training.check_keeps_largest, full, scope="layer") == ""  # full and empty layers leave no choice
    assert verdict(training.check_keeps_largest, full, scope="global") != ""


def test_under_rewinding_the_initial_values_count_where_nothing_was_trained_before():
    given, moved = state(), state(a_weight=[[1, 2, 9, 8]], b_weight=[[5], [9]])
    under = forward(state(**PRUNED))
    shot = recorded([forward(given), under, step(state(**PRUNED))])
    looked = recorded([forward(given, learns=False), under, step(state(**PRUNED))])
    searched = recorded([forward(given), step(moved), forward(moved), step(moved), under])
    found = recorded([forward(given), step(state(a_weight=[[9, 8, 1, 2]])), under])
    for seen, rewinds, got in (
        (shot, True, ""), (shot, False, ""), (looked, True, ""), (found, True, ""),
        (searched, False, ""), (searched, True, "in none of 3"),
    ):  # fmt: skip
        assert verdict(training.check_keeps_largest, seen, rewinds=rewinds, scope="layer").startswith(got)
        assert bool(verdict(training.check_keeps_largest, seen, rewinds=rewinds, scope="layer")) == bool(got)


MOVED = state(a_weight=[[1, 2, 9, 8]], b_weight=[[5], [9]])


@pytest.mark.parametrize(
    ("model", "claims", "got"),
    [
        (1, {"rewinds": True}, "not judged: the mask is that of the initial values"),
        (0, {"rewinds": True}, "in none of 4 states"),  # taken after rewinding
        (1, {"rewinds": True, "initial": MOVED}, "in none of 0 states"),
    ],
)
def test_a_mask_of_the_initial_values_may_be_older_than_what_others_trained(model, claims, got):
    claims = dict(claims)
    before = [forward(MOVED), forward(MOVED, model=model), step(MOVED, model=model)]
    seen = recorded([*before, forward(state(**PRUNED)), step(state(**PRUNED))], initial=claims.pop("initial", state()))
    seen.given = MOVED
    assert verdict(training.check_keeps_largest, seen, scope="layer", **claims).startswith(got)


@pytest.mark.parametrize(
    ("before", "begins", "got"),
    [
        ([], PRUNED, "not judged: weights are changed outside the optimizer"),  # nobody saw where these came from
        ([], {"a_weight": [[1, 2, 0, 0]], "b_weight": [[5], [0]]}, "in none of 2 states"),  # from the given ones
        ([forward(MOVED), step(MOVED)], PRUNED, "in none of 3 states"),
    ],
)
def test_weights_that_are_seen_nowhere_before_the_mask_tell_nothing_of_it(before, begins, got):
    seen = recorded([*before, forward(state(**begins)), step(state(**PRUNED))], initial=MOVED)
    seen.given = MOVED
    assert verdict(training.check_keeps_largest, seen, scope="layer").startswith(got)


def test_an_initial_state_that_was_never_seen_whole_has_its_largest_weights():
    for start, got in ((state(), ""), (MOVED, "in none of 2 states")):
        cut = {name: start[name] * kept for name, kept in tensors(MASK).items()}
        seen = recorded([forward(start | cut), step(state(**PRUNED))], initial=start)
        seen.given = MOVED
        assert verdict(training.check_keeps_largest, seen, scope="layer").startswith(got)


@pytest.mark.parametrize(("rewinds", "trained"), [(True, True), (False, True), (True, False)])
def test_the_state_of_training_is_asked_for_where_the_initial_one_does_not_count(rewinds, trained):
    moved = state(a_weight=[[1, 2, 9, 8]], b_weight=[[5], [9]])
    cut = state(a_weight=[[1, 2, 0, 0]], b_weight=[[5], [0]])
    seen = recorded([forward(moved, learns=False), *[step(moved)] * trained, forward(cut), step(moved)])
    seen.given = seen.result.initial = moved
    subject = Subject(lambda: None, TicketFinder(rewinds=rewinds, scope="layer"), Plan("quick"))
    subject.memory[f"{sorted(CASE.items())}/1/0"] = seen
    with pytest.raises(Violation) as found:
        training.check_keeps_largest(subject, CASE)
    wanted = "the largest magnitudes of some state of the network"
    assert found.value.expected == wanted + (" in training" if rewinds and trained else "")


@pytest.mark.parametrize(
    ("judge", "key"), [(chance.check_deterministic, "repeat"), (chance.check_ignores_global, "world")]
)
def test_two_runs_are_compared_bit_by_bit(judge, key):
    assert verdict(judge, recorded(), recorded(), key) == ""
    moved = recorded(mask=MASK | {"a.weight": [[0, 1, 1, 0]]})
    assert verdict(judge, recorded(), moved, key).endswith("2 of 4 mask entries of 'a.weight' differ")
    other = recorded(weights=state(**PRUNED, b_bias=[1, 3]))
    assert verdict(judge, recorded(), other, key).endswith("weights of 'b.bias' differ")


def test_another_seed_draws_another_mask():
    same, moved = recorded(), recorded(mask=MASK | {"b.weight": [[0], [1]]})
    assert verdict(chance.check_seeds_differ, recorded(), same, "seed") == "two seeds give the same random mask"
    assert verdict(chance.check_seeds_differ, recorded(), moved, "seed") == ""


@pytest.mark.parametrize(("overlap", "got"), [(75, "+25"), (74, ""), (26, ""), (25, "-25")])
@pytest.mark.parametrize("where", ["given", "trained", "later", "not learned"])
def test_a_random_mask_may_be_unlikely_to_seven_deviations(overlap, got, where):
    """Of 200 weights 100 are kept, 50 +- 3.54 of the 100 largest by chance: 24.8 is the most."""
    kept = torch.zeros(200, dtype=torch.bool)
    kept[:overlap], kept[100 : 200 - overlap] = True, True
    telling = {"a.weight": torch.arange(200.0, 0, -1)}
    neutral = {"a.weight": telling["a.weight"].view(2, 100).t().reshape(-1)}
    first, unlearned, second, third = (
        telling if where == name else neutral for name in ("given", "not learned", "trained", "later")
    )
    seen = recorded([forward(unlearned, learns=False), forward(second), step(third), forward(third)])
    seen.result.mask, seen.given = {"a.weight": kept}, first
    found = verdict(chance.check_random, seen)
    beyond = f"the initially largest weights of their layers are kept {got} times beyond expectation"
    assert found == (beyond if got and where in ("given", "trained") else "")


def drawn_inside(drawn):
    """Of 2,000 weights 1,200 are left when training begins; of these some are kept, by their magnitude then."""
    left = torch.arange(2000) % 5 < 3
    start = {"a.weight": torch.arange(2000.0, 0, -1) * left * torch.tensor([1, -1]).repeat(1000)}
    seen = recorded([forward(start), step(start)])
    seen.given = {"a.weight": torch.arange(2000.0)[torch.arange(2000) * 7 % 2000]}
    seen.result.mask = {"a.weight": torch.zeros(2000, dtype=torch.bool).masked_scatter(left, drawn)}
    return seen


def test_what_an_earlier_mask_took_is_not_drawn_again():
    assert verdict(chance.check_random, drawn_inside(torch.arange(1200) % 2 == 0)) == ""
    subject = Subject(lambda: None, TicketFinder(), Plan("quick"))
    subject.memory[f"{sorted(CASE.items())}/1/0"] = drawn_inside(torch.arange(1200) < 600)
    with pytest.raises(Violation) as found:
        chance.check_random(subject, CASE)
    assert found.value.got == "the initially largest weights of their layers are kept +300 times beyond expectation"
    assert found.value.expected == "at most 61 either way, were it chance"  # 7 times 8.66


def test_chance_adds_up_over_layers_and_full_layers_have_none():
    seen = recorded([forward(state()), step(state())])
    seen.result.mask = {"a.weight": torch.ones(1, 4, dtype=torch.bool), "b.weight": torch.zeros(2, 1, dtype=torch.bool)}
    assert verdict(chance.check_random, seen) == "not judged: nothing was drawn: layers are full or empty"
    half = torch.arange(60) < 30
    for layers, wrong in ((1, True), (2, False)):  # 15 too many: 7 deviations of one layer are 13.7, of two 19.3
        drawn = half[torch.randperm(60, generator=torch.Generator().manual_seed(1))]
        seen.result.mask = {str(n): half if n == 0 else drawn for n in range(layers)}
        seen.given = {str(n): torch.arange(60.0, 0, -1) for n in range(layers)}
        surplus = sum(int((kept & half).sum()) - 15 for kept in seen.result.mask.values())
        seen.events = [forward({name: value.flip(0).roll(15) for name, value in seen.given.items()}), step(state())]
        assert bool(verdict(chance.check_random, seen)) == wrong and 13.7 < surplus < 19.3


def test_a_state_that_was_pruned_before_it_was_trained_shows_nothing_about_chance():
    seen = recorded([forward(state()), step(state())])
    kept = torch.arange(100) < 50
    seen.result.mask, seen.given = {"a.weight": kept}, {"a.weight": kept * torch.arange(200.0, 100.0, -1)}
    seen.events = [forward({"a.weight": torch.arange(100.0).view(50, 2).t().reshape(-1)}), step(state())]
    assert verdict(chance.check_random, seen) == ""


NOBODY = "not judged: no training row was recognised as one of those given"


@pytest.mark.parametrize(
    ("numbers", "learns", "got"),
    [
        ([1.0, 2.0], True, ""), ([5.0, 1.0], True, "a gradient from 1 validation rows"), ([5.0, 6.0], False, NOBODY),
        ([6.0, 5.0], True, "a gradient from 2 validation rows"), (None, True, NOBODY),
        ([7.0, 7.0], True, NOBODY),
        ([7.0, 2.0], True, "not judged: 1 rows were trained on that are none of those given: augmented, or others"),
        ([7.0, 6.0, 2.0], True, "a gradient from 1 validation rows"),
    ],
)  # fmt: skip
def test_validation_rows_give_no_gradient(numbers, learns, got):
    given = None if numbers is None else rows(numbers) * 3 - 1  # standardised
    events = [forward(state(), learns, rows=given), step(state())]
    assert verdict(validation.check_no_validation, recorded(events)) == got


@pytest.mark.parametrize(
    ("pairs", "got"),
    [
        ([(0.5, 0.1), (0.9, 0.1)], ""), ([(0.5, 0.1), (0.5, 0.1004)], ""), ([(0.01, 0.1), (0.01, 0.10005)], ""),
        ([(0.5, 0.1), (0.5, 0.1007)], "a penalty on kept weights that varies from 0.1 to 0.1007"),
        ([(0.01, 0.1), (0.01, 0.10014)], "a penalty on kept weights that varies from 0.1 to 0.1001"),
        ([(0.7, 0.3), (0.8, 0.2)], "a penalty on kept weights that varies from 0.2 to 0.3"),
        ([(-0.6, 0.1), (0.1, 0.1005)], ""),
        ([], "not judged: no optimizer step before the mask had one forward pass and a gradient of loss and L2 alone"),
    ],
)  # fmt: skip
def test_kept_weights_feel_a_constant(pairs, got):
    seen = recorded()
    seen.memory[(0, None)] = [Strength(*pair) for pair in pairs]
    assert verdict(penalty.check_outside, seen) == got


def ramp(step):
    return 0.1 * step


@pytest.mark.parametrize(
    ("strengths", "got"),
    [
        ([0, 0, 0.1, 0.2, 0.3], ""), ([0.1, 0.2], ""), ([0, 0.1002, 0.2004], ""), ([1e-4, 0.1], ""),
        ([0, 0.2, 0.3], "a penalty of 0.2 at step 1 of the ramp"),
        ([0, 0.1, 0.2, 0.2], "a penalty of 0.2 at step 3 of the ramp"),
        ([0, 0.1, 0.2006], "a penalty of 0.2006 at step 2"), ([0, 0.1, 0.1994], "a penalty of 0.1994 at step 2"),
        ([0, 0.1004], "a penalty of 0.1004 at step 1"), ([0, 0.1, 0.2, 0], "a penalty of 0 at step 3"),
        ([0, 0, 0], "no penalty on the weights that go at any step"), ([2e-4, 0.1], "a penalty of 0.0002 at step 1"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("decay", [0.0, 0.25])
def test_the_strength_follows_the_schedule(strengths, got, decay):
    seen = recorded()
    seen.memory[(0, None)] = [Strength(strength + decay, decay) for strength in strengths]
    found = verdict(penalty.check_schedule, seen, penalty=ramp)
    assert found.startswith(got) and bool(found) == bool(got)
    seen.memory[(0, None)] = [Strength(10.0 * strength, 0.0) for strength in strengths]
    assert verdict(penalty.check_schedule, seen, penalty=lambda step: 0.0).startswith("not judged: the declared")
