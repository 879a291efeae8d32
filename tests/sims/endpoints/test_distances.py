"""Distances of end points: each measure against a case whose answer is known, and the whole on very little data."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from unilth.sims import networks
from unilth.sims.data import Dataset
from unilth.sims.endpoints.alignment import align, chain, permuted
from unilth.sims.endpoints.batch_norm import measure_statistics
from unilth.sims.endpoints.distances import apart, curvature, distances, functions, line, measured
from unilth.sims.endpoints.ends import ENDS, Bench, Walk, held, matched
from unilth.sims.endpoints.nearest import BASELINES, STOP_EARLY, TITLES, is_matched
from unilth.sims.endpoints.plan import Plan
from unilth.sims.streams import stream


def points(count: int = 40) -> Dataset:
    generator = stream(5, "points")
    inputs = torch.randn(count, 6, generator=generator)
    split = inputs, (inputs[:, 0] + inputs[:, 1] > 0).long()
    return Dataset("points", 2, split, split, split)


def multilayer(seed: int) -> nn.Sequential:
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 2))
    networks.initialise(network, stream(seed, "initial"))
    return network


class Residual(nn.Module):
    """Linear layers alone, and yet no chain: the sum ties the units of two layers together."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2)
        networks.initialise(self, stream(0, "initial"))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.a(inputs))
        return self.c(hidden + torch.relu(self.b(hidden)))


def test_shuffled_units_are_found_again() -> None:
    network, inputs = multilayer(0), points().test[0]
    names = chain(network, inputs)
    assert names == ("0", "2", "4")
    state = held(network)
    generator = np.random.default_rng(0)
    shuffled = permuted(state, names, [generator.permutation(8), generator.permutation(7)])
    everything = tuple(state)
    assert apart(state, shuffled, everything) > 0.5
    assert apart(state, permuted(shuffled, names, align(state, shuffled, names)), everything) == 0.0
    assert all((order == np.arange(len(order))).all() for order in align(state, state, names))


def test_only_chains_are_matched() -> None:
    inputs = points().test[0]
    assert chain(Residual(), inputs) is None
    assert chain(nn.Sequential(nn.Linear(6, 4), nn.LayerNorm(4), nn.Linear(4, 2)), inputs) is None
    assert chain(nn.Sequential(nn.Linear(6, 2)), inputs) is None


def test_statistics_are_those_of_the_inputs_and_nothing_else_changes() -> None:
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(6), nn.Dropout(0.9), nn.Linear(6, 6), nn.BatchNorm1d(6))
    inputs = points().test[0] * 3 + 2
    before = held(network)
    network.eval()
    measure_statistics(network, inputs)
    assert torch.allclose(network[1].running_mean, inputs.mean(0), atol=1e-5)
    assert torch.allclose(network[1].running_var, inputs.var(0), atol=1e-4)
    hidden = network[3](torch.nn.functional.batch_norm(inputs, None, None, training=True))
    assert torch.allclose(network[4].running_mean, hidden.mean(0), atol=1e-4)  # and no dropout meanwhile
    assert network[1].momentum == 0.1 and not any(module.training for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in held(network).items() if "weight" in name)
    plain = multilayer(0)
    assert measure_statistics(plain, inputs) is plain


def test_functions_of_two_networks_on_a_case_by_hand() -> None:
    p, q = torch.tensor([[3.0, 1.0]]).log(), torch.tensor([[1.0, 3.0]]).log()
    found = functions(p.double(), q.double())
    assert found == pytest.approx({"kl": 0.5 * math.log(3), "l2": math.sqrt(0.5), "disagree": 1.0})
    assert functions(p, p + 7) == pytest.approx({"kl": 0.0, "l2": 0.0, "disagree": 0.0}, abs=1e-6)


def test_a_convex_loss_has_no_barrier_and_shuffled_units_have_one() -> None:
    data = points()
    flat = nn.Sequential(nn.Linear(6, 2))
    networks.initialise(flat, stream(0, "initial"))
    bench = Bench(flat, data)
    start = held(flat)
    other = {name: -2 * value + 1 for name, value in start.items()}
    assert line(bench, start, other)["barrier"] == 0.0
    deep = multilayer(0)
    for _ in range(300):
        loss = nn.functional.cross_entropy(deep(data.train[0]), data.train[1])
        gradients = torch.autograd.grad(loss, list(deep.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(deep.parameters(), gradients, strict=True):
                parameter -= 0.3 * gradient
    state = held(deep)
    shuffled = permuted(state, ("0", "2", "4"), [np.roll(np.arange(8), 1), np.roll(np.arange(7), 1)])
    found = line(Bench(deep, data), state, shuffled)
    assert found["line"][0] == pytest.approx(found["line"][-1], abs=1e-5) and found["barrier"] > 0.05


def test_the_way_is_followed_to_the_loss_that_was_asked_for() -> None:
    data, network = points(), multilayer(1)
    bench, state = Bench(network, data), held(network)
    states = [{name: value * scale for name, value in state.items()} for scale in (1.0, 0.6, 0.0)]
    losses = [bench.loss(one) for one in states]
    if losses[0] < losses[-1]:
        states, losses = states[::-1], losses[::-1]
    way = Walk(states, losses)
    target = 0.5 * (losses[0] + losses[-1])
    assert bench.loss(matched(way, bench, target)) == pytest.approx(target, rel=2e-3)
    assert matched(way, bench, losses[-1] / 2) is states[-1]  # never reached: its end
    assert matched(way, bench, losses[0] * 2) is states[0]  # below it from the beginning: what comes nearest


def test_the_hessian_of_the_cross_entropy_is_the_dense_one() -> None:
    network, data = multilayer(2).double(), points()
    inputs, labels = data.train[0].double(), data.train[1]
    product, size = curvature(network, inputs, labels)
    flat = torch.cat([p.detach().reshape(-1) for p in network.parameters()])
    shapes = {name: p.shape for name, p in network.named_parameters()}

    def loss(theta: torch.Tensor) -> torch.Tensor:
        parts = theta.split([shape.numel() for shape in shapes.values()])
        values = {name: part.view(shapes[name]) for name, part in zip(shapes, parts, strict=True)}
        return nn.functional.cross_entropy(torch.func.functional_call(network, values, (inputs,)), labels)

    dense = torch.func.hessian(loss)(flat)
    found = torch.stack([product(row) for row in torch.eye(size, dtype=torch.float64)])
    assert torch.allclose(found, dense, atol=1e-12)
    numbers = measured(product, size, 200)
    assert numbers["top"] == pytest.approx(float(torch.linalg.eigvalsh(dense)[-1]), rel=1e-3)
    assert abs(numbers["trace"] - float(dense.trace())) < 5 * numbers["trace_error"]


def test_names_agree() -> None:
    assert [name for name, _ in ENDS] == list(TITLES) and set(BASELINES) < set(TITLES)


def test_all_end_points_of_one_seed_on_very_little_data() -> None:
    found = distances(Plan(epochs=10, examples=20, probes=2), points(64), 0)
    assert [row["name"] for row in found["ends"]] == list(TITLES)
    sparse = {row["name"]: row["sparsity"] for row in found["ends"]}
    assert sparse["stopped"] == sparse["l2-weak"] == 0 and sparse["unilth"] == pytest.approx(0.9, abs=0.01)
    assert all(("kept" in row["sharpness"]) == (row["sparsity"] > 0) for row in found["ends"])
    told = {row["name"]: row["early_stopping"] for row in found["ends"] if "early_stopping" in row}
    assert tuple(told) == STOP_EARLY and not any(one["fired"] for one in told.values())  # no time for a patience of 5
    assert all(one["epochs"] == one["most"] == (10 if name == "stopped" else 3) for name, one in told.items())
    assert len(found["pairs"]) == 45 and all(pair["aligned"]["units"] == 400 for pair in found["pairs"])
    assert all(pair["kl"] > 0 and 0 < pair["weights"] < 2.1 for pair in found["pairs"])
    assert all(len(pair["line"]) == 11 and pair["barrier"] >= 0 for pair in found["pairs"])
    assert [row["name"] for row in found["matched"]] == list(TITLES)[1:]
    assert sum(map(is_matched, found["matched"])) >= 3
