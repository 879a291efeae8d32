"""Broken mask rules and schedules that once passed, each as somebody might write it."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch

from unilth.sims.invariants import check, mask_rule, penalty_schedule, ticket_finder
from unilth.sims.invariants.cases import pruned_count
from unilth.sims.invariants.ours import global_magnitude, global_random
from unilth.sims.invariants.ranking import ranked, shuffled
from unilth.sims.invariants.twins_finder import ONE_SHOT, OneShot


def found(target, only=None):
    return [row.id for row in check(target, budget="quick", only=only).violations]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("seeds", [torch.manual_seed, np.random.seed, random.seed])
def test_seeding_a_global_generator_is_noticed_whatever_the_seed(seeds, seed):
    @mask_rule(scope="global", keeps="largest")
    def rule(scores, sparsity, *, within=None, generator=None):
        seeds(seed)
        return global_magnitude(scores, sparsity, within=within, generator=generator)

    @penalty_schedule(ceiling=1.0, steps=100)
    def ramp(step):
        seeds(seed)
        return min(1.0, step / 100)

    for target, id in ((rule, "mask-leaves-global-state"), (ramp, "schedule-leaves-global-state")):
        assert found(target, only=id) == [id]


def test_ranking_in_single_precision_is_noticed_whichever_goes_first_of_a_tie():
    for sign in (1, -1):

        @mask_rule(scope="global", keeps="largest")
        def rounded(scores, sparsity, *, within=None, generator=None, sign=sign):
            def turned(parts):  # so that the other one goes of a tie
                return {name: part.flip(0) if sign < 0 else part for name, part in parts.items()}

            less = turned({name: score.float() for name, score in scores.items()})
            earlier = None if within is None else turned(within)
            return turned(global_magnitude(less, sparsity, within=earlier, generator=generator))

        assert found(rounded, only="mask-dtype") == ["mask-dtype"]


@pytest.mark.parametrize("position", [0, 3, -1])
def test_one_position_that_is_always_kept_is_no_chance(position):
    @mask_rule(scope="global", keeps="random")
    def spares_one(scores, sparsity, *, within=None, generator=None):
        masks = global_random(scores, sparsity, within=within, generator=generator)
        for name, mask in masks.items():
            kept = mask.view(-1)
            if kept.numel() > 4 and kept.any() and (within is None or within[name].view(-1)[position]):
                kept[int(kept.nonzero()[0])] = False
                kept[position] = True
        return masks

    assert found(spares_one, only="mask-random-is-random") == ["mask-random-is-random"]
    assert found(global_random, only="mask-random-is-random") == []


@pytest.mark.parametrize("bits", [15, 16])
def test_a_short_counter_wraps_around(bits):
    @penalty_schedule(ceiling=1.0, steps=1000)
    def wraps(step):
        return min(1.0, (step % 2**bits) / 1000)

    assert found(wraps, only="schedule-stays") == ["schedule-stays"]


@pytest.mark.parametrize(("surplus", "fair"), [(27, True), (28, False), (-27, True), (-28, False)])
def test_a_position_is_judged_at_seven_standard_deviations(surplus, fair):
    """60 draws of 20 of 40: 30 times each, and 7 sqrt(60 / 4) = 27.1 more or less may be chance."""

    @mask_rule(scope="global", keeps="random")
    def rule(scores, sparsity, *, within=None, generator=None):
        seed = generator.initial_seed()
        masks = {"a": (torch.arange(40) + seed) % 2 == 0}  # each position has every other turn
        if seed // 2 < abs(surplus) and bool(masks["a"][5]) == (surplus < 0):
            masks["a"][[4, 5]] = masks["a"][[5, 4]]
        return masks

    scores = [float(place) for place in range(40)]
    report = check(rule, only="mask-random-is-random", case={"scores": {"a": scores}, "sparsity": 0.5, "draws": 60})
    assert report.ok == fair
    if not fair:
        assert "position 4 of" in report.violations[0].got or "position 5 of" in report.violations[0].got


def answers_badly(where, how):
    """A correct rule but for scores of +inf, or for an earlier mask that prunes more than is asked."""

    @mask_rule(scope="global", keeps="largest")
    def rule(scores, sparsity, *, within=None, generator=None):
        gone = sum(int((~mask).sum()) for mask in (within or {}).values())
        emptier = within is not None and gone > sparsity * sum(score.numel() for score in scores.values())
        infinite = any(bool(score.isinf().any()) for score in scores.values())
        if emptier:  # nothing is left to prune
            masks = {name: mask.clone() for name, mask in within.items()}
        else:
            masks = global_magnitude(scores, sparsity, within=within)
        odd = infinite if where == "infinity" else emptier
        return how(masks) if odd else masks

    return rule


def leaves(masks):
    raise SystemExit(0)


def stumbles(masks):
    raise IndexError("list index out of range")


def refuses(masks):
    raise ValueError("not these")


@pytest.mark.parametrize("where", ["infinity", "emptier"])
@pytest.mark.parametrize(
    ("how", "got"),
    [
        (leaves, "raised SystemExit: 0"),
        (stumbles, "raised IndexError: list index out of range"),
        (lambda masks: None, "an answer of type NoneType"),
        (lambda masks: {}, "masks named []"),
        (lambda masks: {name: mask.reshape(-1, 1) for name, mask in masks.items()}, "has shape"),
        (lambda masks: {name: mask.float() for name, mask in masks.items()}, "has dtype torch.float32"),
        (refuses, None),
        (dict, None),
    ],
)
def test_input_that_may_be_refused_is_refused_or_answered_well(where, how, got):
    id = "mask-infinite-scores" if where == "infinity" else "mask-within"
    rows = check(answers_badly(where, how), budget="quick", only=id).violations
    assert [row.id for row in rows] == ([] if got is None else [id]) and all(got in row.got for row in rows)


@mask_rule(scope="global", keeps="largest")
def names_by_their_first_word(scores, sparsity, *, within=None, generator=None):
    masks = global_magnitude(scores, sparsity, within=within)
    modules = {name.split(".")[0]: mask for name, mask in masks.items()}
    return {name: modules[name.split(".")[0]] for name in scores}


@mask_rule(scope="global", keeps="largest")
def shares_of_the_sum(scores, sparsity, *, within=None, generator=None):
    total = sum(score.abs().sum() for score in scores.values())
    shares = {name: score / total if 0 < total < float("inf") else score for name, score in scores.items()}
    return global_magnitude(shares, sparsity, within=within)


@mask_rule(scope="global", keeps="largest")
def above_the_smallest(scores, sparsity, *, within=None, generator=None):
    least = min(float(score.min()) for score in scores.values())
    above = {name: score - least if least > -float("inf") else score for name, score in scores.items()}
    return global_magnitude(above, sparsity, within=within)


@mask_rule(scope="global", keeps="random")
def a_layer_and_then_a_weight(scores, sparsity, *, within=None, generator=None):
    """Each layer loses as many as the others, though one is larger."""
    goal = {name: mask.clone() for name, mask in (within or {}).items()}
    masks = {name: goal.get(name, torch.ones(score.shape, dtype=torch.bool)) for name, score in scores.items()}
    drawn = global_random(scores, sparsity, within=within, generator=generator)
    pruned = sum(int((~mask).sum()) for mask in drawn.values())
    for _ in range(pruned - sum(int((~mask).sum()) for mask in masks.values())):
        alive = [mask.view(-1) for mask in masks.values() if mask.any()]
        layer = alive[int(torch.randint(len(alive), (), generator=generator))]
        kept = layer.nonzero()
        layer[kept[int(torch.randint(len(kept), (), generator=generator))]] = False
    return masks


@pytest.mark.parametrize(
    ("rule", "id"),
    [
        (names_by_their_first_word, "mask-shapes"),
        (shares_of_the_sum, "mask-order"),
        (above_the_smallest, "mask-signed-scores"),
        (a_layer_and_then_a_weight, "mask-random-is-random"),
    ],
)
def test_rules_that_hold_in_one_small_layer_only(rule, id):
    assert found(rule, only=id) == [id]


def test_a_weight_that_comes_back_is_named_with_the_two_sparsities_between_which_it_does():
    @mask_rule(scope="global", keeps="other", nested=True)
    def flickers(scores, sparsity, *, within=None, generator=None):
        place = {0.25: 0, 0.5: 0, 0.75: 3}[sparsity]
        return {"a": torch.arange(4) != place}

    case = {"scores": {"a": [1, 2, 3, 4]}, "sparsities": [0.25, 0.5, 0.75]}
    (row,) = check(flickers, only="mask-nested", case=case).violations
    assert row.got == "1 weights of 'a' pruned at 0.5 and kept at 0.75"


@mask_rule(scope="other", keeps="random")
def spares_the_ends(scores, sparsity, *, within=None, generator=None):
    names = list(scores)
    inner = {name: scores[name] for name in names[1:-1]}
    drawn = shuffled(inner, sparsity, within and {name: within[name] for name in inner}, generator) if inner else {}
    ends = {name: torch.ones_like(scores[name], dtype=torch.bool) for name in {names[0], names[-1]}}
    earlier = within or {}
    ranked({"a": torch.ones(1)}, sparsity)  # refuses what is no sparsity
    answer = {name: drawn[name] if name in drawn else ends[name] & earlier.get(name, ends[name]) for name in names}
    return {name: mask.clone() for name, mask in answer.items()}


@mask_rule(scope="other", keeps="largest")
def knows_its_own_budgets(scores, sparsity, *, within=None, generator=None):
    """Half of the sparsity in the last layer: an earlier mask may be too much for it and look as if it were not."""
    ranked({"a": torch.ones(1)}, sparsity)  # refuses what is no sparsity
    last = list(scores)[-1]
    masks = {}
    for name, score in scores.items():
        share = sparsity / 2 if name == last else sparsity
        earlier = None if within is None else {name: within[name]}
        masks |= ranked({name: score}, share, earlier)
        if earlier and int((~earlier[name]).sum()) > share * score.numel():
            raise ValueError(f"the earlier mask prunes more of {name} than is asked")
    return masks


@pytest.mark.parametrize("rule", [spares_the_ends, knows_its_own_budgets], ids=lambda rule: rule.__name__)
def test_a_rule_with_budgets_of_its_own_is_not_accused(rule):
    report = check(rule, budget="quick")
    assert report.ok, str(report)


def test_a_rule_that_spares_a_layer_must_draw_in_the_others():
    @mask_rule(scope="other", keeps="random")
    def by_position(scores, sparsity, *, within=None, generator=None):
        return ranked(
            {name: torch.arange(score.numel()).reshape(score.shape) for name, score in scores.items()}, sparsity, within
        )

    assert found(by_position, only="mask-seeds-differ") == ["mask-seeds-differ"]


COUNTS = {
    "in floats": lambda s, n: int(s * n),  # 1011 of 1760 at 0.575
    "a percent too many at 0.86 to 0.98": lambda s, n: pruned_count(s + 0.01 * (0.85 < s < 0.985), n),
    "a percent too many at 0.04 to 0.3, from standard on": lambda s, n: pruned_count(s + 0.01 * (0.04 < s < 0.3), n),
}


@pytest.mark.parametrize("count", COUNTS)
def test_a_finder_counts_right_at_every_sparsity(count):
    @ONE_SHOT
    class Counts(OneShot):
        def choose(self, sparsity):
            scores = {name: weight.detach().abs() for name, weight in self.prunable().items()}
            return ranked(scores, sparsity, self.mask, count=COUNTS[count])

    budget = "standard" if "standard" in count else "quick"
    report = check(Counts, budget=budget, only="finder-exact-sparsity")
    assert [row.id for row in report.violations] == ["finder-exact-sparsity"]


BY_LAYER = {
    "what is kept, rounded up in floats": lambda s, n: n - math.ceil((1 - s) * n),  # 65 of 1280 are kept at 0.95
    "what is kept, in single precision": lambda s, n: n - math.ceil((np.float32(1) - np.float32(s)) * np.float32(n)),
}


@pytest.mark.parametrize("count", BY_LAYER)
def test_a_finder_counts_right_in_every_layer(count):
    @ticket_finder(keeps="largest", scope="layer")
    class Counts(OneShot):
        def choose(self, sparsity):
            masks = {}
            for name, weight in self.prunable().items():
                masks |= ranked({name: weight.detach().abs()}, sparsity, count=BY_LAYER[count])
            return masks

    (row,) = check(Counts, budget="quick", only="finder-exact-sparsity").violations
    assert "of 1280 pruned" in row.got and row.case["sparsity"] == 0.95


@pytest.mark.parametrize("seed", range(3))
def test_an_earlier_mask_that_took_more_of_one_layer_is_no_reason_to_refuse_whatever_the_seed(seed):
    @mask_rule(scope="global", keeps="largest")
    def refuses_its_own(scores, sparsity, *, within=None, generator=None):
        for name, kept in (within or {}).items():
            if int((~kept).sum()) > pruned_count(sparsity, kept.numel()):
                raise ValueError(f"{name} has lost more than its share")
        return global_magnitude(scores, sparsity, within=within, generator=generator)

    (row,) = check(refuses_its_own, budget="quick", seed=seed, only="mask-two-steps").invariants
    assert row.status == "violated" and "has lost more than its share" in row.got
