"""Complete tickets per hour of one device, by how many processes train on it at the same time, and how busy a GPU is.

    python benchmarks/packed_sweep.py --data cifar10 --data-dir DIR [--network resnet20] [--recipe unilth]
                                      [--processes 1 2 4 8] [--runs-each 2] [--epochs 3] [--of 90] [--device auto]
                                      [--precision bfloat16] [--batch 128] [--apart] [--out FILE.json]

Every number of processes gets a sweep of its own in a new folder, with so many runs for each process; the runs differ
in their seed only. Counted is the time from the moment when every process has finished its first run (torch imported,
data on the device, kernels chosen) to the last run's end, so give at least two runs for each; of a run that is on its
way at that moment the part that is left counts. A ticket of ``--of`` epochs is assumed to take of/epochs times as long
as the short ones here, which counts what a run costs once (loading, building, storing) too often. All processes train
on one device, with ``--device cuda`` or auto the first GPU. There nvidia-smi says once a second how much of the time a
kernel was running, and the processes work side by side where NVIDIA's multi-process service is installed; with
``--apart`` one at a time. Where CUDA_MPS_PIPE_DIRECTORY is set and ``--apart`` is not, the processes do as it says.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from unilth.sims.campaign import parse
from unilth.sims.devices import chosen
from unilth.sims.execute import execute
from unilth.sims.results import Store
from unilth.sims.shared_gpu import PIPES, side_by_side
from unilth.sims.spec import RunSpec
from unilth.sims.sweep import sweep
from unilth.sims.tickets import Ticket

ASK = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop=1"]


class Busy:
    """Share of the time in which a GPU ran a kernel, in percent a second; nothing for a CPU or without nvidia-smi."""

    def __init__(self, device: str) -> None:
        self.device = device

    def __enter__(self) -> Busy:
        self.file, self.process = tempfile.TemporaryFile("w+"), None
        if self.device != "cpu" and shutil.which(ASK[0]):
            # By its UUID: nvidia-smi sees every GPU and has numbers of its own for them.
            one = f"--id=GPU-{torch.cuda.get_device_properties(self.device).uuid}"
            self.process = subprocess.Popen([*ASK, one], stdout=self.file, stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait()

    def since(self, seconds: float) -> float | None:
        """The mean over the last ``seconds``; None where nothing was measured."""
        self.file.seek(0)
        values = [float(line) for line in self.file if line.strip().isdigit()]
        return statistics.mean(values[-max(1, round(seconds)) :]) if values else None


def noted(spec: RunSpec, **given: Any) -> tuple[Ticket, dict[str, Any]]:
    """`execute`, which also notes the process that did the run, and when; every process here has the same clock."""
    began = time.monotonic()
    ticket, record = execute(spec, **given)
    record["timing"] |= {"process": os.getpid(), "began": began, "ended": time.monotonic()}
    return ticket, record


def counted(timings: Iterable[Mapping[str, float]], processes: int) -> tuple[float, float]:
    """How many runs were done after every process had finished its first, and the seconds from then to the last end."""
    timings, firsts = list(timings), dict[float, float]()
    for run in sorted(timings, key=lambda run: run["ended"]):
        firsts.setdefault(run["process"], run["ended"])
    start, end = max(firsts.values()), max(run["ended"] for run in timings)
    if len(firsts) < processes or start == end:
        raise SystemExit(
            f"{processes} processes did not all have runs after their first: give more --runs-each or --epochs"
        )
    parts = [(run["ended"] - max(run["began"], start)) / (run["ended"] - run["began"]) for run in timings]
    return sum(part for part in parts if part > 0), end - start


def measured(processes: int, args: argparse.Namespace, device: str) -> dict[str, Any]:
    """One sweep with so many processes at the same time."""
    runs = processes * args.runs_each
    text = f"""
claim = "How many tickets an hour?"
[grid]
recipes = ["{args.recipe}"]
networks = ["{args.network}"]
data = ["{args.data}"]
sparsities = [{args.sparsity}]
seeds = {runs}
[run]
epochs = {args.epochs}
batch = {args.batch}
precision = "{args.precision}"
"""
    with tempfile.TemporaryDirectory() as folder, Busy(device) as busy:
        summary = sweep(
            parse(text, name="packed", where="packed"), folder, workers=processes, data_dir=args.data_dir,
            device=device, run="packed_sweep:noted",
        )  # fmt: skip
        if not summary.ok:
            raise SystemExit(f"{len(summary.failed)} runs failed: {summary.failed[0][1]}")
        done, seconds = counted((record["timing"] for record in Store(Path(folder)).records()), processes)
        share = busy.since(seconds)
    hourly = 3600 * done / seconds
    return {
        "processes": processes,
        "runs": runs,
        "runs_counted": done,
        "seconds_after_the_first": seconds,
        "short_runs_per_hour": hourly,
        "tickets_per_hour": hourly * args.epochs / args.of,
        "gpu_busy_percent": share,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4, 8])
    for name, default in {"network": "resnet20", "data": "cifar10", "recipe": "unilth", "device": "auto"}.items():
        parser.add_argument(f"--{name}", default=default)
    for name, number in {"runs-each": 2, "epochs": 3, "of": 90, "batch": 128}.items():
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--apart", action="store_true")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.runs_each < 2:
        parser.error("--runs-each must be at least 2: the first run of a process is not counted")
    device = chosen(args.device)
    where = torch.cuda.get_device_name(device) if device != "cpu" else f"cpu, {len(os.sched_getaffinity(0))} cores"
    print(f"{where}; torch {torch.__version__}; {args.recipe} on {args.data}, {args.network}, batch {args.batch},")
    print(f"{args.precision}, {args.epochs} epochs; a ticket is {args.of} epochs")
    rows, own = [], PIPES in os.environ and not args.apart
    with side_by_side(device != "cpu" and not args.apart) as service:
        # The sweeps find the setting and start no service of their own; a folder without one means none.
        os.environ.update(service or ({} if own else {PIPES: os.devnull}))
        together = "yes" if service else f"as {PIPES} says" if own else "no"
        if device != "cpu":
            print(f"processes side by side: {together}")
        for processes in args.processes:
            rows.append(measured(processes, args, device))
            busy = rows[-1]["gpu_busy_percent"]
            share = "not measured" if busy is None else f"{busy:.0f}%"
            print(
                f"{processes} processes: {rows[-1]['tickets_per_hour']:.1f} tickets/h, "
                f"{rows[-1]['seconds_after_the_first']:.1f} s counted, GPU busy {share}", flush=True,
            )  # fmt: skip
    if args.out:
        versions = {"python": platform.python_version(), "torch": torch.__version__, "device": where}
        versions["side by side"] = together
        settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()}
        args.out.write_text(json.dumps({"settings": settings, "versions": versions, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
