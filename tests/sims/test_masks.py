"""Masks against a slow reference, with the mistakes of public implementations as twins that the reference catches."""

from __future__ import annotations

import random
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from unilth.errors import UserError
from unilth.sims import masks

RULES = (masks.global_magnitude, masks.layer_magnitude, masks.global_random, masks.layer_random)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def reference(scores, sparsity, within=None):
    """A stable sort over everything: the smallest go, among equals the earlier position."""
    names = sorted(scores)
    flat = np.concatenate([scores[name].double().reshape(-1).numpy() for name in names])
    kept = np.ones(flat.size, bool) if within is None else np.concatenate([within[n].reshape(-1) for n in names])
    candidates = np.flatnonzero(kept)
    going = masks.pruned_count(flat.size, sparsity) - (flat.size - candidates.size)
    kept[candidates[np.argsort(flat[candidates], kind="stable")[:going]]] = False
    parts = np.split(kept, np.cumsum([scores[name].numel() for name in names])[:-1])
    return {name: torch.from_numpy(part).reshape(scores[name].shape) for name, part in zip(names, parts, strict=True)}


def same(first, second) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# --- counts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "sparsity", "count"),
    [
        (100, 0.29, 29), (100, "0.29", 29), (100, Fraction(29, 100), 29), (100, Decimal("0.29"), 29),
        (100, np.float64(0.29), 29), (100, np.float32(0.29), 29), (100, 0.07, 7), (100, 0.55, 55), (10, 0.2, 2),
        (10, 0.99, 9), (3, 0.5, 1), (7, 0, 0), (0, 0.9, 0), (10**15, 0.1, 10**14), (1000, 1e-3, 1),
    ],
)  # fmt: skip
def test_count_is_exact(n, sparsity, count):
    assert masks.pruned_count(n, sparsity) == count


def test_the_usual_formulas_get_a_count_wrong():
    assert int(0.29 * 100) != 29 and -(-100 * 0.07 // 1) != 7 and round(0.5) != 1  # floor, ceiling, banker's rounding


@pytest.mark.parametrize("sparsity", [1, 1.0, 1.2, -0.1, float("nan"), float("inf"), "x", "1/0", None, True, [0.5]])
def test_impossible_sparsities_are_refused(sparsity):
    with pytest.raises(UserError, match="sparsity"):
        masks.pruned_count(10, sparsity)
    for rule in RULES:
        with pytest.raises(ValueError, match="sparsity"):
            rule({"a": torch.ones(4)}, sparsity, generator=seeded())


# --- what is prunable -----------------------------------------------------------------------------------------------


def test_only_weights_of_linear_and_convolution_are_prunable_and_tied_ones_once():
    network = nn.ModuleDict(
        {
            "one": nn.Conv1d(2, 3, 3), "two": nn.Conv2d(2, 3, 3), "three": nn.Conv3d(2, 3, 3),
            "back": nn.ConvTranspose2d(2, 3, 3), "norm": nn.BatchNorm2d(3), "layer": nn.LayerNorm(5),
            "embedding": nn.Embedding(7, 5), "head": nn.Linear(5, 7), "again": nn.Linear(5, 7),
            "free": nn.Embedding(3, 2),
        }
    )  # fmt: skip
    network["head"].weight = network["embedding"].weight
    network["again"].weight = network["embedding"].weight
    assert set(masks.prunable(network)) == {
        "one.weight",
        "two.weight",
        "three.weight",
        "back.weight",
        "embedding.weight",
    }


# --- the largest ----------------------------------------------------------------------------------------------------


def cases():
    for seed in range(60):
        draw = random.Random(seed)
        dtype = draw.choice([torch.float32, torch.float64, torch.float16, torch.bfloat16])
        scores = {}
        for name in draw.sample(["w", "a", "b.weight", "layer10", "layer2"], draw.randint(1, 4)):
            shape = [draw.randint(1, 6) for _ in range(draw.randint(1, 4))]
            values = torch.randn(shape, generator=seeded(seed + len(scores)))
            scores[name] = (values.round() if draw.random() < 0.5 else values).to(dtype)
        yield scores, draw.choice([0, 0.1, 0.29, 0.5, 0.8, 0.9, 0.99])


def test_largest_agrees_with_a_stable_sort():
    for scores, sparsity in cases():
        half = masks.global_magnitude(scores, 0.05)
        assert same(masks.global_magnitude(scores, sparsity), reference(scores, sparsity))
        if sparsity:
            assert same(masks.global_magnitude(scores, sparsity, within=half), reference(scores, sparsity, half))
        by_layer = masks.layer_magnitude(scores, sparsity)
        for name in scores:
            assert same({name: by_layer[name]}, reference({name: scores[name]}, sparsity))


def strictly_above(scores, sparsity):
    """open_lth and others: keep what is above the k-th smallest value."""
    flat = torch.cat([scores[name].double().reshape(-1) for name in sorted(scores)])
    k = masks.pruned_count(flat.numel(), sparsity)
    threshold = flat.sort().values[max(k - 1, 0)]
    return {name: value.double() > threshold for name, value in scores.items()}


def later_first(scores, sparsity):
    """Right count, but among equal scores the later position goes."""
    turned = {str(9 - i): scores[name].flip(0) for i, name in enumerate(sorted(scores))}
    mask = reference(turned, sparsity)
    return {name: mask[str(9 - i)].flip(0) for i, name in enumerate(sorted(scores))}


@pytest.mark.parametrize("broken", [strictly_above, later_first])
def test_the_reference_catches_broken_rules(broken):
    assert any(not same(broken(scores, sparsity), reference(scores, sparsity)) for scores, sparsity in cases())


def test_ties_go_by_position_not_by_dict_order():
    scores = {"b": torch.ones(4), "a": torch.ones(4)}
    expected = {"a": torch.tensor([False, False, False, True]), "b": torch.ones(4, dtype=torch.bool)}
    assert same(masks.global_magnitude(scores, 0.375), expected)
    assert same(masks.global_magnitude(dict(reversed(scores.items())), 0.375), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_large_tensors_take_the_bracket_and_stay_exact(dtype):
    scores = {
        "a": torch.randn(300, 400, generator=seeded()).to(dtype),
        "b": torch.randn(200_000, generator=seeded(1)).to(dtype),
    }
    within = None
    for sparsity in (0, 0.001, 0.5, 0.9, 0.999):
        mask = masks.global_magnitude(scores, sparsity, within=within)
        assert same(mask, reference(scores, sparsity, within))
        within = mask


def test_a_bracket_that_misses_costs_time_and_nothing_else():
    values = torch.randn(1 << 20, generator=seeded())
    values[:: (1 << 20) // masks.SMALL] = 100 + torch.arange(masks.SMALL)  # all that the sample sees lies elsewhere
    for sparsity in (0.001, 0.5, 0.95):
        assert same(masks.global_magnitude({"a": values}, sparsity), reference({"a": values}, sparsity))


def test_mixed_precision_is_compared_exactly():
    scores = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([1.0 + 1e-12, 3.0], dtype=torch.float64)}
    assert same(masks.global_magnitude(scores, 0.25), reference(scores, 0.25))
    assert same(masks.global_magnitude(scores, 0.5), reference(scores, 0.5))


def test_infinite_scores_are_ordered_and_nan_is_refused():
    mask = masks.global_magnitude({"a": torch.tensor([float("inf"), 0.0, -float("inf")])}, "0.4")
    assert mask["a"].tolist() == [True, True, False]
    for rule in RULES:
        with pytest.raises(UserError, match="NaN"):
            rule({"a": torch.tensor([1.0, float("nan")])}, 0.5, generator=seeded())
        with pytest.raises(UserError, match="floating-point"):
            rule({"a": torch.tensor([1, 2])}, 0.5, generator=seeded())


def test_memory_layout_does_not_matter():
    scores = torch.randn(8, 4, 3, 3, generator=seeded()).round()
    strided = scores.to(memory_format=torch.channels_last)
    assert same(masks.global_magnitude({"a": scores}, 0.6), masks.global_magnitude({"a": strided}, 0.6))


def test_pruning_twice_is_pruning_once():
    scores = {"a": torch.rand(50, generator=seeded()), "b": torch.rand(7, 9, generator=seeded(1))}
    for rule in (masks.global_magnitude, masks.layer_magnitude):
        assert same(rule(scores, 0.9, within=rule(scores, 0.5)), rule(scores, 0.9))


@pytest.mark.parametrize("rule", RULES)
def test_rules_nest_and_leave_their_inputs_alone(rule):
    scores = {"b": torch.randn(40, 5, generator=seeded()), "a": torch.randn(30, generator=seeded(1))}
    within = rule(scores, 0.5, generator=seeded(2))
    copies = {n: v.clone() for n, v in scores.items()}, {n: v.clone() for n, v in within.items()}
    mask = rule(scores, 0.8, within=within, generator=seeded(3))
    assert list(mask) == list(scores) and all(kept.dtype == torch.bool for kept in mask.values())
    assert masks.pruned_of(mask) == 184 and same(masks.union(mask, within), within)
    assert same(scores, copies[0]) and same(within, copies[1])
    again = rule(scores, 0.5, within=within, generator=seeded(3))
    assert same(again, within) and all(again[n].data_ptr() != within[n].data_ptr() for n in within)
    with pytest.raises(UserError, match="nested"):
        rule(scores, 0.2, within=within, generator=seeded())


def test_within_must_belong_to_the_scores():
    scores = {"a": torch.ones(3)}
    for within in (
        {"b": torch.ones(3, dtype=torch.bool)},
        {"a": torch.ones(3)},
        {"a": torch.ones(4, dtype=torch.bool)},
    ):
        with pytest.raises(UserError, match="within"):
            masks.global_magnitude(scores, 0.5, within=within)
    with pytest.raises(UserError, match="scope"):
        masks.keep_largest(scores, 0.5, scope="row")


# --- random ---------------------------------------------------------------------------------------------------------


def test_random_masks_come_from_the_generator_alone():
    scores = {"b": torch.ones(30), "a": torch.ones(5, 6)}
    before = torch.get_rng_state()
    first = masks.global_random(scores, 0.5, generator=seeded(7))
    assert torch.equal(torch.get_rng_state(), before)
    assert same(first, masks.global_random({"a": scores["a"] * 3, "b": scores["b"]}, 0.5, generator=seeded(7)))
    assert not same(first, masks.global_random(scores, 0.5, generator=seeded(8)))
    with pytest.raises(UserError, match="generator"):
        masks.global_random(scores, 0.5)


def test_random_masks_are_uniform():
    generator, kept, draws = seeded(), torch.zeros(20), 2000
    for _ in range(draws):
        kept += masks.global_random({"a": torch.ones(20)}, 0.7, generator=generator)["a"]
    deviation = (0.3 * 0.7 * draws) ** 0.5
    assert float((kept - 0.3 * draws).abs().max()) < 4.5 * deviation
    assert float((kept - 0.35 * draws).abs().max()) > 4.5 * deviation  # the bound rejects a rate that is off by 0.05


# --- operations -----------------------------------------------------------------------------------------------------


def test_apply_gives_positive_zeros_even_for_nan():
    weights = {"a": torch.tensor([-1.0, float("nan"), 2.0]), "bias": torch.ones(1)}
    applied = masks.apply({"a": torch.tensor([False, False, True])}, weights)
    assert applied["a"].tolist() == [0.0, 0.0, 2.0] and not torch.signbit(applied["a"]).any()
    assert applied["bias"].data_ptr() != weights["bias"].data_ptr() and torch.isnan(weights["a"][1])


def test_union_and_intersection_are_a_lattice():
    shape = {"a": torch.ones(5, 7), "b": torch.ones(11)}
    one, two, three = (masks.global_random(shape, 0.5, generator=seeded(seed)) for seed in range(3))
    join, meet = masks.union, masks.intersection
    assert same(join(one, two), join(two, one)) and same(meet(one, two), meet(two, one))
    assert same(join(one, meet(one, two)), one) and same(meet(one, join(one, two)), one)
    assert same(meet(one, join(two, three)), join(meet(one, two), meet(one, three)))
    assert not same(join(one, two), meet(one, two))
    with pytest.raises(UserError, match="different weights"):
        join(one, {"a": one["a"]})


def test_sparsity_is_counted_and_layers_add_up():
    mask = masks.global_magnitude(
        {"a": torch.rand(10, 3, generator=seeded()), "b": torch.rand(20, generator=seeded(1))}, 0.3
    )
    assert masks.pruned_of(mask) == 15 and masks.sparsity_of(mask) == 0.3
    layers = masks.layer_sparsity(mask)
    assert sum(layers[name] * mask[name].numel() for name in mask) == pytest.approx(15)
    assert masks.sparsity_of({}) == 0 and masks.sparsity_of(masks.full({"a": torch.ones(3)})) == 0


def test_packed_takes_a_bit_per_weight_and_comes_back():
    mask = masks.global_random({"b": torch.ones(5, 7), "a": torch.ones(3)}, 0.5, generator=seeded())
    data, shapes = masks.packed(mask), {name: tuple(kept.shape) for name, kept in mask.items()}
    assert len(data) == 5 and same(masks.unpacked(data, shapes), mask)
    for damaged in (data[:-1], data + b"\0", data[:-1] + bytes([data[-1] | 1])):
        with pytest.raises(UserError, match="damaged"):
            masks.unpacked(damaged, shapes)
    assert masks.unpacked(b"", {}) == {} and masks.packed({}) == b""


def test_digest_is_stable_and_tells_masks_apart():
    mask = {"b": torch.tensor([True, False, True]), "a": torch.tensor([[True], [False]])}
    assert masks.digest(mask) == "ad96ceac8fbe3dc92d74f557895b61771bc788067e1504401fa6c950de1c63ec"
    assert masks.digest(dict(reversed(mask.items()))) == masks.digest(mask)
    turned = {"b": mask["b"], "a": mask["a"].reshape(1, 2)}
    renamed = {"b": mask["b"], "c": mask["a"]}
    flipped = {"b": ~mask["b"], "a": mask["a"]}
    assert len({masks.digest(each) for each in (mask, turned, renamed, flipped)}) == 4
