"""Stopping: what mutation testing found untested. Each assertion kills a mutant that the other tests let live."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import nn

from unilth.errors import UserError
from unilth.sims.stopping import EarlyStopping, Epochs, MaskWatch, SettledMask, Watch


def test_defaults_and_the_least_that_is_allowed():
    assert EarlyStopping() == EarlyStopping(patience=5, max_epochs=None) and Epochs().number is None
    assert Epochs(0).most == 0, "no free training at all, as a random mask at initialisation asks for"
    assert (EarlyStopping(1, 1).patience, EarlyStopping(1, 1).most) == (1, 1)


def test_a_long_patience_is_counted_like_a_short_one():
    watch, network = Watch(EarlyStopping(300)), nn.Linear(1, 1)
    assert [epoch for epoch in range(1, 400) if watch.update(math.nan, network)] == [300]


@pytest.mark.parametrize(
    ("rule", "field"), [(Epochs(3), "number"), (EarlyStopping(), "patience"), (SettledMask(), "last")]
)
def test_a_rule_cannot_be_changed(rule, field):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(rule, field, 1)


def test_a_settled_mask_has_its_published_defaults_and_bounds():
    assert SettledMask() == SettledMask(last=5, tolerance=0.1, max_epochs=None, sparsity=0.0)
    assert SettledMask().most is None and SettledMask(2, 1, 1).most == 1 and SettledMask(max_epochs=3).most == 3
    for choices, name in (({"last": 1}, "last"), ({"tolerance": 0}, "tolerance"), ({"tolerance": -0.1}, "tolerance"),
                          ({"tolerance": 1.1}, "tolerance"), ({"max_epochs": 0}, "max_epochs"),
                          ({"max_epochs": -1}, "max_epochs")):  # fmt: skip
        with pytest.raises(UserError, match=f"SettledMask: {name} must be"):
            SettledMask(**choices)


@pytest.mark.parametrize(("tolerance", "settled"), [(0.41, True), (0.4, True), (0.399, False), (0.3, False)])
def test_a_mask_has_settled_where_no_difference_is_above_the_tolerance(tolerance, settled):
    """Three masks of ten weights, of which the last differs from the others in four each."""
    network = nn.Linear(10, 1)
    watch = MaskWatch(SettledMask(last=3, tolerance=tolerance, sparsity=0.5))
    found = []
    for order in ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [0, 1, 2, 5, 6, 3, 4, 7, 8, 9]):
        with torch.no_grad():
            network.weight.copy_(torch.tensor([[float(order.index(place) + 1) for place in range(10)]]))
        found.append(watch.update(0.0, network))
    assert found == [False, False, settled]
