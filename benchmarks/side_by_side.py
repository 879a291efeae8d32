"""Images per second of several of our training loops side by side on one device, beside one standard loop, in one run.

    python benchmarks/side_by_side.py [--processes 14] [--network resnet20] [--batch 128] [--steps 100] [--seconds 10]
                                      [--rounds 3] [--workers 16] [--device cuda|cpu] [--precision bfloat16|float32]

Both loops are those of `training_step.py`, each in processes of its own that were started before and have trained one
epoch; the others wait meanwhile and use nothing. In every round our processes train for so many seconds at the same
time, then the standard loop does, alone, with its loader's workers. Ours count from the first's beginning to the last's
end. On a GPU our processes work side by side where NVIDIA's multi-process service is installed (`sims/shared_gpu.py`);
the standard loop has the GPU as a process without the service has it. Where CUDA_MPS_PIPE_DIRECTORY is set, all do as
it says.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import IO

import numpy as np
import torch
from training_step import ours, standard

from unilth.sims.graphs import Graphs
from unilth.sims.shared_gpu import side_by_side


def serve(args: argparse.Namespace) -> None:
    """A process that trains whenever it is told for how many seconds, and says from when to when and how much."""
    draw, count = np.random.default_rng(0), args.batch * args.steps
    images, labels = draw.integers(0, 256, (count, 3, 32, 32), np.uint8), draw.integers(0, 10, count)
    if args.child == "ours":
        torch.set_num_threads(1)  # there are others beside it
        recorder = Graphs(torch.device(args.device)) if args.device == "cuda" else None
        training = ours(args.network, images, labels, args, recorder)

        def epoch() -> object:
            return training._epoch(0)
    else:
        epoch = standard(args.network, images, labels, args)
    epoch()
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        began, done = time.monotonic(), 0
        while time.monotonic() < began + float(line):
            epoch()
            if args.device == "cuda":
                torch.cuda.synchronize()
            done += count
        print(json.dumps([began, time.monotonic(), done]), flush=True)


def heard(process: subprocess.Popen[str]) -> list[float]:
    """What a process says next; SystemExit where it ended instead."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"a process ended with exit code {process.wait()}; what it said is above")
    answer: list[float] = json.loads(line)
    return answer


def speed(processes: list[subprocess.Popen[str]], seconds: float) -> float:
    """Images per second of processes that train at the same time."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(f"{seconds}\n")
        process.stdin.flush()
    answers = [heard(process) for process in processes]
    began, ended, done = zip(*answers, strict=True)
    return sum(done) / (max(ended) - min(began))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet20")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    for name, default in {"processes": 14, "batch": 128, "steps": 100, "rounds": 3, "workers": 16}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--child", choices=("ours", "standard"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        serve(args)
        return
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU here; --device cpu tries the program on a CPU")
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"{len(os.sched_getaffinity(0))} cores"
    print(f"{args.device} ({where}), torch {torch.__version__}, {args.network}, batch {args.batch}, ours in")
    with ExitStack() as stack:
        service = stack.enter_context(side_by_side(args.device == "cuda"))
        together = "" if args.device == "cpu" else " side by side" if service else ", as the environment says"
        print(f"{args.precision}, {args.processes} processes{together}; {args.workers} loader workers", flush=True)

        def started(child: str) -> subprocess.Popen[str]:
            pipes: dict[str, IO[bytes] | int] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            command = [sys.executable, *sys.argv, "--child", child]
            settings = service if child == "ours" else {}
            process = subprocess.Popen(command, env=os.environ | settings, text=True, **pipes)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        mine, theirs = [started("ours") for _ in range(args.processes)], [started("standard")]
        for process in [*mine, *theirs]:
            heard(process)
        rounds = [(speed(mine, args.seconds), speed(theirs, args.seconds)) for _ in range(args.rounds)]
    ratios = [packed / alone for packed, alone in rounds]
    print(f"ours {statistics.median(r[0] for r in rounds):.1f} images/s together, standard", end=" ")
    print(f"{statistics.median(r[1] for r in rounds):.1f}")
    print(f"ratio {statistics.median(ratios):.2f} (each round {', '.join(f'{ratio:.2f}' for ratio in ratios)})")


if __name__ == "__main__":
    main()
