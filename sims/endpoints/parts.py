"""The parts of a study, each of which a process of its own can measure from the plan alone."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import torch

from unilth.errors import UserError
from unilth.sims.data import Dataset, load
from unilth.sims.endpoints import ladder, section7
from unilth.sims.endpoints.curvature import host, hutchinson_trace, top_eigenpairs
from unilth.sims.endpoints.distances import distances
from unilth.sims.endpoints.model import network_model
from unilth.sims.endpoints.plan import Plan
from unilth.sims.endpoints.shrinkage import measure
from unilth.sims.endpoints.winners import winners
from unilth.sims.streams import seeded_layers, stream

TIMES = (2.0, 8.0, 30.0)  # stopping time times the largest eigenvalue at the start


def names(plan: Plan) -> list[str]:
    """Every part that the plan asks for; the rungs in the order of the ladder."""
    parts = {
        "ladder": [f"rung {rung}" for rung in ladder.RUNGS],
        "distances": [f"distances, seed {seed}" for seed in range(plan.seeds)],
        "section7": [f"section 7, seed {seed}" for seed in range(plan.seeds)],
        "curvature": ["curvature"],
        "winners": ["winners"],
    }
    return [name for kind, found in parts.items() if kind in plan.only for name in found]


def asked(plan: Plan, data: Dataset) -> Dataset:
    """What the plan trains and tests on."""
    if plan.test_part is not None:
        if plan.test_part > len(data.test[1]):
            raise UserError(
                f"test_part is {plan.test_part}: {data.name} has {len(data.test[1])} test examples, give fewer"
            )
        data = dataclasses.replace(data, test=(data.test[0][: plan.test_part], data.test[1][: plan.test_part]))
    data = data if plan.part is None else data.part(plan.part)
    if plan.examples > len(data.train[1]):
        raise UserError(f"examples is {plan.examples}: there are {len(data.train[1])} to train on, give fewer")
    return data


def measure_part(plan: Plan, data_dir: Path | None, name: str, device: str = "cpu") -> dict[str, Any]:
    """One part of a study on a torch device, and the processor time it took."""
    before, cpu = torch.get_num_threads(), time.process_time()
    torch.set_num_threads(1)
    try:
        data = asked(plan, load(plan.data, data_dir)).to(device)
        with seeded_layers(0):  # after the device was first used: only then are its generators there to be seeded
            result = _measure(plan, data, name)
    finally:
        torch.set_num_threads(before)
    return {"result": result, "cpu_seconds": time.process_time() - cpu}


def _measure(plan: Plan, data: Dataset, name: str) -> Any:
    if name.startswith("rung "):
        began = time.perf_counter()
        model = ladder.rung(name.removeprefix("rung "), plan.network, data, 0, plan.examples)
        return {**measure(model, TIMES, plan.pairs, plan.iterations), "seconds": time.perf_counter() - began}
    if name == "curvature":
        return sharpness(plan, data)
    if name == "winners":
        return regressions(plan, data)
    kind, _, number = name.partition(", seed ")
    seed = int(number)
    if kind == "distances":
        return {"seed": seed, **distances(plan, data, seed)}
    one = section7.Study(plan.network, data, seed)
    return {
        "seed": seed,
        "forgetting": section7.forgetting(one, plan.ramps),
        "masks": section7.mask_quality(one, plan.mask_epochs, plan.examples),
        "ramps": section7.ramp_or_prune(one, plan.stop, plan.stop, max(1, plan.stop // 2)),
    }


def regressions(plan: Plan, data: Dataset) -> list[dict[str, Any]]:
    """Who wins on diabetes, and on the data where there are enough examples to estimate a noise variance from."""
    patients, progression = ladder.diabetes()
    rows = winners("diabetes", patients, progression[:, 0], plan.splits)
    pixels = host(data.prepare(data.train[0]).flatten(1).double())
    if 5 * pixels.shape[1] > len(pixels):
        return rows
    labels = data.train[1].cpu().numpy().astype(float)
    return [*rows, *winners(f"{data.name}, the label as a number", pixels, labels, plan.splits)]


def sharpness(plan: Plan, data: Dataset) -> dict[str, Any]:
    """Top eigenvalues and trace of Hessian and Gauss-Newton matrix at the start and after free training."""
    one = section7.Study(plan.network, data, 0)
    trained = one.fresh()
    one.free(trained, plan.stop)
    inputs, labels = data.prepare(data.train[0][: plan.examples]), data.train[1][: plan.examples]
    found: dict[str, Any] = {}
    for name, network in (("start", ladder.settled(one.fresh(), inputs)), ("end", trained)):
        model = network_model(plan.network, network, inputs, labels, data.classes)
        for kind, product in (
            ("hessian", model.hessian(model.start)),
            ("gauss_newton", model.gauss_newton(model.start)),
        ):
            size, device = len(model.start), model.start.device
            values, _ = top_eigenpairs(product, size, plan.pairs, tolerance=1e-4, device=device)
            trace = hutchinson_trace(product, size, plan.probes, stream(0, "probes"), device)
            found[f"{kind} at {name}"] = {"top": values.tolist(), "trace": trace.value, "trace_error": trace.error}
    return found
