"""One study of end points from a choice of network and data to a record, which holds raw numbers and no verdicts."""

from __future__ import annotations

import json
import multiprocessing
import platform
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch

from unilth import __version__
from unilth.errors import UserError
from unilth.sims.data import Dataset, load
from unilth.sims.endpoints import section7
from unilth.sims.endpoints.curvature import hutchinson_trace, top_eigenpairs
from unilth.sims.endpoints.ladder import diabetes, ladder
from unilth.sims.endpoints.model import network_model
from unilth.sims.endpoints.winners import winners
from unilth.sims.records import read_json
from unilth.sims.streams import stream

PARTS = ("ladder", "curvature", "section7", "winners")
LARGEST = 4 * 2**20  # bytes of one record


@dataclass(frozen=True)
class Plan:
    """What to measure and how much of it; every number is in the record."""

    network: str = "lenet-300-100"
    data: str = "digits"
    seeds: int = 3
    examples: int = 100
    pairs: int = 8
    iterations: int = 100
    ramps: tuple[int, ...] = (1, 4, 16)
    stop: int = 8
    mask_epochs: int = 12
    splits: int = 20

    def __post_init__(self) -> None:
        for name, least in {"seeds": 2, "examples": 20, "pairs": 1, "iterations": 1, "stop": 1, "splits": 2}.items():
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}: give at least {least}")
        if len(self.ramps) < 2 or sorted(set(self.ramps)) != list(self.ramps) or self.ramps[0] < 1:
            raise UserError(f"ramps is {self.ramps}: give at least two growing numbers of epochs")
        if self.mask_epochs < 3:
            raise UserError(f"mask_epochs is {self.mask_epochs}: give at least 3, for an epoch between the extremes")


QUICK = Plan(seeds=2, examples=40, pairs=4, iterations=25, ramps=(1, 2), stop=1, mask_epochs=3, splits=4)


def study(
    plan: Plan, data_dir: Path | None = None, say: Callable[[str], None] = lambda _: None, workers: int = 2
) -> dict[str, Any]:
    """Measure everything of a plan and return the record. Parts run in `workers` processes of one thread each, because
    sums in another order end in other bits; with 1 they run here."""
    began = time.perf_counter()
    parts = ["ladder", *(f"seed {seed}" for seed in range(plan.seeds)), "curvature", "winners"]
    if workers == 1:
        found = {name: part(plan, data_dir, name) for name in parts}
    else:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            running = {pool.submit(part, plan, data_dir, name): name for name in parts}
            found = {}
            for done in as_completed(running):
                found[running[done]] = done.result()
                say(f"{running[done]}: {found[running[done]]['cpu_seconds']:.1f} s of processor time")
    return {
        "schema": 1,
        "kind": "endpoints",
        "plan": {**asdict(plan), "ramps": list(plan.ramps)},
        "unilth": __version__,
        "data_digest": load(plan.data, data_dir).digest(),
        "versions": {
            "python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
        "ladder": found["ladder"]["result"],
        "curvature": found["curvature"]["result"],
        "section7": [found[f"seed {seed}"]["result"] for seed in range(plan.seeds)],
        "winners": found["winners"]["result"],
        "timing": {
            "seconds": time.perf_counter() - began,
            "cpu_seconds": sum(one["cpu_seconds"] for one in found.values()),
        },
    }  # fmt: skip


def part(plan: Plan, data_dir: Path | None, name: str) -> dict[str, Any]:
    """One part of a study and the processor time it took."""
    before, cpu = torch.get_num_threads(), time.process_time()
    torch.set_num_threads(1)
    try:
        result = _part(plan, load(plan.data, data_dir), name)
    finally:
        torch.set_num_threads(before)
    return {"result": result, "cpu_seconds": time.process_time() - cpu}


def _part(plan: Plan, data: Dataset, name: str) -> Any:
    if name == "ladder":
        return ladder(plan.network, data, 0, plan.examples, plan.pairs, plan.iterations)
    if name == "curvature":
        return sharpness(plan, data)
    if name == "winners":
        patients, progression = diabetes()
        pixels = data.prepare(data.train[0]).flatten(1).double().numpy()
        labels = data.train[1].numpy().astype(float)
        return [
            *winners("diabetes", patients, progression[:, 0], plan.splits),
            *winners(f"{data.name}, the label as a number", pixels, labels, plan.splits),
        ]
    seed = int(name.removeprefix("seed "))
    one = section7.Study(plan.network, data, seed)
    return {
        "seed": seed,
        "forgetting": section7.forgetting(one, plan.ramps),
        "masks": section7.mask_quality(one, plan.mask_epochs, plan.examples),
        "ramps": section7.ramp_or_prune(one, plan.stop, plan.stop, max(1, plan.stop // 2)),
    }


def sharpness(plan: Plan, data: Dataset) -> dict[str, Any]:
    """Top eigenvalues and trace of Hessian and Gauss-Newton matrix at the start and after free training."""
    one = section7.Study(plan.network, data, 0)
    trained = one.fresh()
    one.free(trained, plan.stop)
    inputs, labels = data.prepare(data.train[0][: plan.examples]), data.train[1][: plan.examples]
    found: dict[str, Any] = {}
    for name, network in (("start", one.fresh()), ("end", trained)):
        model = network_model(plan.network, network, inputs, labels, data.classes)
        for kind, product in (
            ("hessian", model.hessian(model.start)),
            ("gauss_newton", model.gauss_newton(model.start)),
        ):
            values, _ = top_eigenpairs(product, len(model.start), min(plan.pairs, 4), tolerance=1e-4)
            trace = hutchinson_trace(product, len(model.start), 10, stream(0, "probes"))
            found[f"{kind} at {name}"] = {"top": values.tolist(), "trace": trace.value, "trace_error": trace.error}
    return found


def write(record: dict[str, Any], out: Path) -> Path:
    """Write the record whole or not at all into the folder; returns its path."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{record['plan']['network']}-{record['plan']['data']}.json"
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(json.dumps(rounded(record), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    partial.replace(path)
    return path


def rounded(value: Any) -> Any:
    """The same tree with numbers to 9 significant digits."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, (list, tuple)) else value


def read(folder: Path) -> list[dict[str, Any]]:
    """The records in a folder by name; UserError where a JSON file is no record of end points."""
    found = []
    for path in sorted(folder.glob("*.json")):
        record = read_json(path, largest=LARGEST)
        if not isinstance(record, dict) or record.get("kind") != "endpoints" or record.get("schema") != 1:
            raise UserError(f"{str(path)!r} is not a record of end points of schema 1: name a folder of such records")
        if not all(part in record for part in PARTS) or not isinstance(record.get("plan"), dict):
            raise UserError(f"{str(path)!r} lacks one of {', '.join(PARTS)}: measure it again with unilth endpoints")
        found.append(record)
    return found
