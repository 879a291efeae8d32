"""Digits: real scans, one split, standardised by the training data only."""

from __future__ import annotations

import json

import pytest
import torch
from sklearn.datasets import load_digits

from unilth.errors import UserError
from unilth.sims.data import Dataset, load
from unilth.sims.data.augment import Augment
from unilth.sims.data.digits import digits
from unilth.sims.execute import execute
from unilth.sims.preflight import usable
from unilth.sims.spec import RunSpec


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


def images(count: int = 4, channels: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    drawn = torch.randint(0, 256, (count, channels, 4, 4), dtype=torch.uint8, generator=generator)
    return drawn, torch.arange(count) % 2


def stored(**changes) -> Dataset:
    values = {"mean": (0.4, 0.5, 0.6), "deviation": (0.2, 0.25, 0.3)} | changes
    return Dataset("images", 2, values.pop("train", images(9)), images(5), images(4), **values)


def test_digits_stay_as_they_were_bit_for_bit():
    data = digits()
    assert data.digest() == "5f6702649bf1a4fc99b1d57c29a212bb081fe7be70cc8f75bc3f2fb1f7186621"
    assert data.prepare(data.train[0]) is data.train[0] and data.augment is None
    assert data.prepare(data.train[0], torch.bfloat16).dtype == torch.bfloat16


def test_images_are_prepared_by_mean_and_deviation():
    data = stored()
    inputs = data.train[0]
    mean, deviation = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (data.mean, data.deviation))
    expected = (inputs.double() / 255 - mean) / deviation
    assert torch.allclose(data.prepare(inputs).double(), expected, rtol=0, atol=1e-6)
    assert data.prepare(inputs).dtype == torch.float32
    half = data.prepare(inputs, torch.bfloat16)
    assert torch.equal(half, data.prepare(inputs).to(torch.bfloat16))
    last = data.prepare(inputs.to(memory_format=torch.channels_last))
    assert last.is_contiguous(memory_format=torch.channels_last) and torch.equal(last, data.prepare(inputs))


def test_moving_the_data_keeps_everything_else():
    data = stored(augment=Augment(crop=1), source={"file": "x"})
    moved = data.to("cpu")
    assert moved.facts() == data.facts() and moved.digest() == data.digest() and moved.augment == Augment(crop=1)
    assert json.loads(json.dumps(data.facts())) == data.facts()
    assert torch.equal(moved.train[0], data.train[0])


def test_the_digest_sees_the_scale():
    assert len({stored().digest(), stored(mean=(0.4, 0.5, 0.7)).digest(), stored(deviation=(0.2,) * 3).digest()}) == 3


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"mean": ()}, "mean needs 3"),
        ({"mean": (0.1, 0.2, float("nan"))}, "mean needs 3"),
        ({"deviation": (0.1, 0.2)}, "deviation needs 3"),
        ({"deviation": (0.1, 0.0, 0.1)}, "must be positive"),
        ({"train": images(9, channels=1)}, "another shape"),
        ({"train": (images(9)[0].float(), images(9)[1])}, "another shape or type"),
    ],
)
def test_images_that_do_not_fit_are_refused(changes, why):
    with pytest.raises(UserError, match=why):
        stored(**changes)


def test_inputs_that_cannot_be_prepared_are_refused():
    whole = (torch.zeros(2, 3, 4, 4, dtype=torch.int32), torch.tensor([0, 1]))
    with pytest.raises(UserError, match="int32"):
        Dataset("x", 2, whole, whole, whole)
    real = (torch.zeros(2, 3, 4, 4), torch.tensor([0, 1]))
    with pytest.raises(UserError, match="leave mean"):
        Dataset("x", 2, real, real, real, mean=(0.0,) * 3)


def test_a_part_is_nested_and_keeps_order_scale_and_test_data():
    data = digits()
    small, large = data.part(100), data.part(500)
    rows = [{tuple(row.flatten().tolist()) for row in part.train[0]} for part in (small, large, data)]
    assert len(small.train[1]) == 100 and rows[0] < rows[1] < rows[2]
    assert len(small.validation[1]) == len(data.validation[1]) * 100 // len(data.train[1])
    assert small.test is data.test and small.part(100).digest() == small.digest() != large.digest()
    places = [(data.train[0] == row).flatten(1).all(1).nonzero()[0].item() for row in large.train[0][:50]]
    assert places == sorted(places) and places[-1] > 50, "in the order of the data, but not its beginning"
    assert data.part(len(data.train[1])).digest() == data.digest()


@pytest.mark.parametrize("examples", [0, 10**6])
def test_an_impossible_part_is_refused(examples):
    with pytest.raises(UserError, match=f"examples cannot be {examples}"):
        digits().part(examples)


def test_a_run_trains_on_the_part_it_asks_for():
    _, record = execute(RunSpec("omp", epochs=2, examples=100))
    assert (record["data"]["train"], record["data"]["test"]) == (100, len(digits().test[1]))
    usable([RunSpec("omp", examples=100), RunSpec("omp")])
    with pytest.raises(UserError, match="examples cannot be 5000"):
        usable([RunSpec("omp"), RunSpec("omp", examples=5000)])


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (RunSpec("omp", augment="standard"), "the data 'digits' have no standard augmentation: leave augment out"),
        (RunSpec("lth", rewind="step:100000"), "rewind to step 100000 needs more free training than 60 epochs have"),
    ],
)
def test_what_every_run_would_refuse_is_refused_before(spec, said):
    with pytest.raises(UserError, match=said):
        usable([RunSpec("omp"), spec])
    usable([RunSpec("omp", augment="none"), RunSpec("lth", rewind="step:100")])


def test_data_are_compared_with_those_of_finished_runs():
    data, specs = digits(), [RunSpec("omp")]
    usable(specs, known=[("digits", None, data.digest()), ("digits", 100, data.part(100).digest()), ("mnist", 9, "0")])
    for known in (("digits", None, data.part(100).digest()), ("digits", 100, data.digest())):
        with pytest.raises(UserError, match="the data 'digits' are others than when the finished runs were done"):
            usable(specs, known=[known])
