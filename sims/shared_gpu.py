"""Several processes on one GPU side by side: NVIDIA's multi-process service (MPS), where it is installed.

Without it a GPU belongs to one process at a time, and the kernels of a small network leave most of it idle. The service
is a daemon of the user's own; it changes no setting of the GPU and is ended with the process that it was started for.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

CONTROL = "nvidia-cuda-mps-control"
PIPES, LOGS, VISIBLE = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY", "CUDA_VISIBLE_DEVICES"
MOST = 48  # processes that a GPU takes from the service; newer ones take some more
BUSY = 8  # processes side by side were measured to keep a GPU busy; more of them mostly wait for each other
SECONDS = 20  # that the service, or a process that asks whether it serves, may take
IMPORT = 120  # seconds that a process which imports torch may take, from a slow file system too
# Asked in a process of its own, because CUDA may not be in use in one that is to start others. Without a driver there
# is no GPU, and torch need not be imported to say so.
COUNT = """
import ctypes
ctypes.CDLL("libcuda.so.1")
import torch
print(torch.cuda.device_count() if torch.cuda.is_available() else 0)
"""
# A context on the first GPU is what a process gets from the service; 0 from each call says that it does.
ASK = """
import ctypes, sys
cuda, device, context = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(), ctypes.c_void_p()
sys.exit(bool(
    cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0)
    or cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
))
"""
# A daemon outlives whoever started it, so this process waits until its input is closed, which a kill does too.
GUARD = 'cat; echo "quit -t 1" | "$1"; rm -rf "$2"'
QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}


@functools.cache
def gpus(device: str) -> int:
    """How many GPUs the processes that train on ``device`` (auto, cpu, cuda or cuda:N) have; 0 where there is none."""
    if device == "cpu":
        return 0
    with suppress(OSError, subprocess.SubprocessError, ValueError):
        command = [sys.executable, "-P", "-c", COUNT]
        asked = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=IMPORT, check=True)
        return min(int(asked.stdout), 1) if device.startswith("cuda:") else int(asked.stdout)
    return 0


def crowd(workers: int, device: str) -> int:
    """How many of so many processes the fullest GPU gets; 0 where there is none."""
    return -(-workers // gpus(device)) if gpus(device) else 0


def sharing(workers: int, device: str, settings: Mapping[str, str]) -> str:
    """In words, how so many processes share the GPUs with the settings of `side_by_side`; "" where none is shared."""
    most = crowd(workers, device)
    if most < 2:
        return ""
    words = f"{workers} workers on {gpus(device)} GPU{'s' if gpus(device) > 1 else ''}"
    if settings:
        return f"{words}, those on one GPU side by side"
    if PIPES in os.environ:
        return f"{words}, those on one GPU as {PIPES} says"
    why = f"takes {MOST} a GPU" if most > MOST else "is not to be had here"
    return f"{words}, those on one GPU in turn: NVIDIA's multi-process service {why}"


@contextmanager
def side_by_side(wanted: bool) -> Iterator[dict[str, str]]:
    """What the environment of processes must say so that they share the GPUs side by side, while the block runs.

    Nothing where it is not wanted, where the service is not installed or does not serve, and where the user has a
    service of their own (``CUDA_MPS_PIPE_DIRECTORY`` is set): the processes then do as the environment says.
    """
    control = shutil.which(CONTROL)
    if not wanted or control is None or PIPES in os.environ or not _same_numbers():
        yield {}
        return
    with ExitStack() as stack:
        settings = stack.enter_context(_service(control))
        serves = _does([control, "-d"], settings) and _does([sys.executable, "-c", ASK], settings)
        if not serves:
            stack.close()
        yield settings if serves else {}


def _same_numbers() -> bool:
    """Whether the visible GPUs keep their numbers: the service counts them anew, so "0,2" would name another one or
    none to its processes. Names that are no numbers (UUIDs) mean the same to both."""
    visible = [name.strip() for name in os.environ.get(VISIBLE, "").split(",")]
    return all(not name.isdigit() or int(name) == number for number, name in enumerate(visible))


@contextmanager
def _service(control: str) -> Iterator[dict[str, str]]:
    """The settings of a service that may be started in the block; it and its folders are gone afterwards."""
    folder = tempfile.mkdtemp(prefix="unilth-mps-")
    settings = {PIPES: str(Path(folder, "pipes")), LOGS: str(Path(folder, "logs"))}
    environment = os.environ | settings
    guard = subprocess.Popen(
        ["sh", "-c", GUARD, "sh", control, folder], stdin=subprocess.PIPE, env=environment, **QUIET
    )
    try:
        for place in settings.values():
            Path(place).mkdir()
        yield settings
    finally:
        with suppress(subprocess.TimeoutExpired):  # whoever is that slow ends by itself or not at all
            guard.communicate(timeout=SECONDS)


def _does(command: list[str], settings: dict[str, str]) -> bool:
    """Whether a command ends well in time; what it prints is nobody's."""
    with suppress(OSError, subprocess.TimeoutExpired):
        environment = os.environ | settings
        done = subprocess.run(command, stdin=subprocess.DEVNULL, timeout=SECONDS, env=environment, **QUIET)
        return done.returncode == 0
    return False
