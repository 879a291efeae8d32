"""Several processes on one GPU side by side: NVIDIA's multi-process service (MPS), where it is installed.

Without it a GPU belongs to one process at a time, and the kernels of a small network leave most of it idle. The service
is a daemon of the user's own; it changes no setting of the GPU and is ended with the processes that it was started for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CONTROL = "nvidia-cuda-mps-control"
PIPES, LOGS = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
SECONDS = 20  # that the service, or a process that asks whether it serves, may take
# A context on the first GPU is what a process gets from the service; 0 from each call says that it does.
ASK = """
import ctypes, sys
cuda, device, context = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(), ctypes.c_void_p()
sys.exit(bool(
    cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0)
    or cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
))
"""


@contextmanager
def side_by_side(wanted: bool) -> Iterator[dict[str, str]]:
    """What the environment of processes must say so that they share the GPUs side by side, while the block runs.

    Nothing where it is not wanted, where the service is not installed or does not serve, and where the user has a
    service of their own (``CUDA_MPS_PIPE_DIRECTORY`` is set): the processes then do as the environment says.
    """
    control = shutil.which(CONTROL)
    if not wanted or control is None or PIPES in os.environ:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="unilth-mps-", ignore_cleanup_errors=True) as folder:
        settings = {PIPES: str(Path(folder, "pipes")), LOGS: str(Path(folder, "logs"))}
        for place in settings.values():
            Path(place).mkdir()
        try:
            serves = _does([control, "-d"], settings) and _does([sys.executable, "-c", ASK], settings)
            yield settings if serves else {}
        finally:
            _does([control], settings, "quit -t 1\n")


def _does(command: list[str], settings: dict[str, str], text: str = "") -> bool:
    """Whether a command ends well in time; what it prints is nobody's."""
    with suppress(OSError, subprocess.TimeoutExpired):
        nowhere = subprocess.DEVNULL
        return not subprocess.run(
            command, input=text, text=True, stdout=nowhere, stderr=nowhere, timeout=SECONDS, env=os.environ | settings,
            start_new_session=True,
        ).returncode  # fmt: skip
    return False
