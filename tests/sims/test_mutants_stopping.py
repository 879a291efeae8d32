"""Stopping: what mutation testing found untested. Each assertion kills a mutant that the other tests let live."""

from __future__ import annotations

import dataclasses
import math

import pytest
from torch import nn

from unilth.sims.stopping import EarlyStopping, Epochs, Watch


def test_defaults_and_the_least_that_is_allowed():
    assert EarlyStopping() == EarlyStopping(patience=5, max_epochs=None) and Epochs().number is None
    assert Epochs(0).most == 0, "no free training at all, as a random mask at initialisation asks for"
    assert (EarlyStopping(1, 1).patience, EarlyStopping(1, 1).most) == (1, 1)


def test_a_long_patience_is_counted_like_a_short_one():
    watch, network = Watch(EarlyStopping(300)), nn.Linear(1, 1)
    assert [epoch for epoch in range(1, 400) if watch.update(math.nan, network)] == [300]


@pytest.mark.parametrize(("rule", "field"), [(Epochs(3), "number"), (EarlyStopping(), "patience")])
def test_a_rule_cannot_be_changed(rule, field):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(rule, field, 1)
