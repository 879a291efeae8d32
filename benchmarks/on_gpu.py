"""Everything that is to be measured on a GPU (docs/gpu.md), in this order, within so many minutes.

    python benchmarks/on_gpu.py --data-dir DIR --out DIR [--minutes 10] [--only NAME ...] [--workers 8]
                                [--device cuda|cpu]

Each step is a command of its own with a limit; what it prints goes to DIR/NAME.txt. The last one, the comparison on
CIFAR-10, gets whatever time is left, and `unilth table` then makes its records and its table of the runs that are
finished. The same command again on the same device repeats no step that ended well and goes on with the comparison.
Exit code 0 if every step that was begun ended well, 1 otherwise. ``--device cpu`` tries the steps on a CPU, as small as
they go; the next call on a GPU does all of them, also with the same DIR.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

HERE = Path(__file__).parent
LEAST = 20  # seconds below which no step is begun
GRACE = 20  # seconds that an interrupted step has to end by itself


@dataclass(frozen=True)
class Step:
    """One command, how many seconds it may take at most, and whether running out of time is the usual end."""

    name: str
    argv: tuple[str, ...]
    limit: float
    open_end: bool = False


def steps(args: argparse.Namespace) -> Iterator[Step]:
    """What is measured, the most urgent first."""
    gpu, data, out = args.device == "cuda", ("--data-dir", str(args.data_dir)), args.out
    yield Step("tests", ("-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", str(HERE.parent / "tests")), 180)
    for batch in (128, 512) if gpu else (16,):
        size = ("100", "16") if gpu else ("2", "0")
        more = ("--batch", str(batch), "--steps", size[0], "--workers", size[1], "--device", args.device)
        more += () if gpu else ("--networks", "resnet20")
        yield program("training_step", f"speed-{batch}", 90, *more, "--precision", "bfloat16")
    more = () if gpu else ("--steps", "2", "--workers", "0", "--seconds", "1", "--processes", "2")
    for batch, limit in ((128, 150), (512, 210)) if gpu else ((16, 150),):
        where = ("--device", args.device, "--batch", str(batch))
        yield program("side_by_side", f"side-by-side-{batch}", limit, *where, *more)
    small = ("--data", "digits", "--network", "conv-small", "--precision", "float32", "--epochs", "30")
    where = ("--device", args.device, *data, *(() if gpu else small))
    counts = ("1", "2", "4", "8") if gpu else ("1", "2")
    yield program("packed_sweep", "packed", 150, *where, "--out", str(out / "packed.json"), "--processes", *counts)
    where += ("--apart", "--out", str(out / "apart.json"))
    yield program("packed_sweep", "apart", 120, *where, "--processes", counts[-1])
    pairs = () if gpu else ("--network", "lenet-300-100", "--pairs", "2", "--examples", "8")
    where = ("--device", args.device, *data, "--out", str(out / "curvature.json"))
    yield program("endpoints_curvature", "curvature", 300, *where, *pairs)
    real = ("--network", "resnet20", "--data", "cifar10", "--batch", "128", "--epochs", "10", "--precision", "bfloat16")
    where = ("--device", args.device, *data, "--out", str(out / "repeats.json"))
    yield program("repeats", "repeats", 90, *where, "--repeats", "3", *(real if gpu else ("--epochs", "2")))
    campaign = compared(args)
    runs = ("-m", "unilth", "sweep", campaign, *data, "--out", str(out / "runs" / campaign), "--device", args.device)
    yield Step("comparison", (*runs, "--workers", str(args.workers)), float("inf"), open_end=True)


def compared(args: argparse.Namespace) -> str:
    """The campaign of the comparison; its runs, records and table have a folder of its name."""
    return "cifar10-resnet20" if args.device == "cuda" else "digits-quick"


def program(file: str, name: str, limit: float, *argv: str) -> Step:
    """A program of this folder."""
    return Step(name, (str(HERE / f"{file}.py"), *argv), limit)


def run(step: Step, seconds: float, log: Path) -> int | None:
    """The exit code of a step, or None where its time was over; then it is interrupted as Ctrl-C does."""
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, *step.argv], stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            return None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def table(out: Path, campaign: str) -> int | None:
    """Records and table of the comparison as far as it is."""
    kept = out / "comparison" / campaign
    argv = ("-m", "unilth", "table", str(out / "runs" / campaign), "--baseline", "dense", "--keep", str(kept))
    return run(Step("table", (*argv, "--markdown", str(kept / "table.md")), 60), 60, out / "table.txt")


def same(earlier: Mapping[str, object], step: Mapping[str, object]) -> bool:
    """Whether an earlier call has done this very step: its command on its device, to a good end."""
    return earlier.get("exit_code") == 0 and all(earlier.get(key) == step[key] for key in ("command", "device"))


def read(path: Path) -> dict[str, dict[str, object]]:
    """What earlier calls measured; nothing where the file is missing or is none of ours."""
    try:
        return dict(json.loads(path.read_text())["steps"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def main() -> int:
    """Measure, and say at each step how it ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU here; --device cpu tries the steps on a CPU")
    if not args.data_dir.is_dir():
        parser.error(f"--data-dir {args.data_dir} is no folder")
    chosen = list(steps(args))
    unknown = sorted(set(args.only or ()) - {step.name for step in chosen})
    if unknown:
        parser.error(f"there is no step {unknown[0]!r}: give {', '.join(step.name for step in chosen)}")
    args.out.mkdir(parents=True, exist_ok=True)
    summary = args.out / "summary.json"
    done, well = read(summary), True
    name = torch.cuda.get_device_name() if args.device == "cuda" else "cpu"
    where = {"device": name, "torch": torch.__version__, "python": platform.python_version()}
    end = time.monotonic() + 60 * args.minutes
    for step in chosen:
        if args.only and step.name not in args.only:
            continue
        this = {"command": " ".join(step.argv), **where}
        if same(done.get(step.name, {}), this) and not step.open_end:
            print(f"{step.name}: done before")
            continue
        left = end - time.monotonic() - GRACE * (2 if step.open_end else 1)
        if left < LEAST:
            print(f"{step.name}: no time left")
            continue
        began = time.monotonic()
        code = run(step, min(step.limit, left), args.out / f"{step.name}.txt")
        if step.open_end and table(args.out, compared(args)) != 0:
            code = 1
        seconds = round(time.monotonic() - began, 1)
        done[step.name] = {**this, "seconds": seconds, "exit_code": code}
        well = well and (code == 0 or (code is None and step.open_end))
        how = {0: "ended well", None: "time was over"}.get(code, f"exit code {code}")
        print(f"{step.name}: {how} after {seconds} s, see {args.out / f'{step.name}.txt'}", flush=True)
        summary.write_text(json.dumps({"steps": done}, indent=1) + "\n")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
