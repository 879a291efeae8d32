"""The rungs of the ladder, from a quadratic to the network that was asked for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import nn

from unilth.sims import networks
from unilth.sims.data import Dataset
from unilth.sims.endpoints.model import LinearisedModel, Model, linear_model, network_model
from unilth.sims.endpoints.shrinkage import Array, measure
from unilth.sims.networks import initialise
from unilth.sims.streams import stream

TIMES = (2.0, 8.0, 30.0)  # stopping time times the largest eigenvalue at the start


def ladder(network: str, data: Dataset, seed: int, examples: int, pairs: int, most: int) -> list[dict[str, Any]]:
    """Measure every rung; rows as `shrinkage.measure` returns them, with the seconds each took."""
    rows = []
    for model in rungs(network, data, seed, examples):
        began = time.perf_counter()
        rows.append({**measure(model, TIMES, pairs, most), "seconds": time.perf_counter() - began})
    return rows


def rungs(network: str, data: Dataset, seed: int, examples: int) -> Iterator[Model]:
    """A diagonal quadratic, regression on diabetes and on the data, a linear network, the tangent, the network."""
    inputs, labels = (part[:examples] for part in data.train)
    yield quadratic()
    yield linear_model("regression on diabetes", *diabetes())
    pixels = data.prepare(inputs).flatten(1).double().numpy()
    yield linear_model(f"regression on {data.name}", pixels, np.eye(data.classes)[labels.numpy()])
    deep = nn.Sequential(
        nn.Flatten(), nn.Linear(pixels.shape[1], 32, bias=False), nn.Linear(32, data.classes, bias=False)
    )
    initialise(deep, stream(seed, "initial"))
    prepared = data.prepare(inputs)
    yield network_model("linear network", deep, prepared, labels, data.classes)
    built = networks.build(network, data.shape, data.classes, stream(seed, "initial"))
    real = network_model(network, built, prepared, labels, data.classes)
    yield LinearisedModel(f"linearised {network}", real)
    yield real


def quadratic() -> Model:
    """Eight eigenvalues from 1 down to 1/128 with the minimiser (1, ..., 1), from 0."""
    values = 0.5 ** np.arange(8)
    design = np.diag(np.sqrt(8 * values))
    return linear_model("quadratic", design, design @ np.ones((8, 1)))


def diabetes() -> tuple[Array, Array]:
    """442 patients, 10 standardised measurements (Efron et al. 2004; ships with scikit-learn), target standardised."""
    from sklearn.datasets import load_diabetes  # type: ignore[import-untyped]  # slow to import

    raw = load_diabetes()
    design = (raw.data - raw.data.mean(0)) / raw.data.std(0)
    target = (raw.target - raw.target.mean()) / raw.target.std()
    return design, target[:, None]
