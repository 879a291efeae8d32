"""Runs on a GPU that is a folder, as NVIDIA's multi-process service shows one to its clients. Imported by a worker.

A fault of one client is everybody's: each is told so by whatever it calls next, under whatever name, and until all that
were clients then have ended, nobody new is served and torch counts 0 GPUs.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from unilth.sims.spec import RunSpec

GPU = Path(os.environ["FAKE_GPU"])
ME = GPU / "clients" / str(os.getpid())


class AcceleratorError(RuntimeError):
    """Named like torch's."""


def served() -> bool:
    """Whether this process can use the GPU; the first time that it can makes it a client."""
    if (GPU / "gone").exists():
        return False
    if (GPU / "fault").exists():
        if any(Path("/proc", path.name).exists() for path in (GPU / "clients").iterdir()):
            return False
        for path in [*(GPU / "clients").iterdir(), GPU / "fault"]:
            path.unlink(missing_ok=True)
    ME.touch()
    return True


def synchronize(device: str | None = None) -> None:
    """As CUDA tells of a fault, whosever it was."""
    if not served():
        raise AcceleratorError("CUDA error: unspecified launch failure")


cuda = SimpleNamespace(is_available=served, device_count=lambda: int(served()), synchronize=synchronize)
sys.modules["torch"] = SimpleNamespace(cuda=cuda)  # type: ignore[assignment]


def execute(
    spec: RunSpec, *, data_dir: Path, device: str, checkpoint: Path, say: Callable[[str], None]
) -> tuple[None, dict]:
    """The recipe's name says what happens; each attempt leaves its time in ``data_dir``."""
    with (data_dir / spec.recipe).open("a") as file:
        file.write(f"{time.monotonic()}\n")
    attempts = len((data_dir / spec.recipe).read_text().split())
    time.sleep(0.2)
    if spec.recipe == "breaks-it":
        (GPU / "gone").touch()
    if spec.recipe == "faults" or (spec.recipe == "faults-once" and attempts == 1):
        (GPU / "fault").touch()
        raise AcceleratorError("CUDA error: an illegal memory access was encountered")
    if spec.recipe == "on-the-host":
        time.sleep(1.5)
    else:
        for _ in range(10):
            time.sleep(0.05)
            if not served():
                raise RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED")
    timing = {"seconds": 1.0, "process": os.getpid(), "ended": time.monotonic()}
    return None, {"test": {"accuracy": 1.0}, "device": device, "timing": timing}
