"""Layer budgets: every weight is dealt out, no layer gets more than it has, densities follow the published rule."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unilth.sims.layer_budgets import BUDGETS, balanced, erk
from unilth.sims.masks import full, keep_largest, keep_random, layer_sparsity, pruned_count, pruned_of, shuffled

SHAPES = {"conv1": (16, 3, 3, 3), "conv2": (32, 16, 3, 3), "conv3": (64, 32, 3, 3), "fc": (10, 64)}
SIZES = {name: math.prod(shape) for name, shape in SHAPES.items()}
shapes = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3),
    st.lists(st.integers(1, 9), min_size=2, max_size=4).map(tuple),
    max_size=6,
)


@given(shapes, st.sampled_from(sorted(BUDGETS)), st.floats(0, 1))
def test_budgets_add_up_and_fit(given_shapes, name, share):
    sizes = {layer: math.prod(shape) for layer, shape in given_shapes.items()}
    kept = int(share * sum(sizes.values()))
    dealt = BUDGETS[name](given_shapes, kept)
    assert sum(dealt.values()) == kept and dealt.keys() == sizes.keys()
    assert all(0 <= dealt[layer] <= sizes[layer] for layer in sizes)


def test_erk_densities_follow_the_published_rule_and_give_back_what_a_full_layer_cannot_take():
    total = sum(SIZES.values())
    dealt = erk(SHAPES, total // 10)
    raw = {name: sum(shape) / math.prod(shape) for name, shape in SHAPES.items()}
    scale = dealt["conv3"] / SIZES["conv3"] / raw["conv3"]
    assert all(abs(dealt[n] - min(scale * raw[n], 1) * SIZES[n]) <= 1.5 for n in SHAPES if dealt[n] < SIZES[n])
    half = erk(SHAPES, total // 2)
    assert half["conv1"] == SIZES["conv1"] and half["fc"] == SIZES["fc"] and sum(half.values()) == total // 2


def test_balanced_keeps_the_same_number_everywhere_it_can():
    dealt = balanced(SHAPES, 3000)
    assert dealt["conv1"] == 432 and dealt["fc"] == 640
    assert abs(dealt["conv2"] - dealt["conv3"]) <= 1 and sum(dealt.values()) == 3000


@pytest.mark.parametrize("scope", sorted(BUDGETS))
def test_masks_of_a_budget_are_exact_and_nested(scope):
    draw = torch.Generator().manual_seed(0)
    scores = {name: torch.rand(shape, generator=draw) for name, shape in SHAPES.items()}
    total, mask = sum(SIZES.values()), full(scores)
    for sparsity in (0.29, 0.5, 0.51, 0.512, 0.9, 0.97, 0.999):
        inside = keep_largest(scores, sparsity, scope=scope, within=mask)
        assert pruned_of(inside) == pruned_count(total, sparsity)
        assert all(bool((mask[name] | ~inside[name]).all()) for name in SHAPES)
        fresh = keep_largest(scores, sparsity, scope=scope)
        for name in SHAPES:  # each layer keeps its largest
            kept = fresh[name]
            assert kept.all() or not kept.any() or scores[name][kept].min() >= scores[name][~kept].max()
        mask = inside
    other = keep_random(scores, 0.9, scope=scope, generator=draw)
    assert layer_sparsity(other) == layer_sparsity(keep_largest(scores, 0.9, scope=scope))


def test_a_global_mask_is_nested_in_a_budget_by_pruning_elsewhere():
    scores = {"a": torch.arange(100.0).reshape(10, 10), "b": 100 + torch.arange(100.0).reshape(10, 10)}
    first = keep_largest(scores, 0.45)  # all of it in a, which balanced would have kept half of
    second = keep_largest(scores, 0.5, scope="balanced", within=first)
    assert pruned_of(second) == 100 and int((~second["a"]).sum()) == 90
    third = keep_largest({"a": -scores["a"], "b": scores["b"]}, 0.6, scope="balanced", within=second)
    assert pruned_of(third) == 120


def test_a_shuffled_mask_has_the_counts_and_other_places():
    scores = {name: torch.arange(float(size)).reshape(SHAPES[name]) for name, size in SIZES.items()}
    mask = keep_largest(scores, 0.8, scope="layer")
    before = {name: kept.clone() for name, kept in mask.items()}
    first, again = (shuffled(mask, torch.Generator().manual_seed(3)) for _ in range(2))
    assert layer_sparsity(first) == layer_sparsity(mask)
    assert all(torch.equal(first[name], again[name]) and torch.equal(mask[name], before[name]) for name in mask)
    assert all(0.5 < (first[name] == mask[name]).double().mean() < 0.9 for name in mask)  # 0.68 by chance
