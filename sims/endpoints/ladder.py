"""The rungs of the ladder, from a quadratic to the network that was asked for."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from unilth.sims import networks
from unilth.sims.data import Dataset
from unilth.sims.endpoints.batch_norm import measure_statistics
from unilth.sims.endpoints.curvature import Device, host
from unilth.sims.endpoints.model import LinearisedModel, Model, linear_model, network_model
from unilth.sims.endpoints.shrinkage import Array
from unilth.sims.networks import initialise
from unilth.sims.streams import stream

RUNGS = ("quadratic", "diabetes", "regression", "linear network", "linearised", "network")


def rung(name: str, network: str, data: Dataset, seed: int, examples: int) -> Model:
    """One of `RUNGS`: a diagonal quadratic, regression on diabetes and on the data, a linear network, the network's
    tangent, the network; all on the device of the data."""
    inputs, labels = (part[:examples] for part in data.train)
    device = labels.device
    if name == "quadratic":
        return quadratic(device)
    if name == "diabetes":
        return linear_model("regression on diabetes", *diabetes(), device)
    prepared = data.prepare(inputs)
    if name == "regression":
        pixels = host(prepared.flatten(1).double())
        return linear_model(f"regression on {data.name}", pixels, np.eye(data.classes)[labels.cpu().numpy()], device)
    if name == "linear network":
        pixel_count = prepared.flatten(1).shape[1]
        deep = nn.Sequential(
            nn.Flatten(), nn.Linear(pixel_count, 32, bias=False), nn.Linear(32, data.classes, bias=False)
        )
        initialise(deep, stream(seed, "initial"))
        return network_model("linear network", deep.to(device), prepared, labels, data.classes)
    built = networks.build(network, data.shape, data.classes, stream(seed, "initial")).to(device)
    real = network_model(network, settled(built, prepared), prepared, labels, data.classes)
    return real if name == "network" else LinearisedModel(f"linearised {network}", real)


def settled(network: nn.Module, inputs: Tensor) -> nn.Module:
    """A new network's batch norm has seen nothing: statistics of the ladder's own examples, frozen from then on."""
    return measure_statistics(network, inputs)


def quadratic(device: Device = "cpu") -> Model:
    """Eight eigenvalues from 1 down to 1/128 with the minimiser (1, ..., 1), from 0."""
    values = 0.5 ** np.arange(8)
    design = np.diag(np.sqrt(8 * values))
    return linear_model("quadratic", design, design @ np.ones((8, 1)), device)


def diabetes() -> tuple[Array, Array]:
    """442 patients, 10 standardised measurements (Efron et al. 2004; ships with scikit-learn), target standardised."""
    from sklearn.datasets import load_diabetes  # type: ignore[import-untyped]  # slow to import

    raw = load_diabetes()
    design = (raw.data - raw.data.mean(0)) / raw.data.std(0)
    target = (raw.target - raw.target.mean()) / raw.target.std()
    return design, target[:, None]
