"""One study of end points from a choice of network and data to a record, which holds raw numbers and no verdicts."""

from __future__ import annotations

import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch

from unilth import __version__
from unilth.errors import UserError
from unilth.sims import devices, networks
from unilth.sims.data import load
from unilth.sims.endpoints.kept import Kept
from unilth.sims.endpoints.parts import asked, measure_part, names
from unilth.sims.endpoints.plan import Plan
from unilth.sims.pool import ONE_THREAD
from unilth.sims.streams import stream

Tell = Callable[[int, int, str], None]  # parts done, parts in all, what was finished last


def study(
    plan: Plan,
    data_dir: Path | None = None,
    tell: Tell = lambda *_: None,
    workers: int = 2,
    keep: Path | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Measure everything of a plan and return the record.

    Parts run in ``workers`` processes of one thread each, because sums in another order end in other bits, and the
    threads of a BLAS on small matrices mostly wait for each other. ``device`` is auto, cpu, cuda or cuda:N; with
    several GPUs the parts take them in turn, and several processes share a GPU. With ``keep``, finished parts are kept
    in that folder, and a study that was interrupted takes those that the same code made on the same kind of device from
    there; the folder is the caller's to remove. UserError for a device that is not here, before anything else.
    """
    began, first = time.perf_counter(), _chosen(device)
    label = torch.cuda.get_device_name(first) if first.startswith("cuda") else first
    whole = load(plan.data, data_dir)
    data, digest = asked(plan, whole), whole.digest()
    networks.build(plan.network, data.shape, data.classes, stream(0, "initial"))  # refuses what does not fit, now
    kept = Kept(keep, plan, digest, label) if keep else None
    parts = names(plan)
    found = {name: result for name in parts if kept and (result := kept.read(name)) is not None}
    for number, name in enumerate(found, start=1):
        tell(number, len(parts), f"{name}: taken from an earlier study")
    others = set(multiprocessing.active_children())
    with one_thread(), ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            running = {
                pool.submit(measure_part, plan, data_dir, name, _chosen(device, number)): name
                for number, name in enumerate(parts)
                if name not in found
            }
            for done in as_completed(running):
                name = running[done]
                found[name] = done.result()
                if kept:
                    kept.write(name, found[name])
                tell(len(found), len(parts), f"{name}: {found[name]['cpu_seconds']:.1f} s of processor time")
        except BaseException:
            for child in set(multiprocessing.active_children()) - others:
                child.terminate()  # else it would finish the part that it is at, minutes perhaps
            pool.shutdown(cancel_futures=True)  # waits: a pool that is still closing as Python exits may complain there
            raise
    return {
        "schema": 1,
        "kind": "endpoints",
        "plan": {**asdict(plan), "ramps": list(plan.ramps), "only": list(plan.only)},
        "unilth": __version__,
        "device": label,
        "data_digest": digest,
        "data": whole.facts(),
        "versions": {
            "python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
        "ladder": [found[name]["result"] for name in parts if name.startswith("rung ")],
        "curvature": found["curvature"]["result"] if "curvature" in found else {},
        "section7": [found[name]["result"] for name in parts if name.startswith("section 7")],
        "distances": [found[name]["result"] for name in parts if name.startswith("distances")],
        "winners": found["winners"]["result"] if "winners" in found else [],
        "timing": {
            "seconds": time.perf_counter() - began,
            "cpu_seconds": sum(one["cpu_seconds"] for one in found.values()),
        },
    }  # fmt: skip


def default_workers(device: str) -> int:
    """One process a GPU on the GPUs that ``device`` stands for, otherwise one a core; UserError as `devices.chosen`."""
    if _chosen(device) == "cpu":
        return len(os.sched_getaffinity(0))
    return len({_chosen(device, number) for number in range(torch.cuda.device_count())})


@contextmanager
def one_thread() -> Iterator[None]:
    """Processes that are started meanwhile use one thread each."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _chosen(name: str, number: int = 0) -> str:
    """As `devices.chosen`; end points need numbers that an Apple GPU does not have."""
    device = devices.chosen(name, number)
    if device == "mps":
        raise UserError("device 'mps' has no float64, in which end points are computed: give auto or cpu")
    return device
