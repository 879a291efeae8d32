"""Masks: what mutation testing found untested. Each assertion kills mutants that the other tests let live."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

from unilth.errors import UserError
from unilth.sims import masks

RULES = (masks.global_magnitude, masks.layer_magnitude, masks.global_random, masks.layer_random)


def is_exact(values, mask, sparsity) -> bool:
    """The right number is pruned, and nothing pruned is larger than what is kept."""
    gone, kept = values[~mask], values[mask]
    return len(gone) == masks.pruned_count(len(values), sparsity) and bool(gone.max() <= kept.min())


def test_a_few_thousand_distinct_scores_are_partitioned_at_the_right_place():
    """Tiny arrays are sorted by NumPy's partition, whichever place it is asked for."""
    values = torch.randn(5000, generator=torch.Generator().manual_seed(1))
    for hundredths in range(1, 100, 7):
        assert is_exact(values, masks.global_magnitude({"a": values}, hundredths / 100)["a"], hundredths / 100)


def test_the_kth_smallest_is_exact_at_every_place():
    """NumPy's partition mostly sorts the neighbours of the place asked for as well, so few places tell."""
    values = np.random.default_rng(1).standard_normal(65_000).astype(np.float32)
    ordered = np.sort(values)
    for k in range(1, 65_000, 162):
        assert masks._kth_smallest([values[:30_000], values[30_000:]], k) == ordered[k - 1]


def test_masks_for_other_weights_are_refused_whichever_is_larger():
    def mask(**shapes):
        return {name: torch.ones(shape, dtype=torch.bool) for name, shape in shapes.items()}

    for first, second in ((mask(a=2), mask(a=3)), (mask(a=2), mask(a=2, b=1)), (mask(a=2), mask(b=2))):
        for pair in ((first, second), (second, first)):
            for combine in (masks.union, masks.intersection):
                with pytest.raises(UserError, match="different weights"):
                    combine(*pair)
    with pytest.raises(UserError, match=r"disagree on \['b', 'c'\]"):
        scores = {"a": torch.ones(2), "b": torch.ones(2)}
        masks.global_magnitude(scores, 0.5, within=mask(a=2, c=2))


def test_the_sparsity_of_one_weight_is_counted():
    assert masks.sparsity_of({"a": torch.tensor([False])}) == 1.0


@pytest.mark.parametrize("sparsity", [1e-4, 0.003, 0.3, 0.5, 0.9, 0.999, 0.9999])
def test_of_a_million_scores_only_a_sample_and_its_bracket_are_partitioned(sparsity, monkeypatch):
    values = torch.randn(1 << 20, generator=torch.Generator().manual_seed(2))
    sizes, concatenate = [], np.concatenate

    def measured(arrays):
        joined = concatenate(arrays)
        sizes.append(joined.size)
        return joined

    monkeypatch.setattr(masks.np, "concatenate", measured)
    mask = masks.global_magnitude({"a": values[: 1 << 19], "b": values[1 << 19 :]}, sparsity)
    assert is_exact(values, torch.cat([mask["a"], mask["b"]]), sparsity)
    assert len(sizes) == 2 and sizes[0] == masks.SMALL, "a sample"
    assert sizes[1] <= 2.5 * 4 * masks.SMALL**0.5 * (1 << 20) / masks.SMALL, "eight standard deviations of it"


@pytest.mark.parametrize("sampled", ["small", "large"])
def test_a_bracket_that_misses_costs_time_and_no_exactness(sampled):
    """Every fourth value, which is what the sample sees, is smaller (or larger) than all others."""
    total = 4 * masks.SMALL
    values = np.random.default_rng(5).permutation(total).astype(np.float32)
    seen = np.arange(total) % 4 == 0
    low, high = np.sort(values)[: masks.SMALL], np.sort(values)[masks.SMALL :]
    if sampled == "large":
        low, high = np.sort(values)[: 3 * masks.SMALL], np.sort(values)[3 * masks.SMALL :]
    rest = values.copy()
    rest[seen], rest[~seen] = (low, high) if sampled == "small" else (high, low)
    places = [1, masks.SMALL, total // 2, 3 * masks.SMALL, total - 1, total]
    # where exactly as many lie below the bracket as are asked for: 3/4 of all and the sample's lower end
    places += [k for k in range(total - 1400, total - 1330) if 3 * masks.SMALL + k // 4 - 1024 in (k - 1, k, k + 1)]
    assert len(places) > 8
    for k in places:
        assert masks._kth_smallest([rest], k) == k - 1


def test_what_is_small_is_partitioned_whole(monkeypatch):
    sizes, concatenate = [], np.concatenate
    monkeypatch.setattr(masks.np, "concatenate", lambda arrays: sizes.append(len(arrays)) or concatenate(arrays))
    masks.global_magnitude({"a": torch.rand(masks.SMALL, generator=torch.Generator().manual_seed(3))}, 0.5)
    assert len(sizes) == 1


@pytest.mark.parametrize("rule", [masks.keep_largest, masks.keep_random, *RULES])
def test_options_are_given_by_name(rule):
    kinds = {name: parameter.kind.name for name, parameter in inspect.signature(rule).parameters.items()}
    assert {kinds.pop("scores"), kinds.pop("sparsity")} == {"POSITIONAL_OR_KEYWORD"}
    assert set(kinds.values()) == {"KEYWORD_ONLY"} and {"within", "generator"} <= kinds.keys()


@pytest.mark.parametrize("shape", [(2,), (4,), (3, 1), ()])
def test_an_earlier_mask_of_another_shape_is_refused(shape):
    with pytest.raises(UserError, match="within"):
        masks.global_magnitude({"a": torch.ones(3)}, 0.5, within={"a": torch.ones(shape, dtype=torch.bool)})


@pytest.mark.parametrize("sparsity", [True, None, [0.5], 1j])
def test_what_is_no_number_is_called_so(sparsity):
    with pytest.raises(UserError, match="must be a number"):
        masks.exact_sparsity(sparsity)


def test_damage_is_described_with_the_right_numbers():
    data = masks.packed({"a": torch.ones(38, dtype=torch.bool)})
    for size, whole in ((38, 5), (40, 5), (41, 6)):
        with pytest.raises(UserError, match=f"a mask of {size} weights takes {whole} bytes, not 4: "):
            masks.unpacked(data[:4], {"a": (size,)})
    with pytest.raises(UserError, match="the last 5 bits of a mask of 3 weights"):
        masks.unpacked(b"\xff", {"a": (3,)})
    with pytest.raises(UserError, match="the last 2 bits of a mask of 38 weights"):
        masks.unpacked(data[:4] + b"\xff", {"a": (38,)})


def test_a_mask_of_thousands_of_bytes_comes_back():
    mask = {"a": torch.rand(30_001, generator=torch.Generator().manual_seed(4)) > 0.5}
    assert torch.equal(masks.unpacked(masks.packed(mask), {"a": (30_001,)})["a"], mask["a"])
