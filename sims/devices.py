"""Which device a run trains on, from what a user writes: auto, cpu, cuda, cuda:N or mps."""

from __future__ import annotations

import torch

from unilth.errors import UserError


def chosen(name: str, number: int = 0) -> str:
    """The torch device that ``name`` stands for in the process that has the ``number`` among those that train.

    ``auto`` is ``cuda`` where there is a GPU and otherwise ``cpu``; ``cuda`` deals the GPUs out in turn, so that more
    processes than GPUs share them evenly. ``mps``, an Apple GPU, is never chosen by itself: nobody has tried it.
    UserError for a device that is not here.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if count else "cpu"
    if name == "mps" and not torch.backends.mps.is_available():
        raise UserError("device 'mps': torch sees no Apple GPU here; give auto or cpu")
    if name in ("cpu", "mps"):
        return name
    kind, _, index = name.partition(":")
    if kind != "cuda" or not (name == kind or (index.isascii() and index.isdigit())):
        raise UserError(f"device must be auto, cpu, cuda, cuda:N or mps, not {name!r}")
    if not count:
        raise UserError(f"device {name!r}: torch sees no GPU here; give auto or cpu")
    if index and int(index) >= count:
        raise UserError(f"device {name!r}: torch sees {count} GPUs here, the last is cuda:{count - 1}")
    return f"cuda:{int(index) if index else number % count}"


def used(name: str, number: int = 0) -> str:
    """The device that is `chosen`, in use by this process from now on; UserError also where it cannot be used."""
    device = chosen(name, number)
    if wrong := trouble(device):
        raise UserError(f"device {device!r} cannot be used: {wrong}")
    return device


def trouble(device: str) -> str:
    """What an NVIDIA GPU says that no longer does, or never did, what this process asks of it; "" for what does.

    A fault stays in the process that it happened in, whichever library noticed it and whatever that called it.
    """
    if not device.startswith("cuda"):
        return ""
    try:
        torch.cuda.synchronize(device)
    except (RuntimeError, AssertionError) as error:  # the second where torch was built without CUDA
        return " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return ""
