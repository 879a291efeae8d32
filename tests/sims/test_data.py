"""Digits: real scans, one split, standardised by the training data only."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_digits

from unilth.errors import UserError
from unilth.sims.data import Dataset, load
from unilth.sims.data.digits import digits


def test_digits_are_all_the_scans_split_once():
    data = digits()
    assert [len(split[1]) for split in (data.train, data.validation, data.test)] == [1077, 360, 360]
    assert data.shape == (1, 8, 8) and data.classes == 10 and data.train[0].dtype == torch.float32
    inputs = torch.cat([data.train[0], data.validation[0], data.test[0]]).double().flatten(1)
    labels = torch.cat([data.train[1], data.validation[1], data.test[1]])
    raw = load_digits()
    scale = (inputs.max() - inputs.min()) / 16
    scans = ((inputs - inputs.min()) / scale).round().long()
    expected = {(*scan, int(label)) for scan, label in zip(raw.data.astype(int).tolist(), raw.target, strict=True)}
    found = [(*scan, int(label)) for scan, label in zip(scans.tolist(), labels, strict=True)]
    assert set(found) == expected and len(found) == len(raw.target)  # every scan with its own label, none invented
    assert all(len(split[1].unique()) == 10 for split in (data.train, data.validation, data.test))


def test_digits_are_standardised_by_the_training_split():
    data = digits()
    assert float(data.train[0].double().mean()) == pytest.approx(0, abs=1e-6)
    assert float(data.train[0].double().std(unbiased=False)) == pytest.approx(1, abs=1e-6)
    assert abs(float(data.test[0].mean())) > 1e-6  # its own statistics were not used


def test_digest_sees_every_split():
    data = digits()
    digest = data.digest()
    assert digest == digits().digest() and len(digest) == 64
    for split in ("train", "validation", "test"):
        inputs, labels = getattr(data, split)
        splits = {name: getattr(data, name) for name in ("train", "validation", "test")}
        changed = inputs.clone()
        changed[-1, 0, 7, 7] += 1
        assert Dataset("digits", 10, **(splits | {split: (changed, labels)})).digest() != digest
        assert Dataset("digits", 10, **(splits | {split: (inputs, labels.flip(0))})).digest() != digest


def test_loading_draws_nothing_from_global_generators():
    before = torch.get_rng_state()
    load("digits")
    assert torch.equal(torch.get_rng_state(), before)


def test_unknown_names_and_impossible_splits_are_refused():
    with pytest.raises(UserError, match="did you mean 'digits'"):
        load("digit")
    good, empty = (torch.zeros(2, 1), torch.tensor([0, 1])), (torch.zeros(0, 1), torch.zeros(0, dtype=torch.long))
    with pytest.raises(UserError, match="test split has 0"):
        Dataset("x", 2, good, good, empty)
    with pytest.raises(UserError, match="labels"):
        Dataset("x", 1, good, good, good)
