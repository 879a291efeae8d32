"""Runs that train nothing, for tests of sweeps: deterministic, some 40 ms, and with every bad habit a run can have."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from unilth.errors import UserError
from unilth.sims.spec import RunSpec


class AcceleratorError(RuntimeError):
    """Named like torch's."""


class Ticket:
    """Two files, written in pieces, so that a kill can land in the middle."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def save(self, folder: Path) -> None:
        for name in ("ticket.safetensors", "ticket.json"):
            with (folder / name).open("wb", buffering=0) as file:
                file.write(self.content[:500])
                time.sleep(0.005)
                file.write(self.content[500:])


def execute(
    spec: RunSpec, *, data_dir: Path, device: str, checkpoint: Path, say: Callable[[str], None]
) -> tuple[Ticket, dict]:
    """The recipe's name says what happens. Leaves its process id in ``data_dir``, for those who want to kill it."""
    (data_dir / "pids").mkdir(exist_ok=True)
    (data_dir / "pids" / str(os.getpid())).touch()
    began = time.perf_counter()
    if spec.recipe == "raises":
        raise RuntimeError("the loss is\nno number")
    if spec.recipe == "dies" or (spec.recipe == "dies-once" and not (data_dir / "died").exists()):
        (data_dir / "died").touch()
        print("these are its last words", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if spec.recipe == "loses-its-gpu" and not (data_dir / "lost").exists():
        (data_dir / "lost").touch()
        try:
            raise AcceleratorError("CUDA error: an illegal memory access was encountered")
        except AcceleratorError as error:
            raise UserError("the network fails on a batch of 128") from error
    if spec.recipe == "says":
        say(f"the checkpoint {checkpoint.name} is damaged")
    if spec.recipe == "prints":
        print('{"event": "done", "seconds": "a lie"}', flush=True)
    time.sleep(0.03 if spec.recipe != "sleeps" else 60)
    numbers = [byte / 255 for byte in hashlib.sha256(spec.to_json().encode()).digest()]
    record = {"test": {"accuracy": numbers[0]}, "epochs": [{"loss": number} for number in numbers]}
    timing = {"seconds": time.perf_counter() - began, "process": os.getpid()}
    return Ticket(repr(numbers).encode() * 2), record | {"timing": timing}


def slow(
    spec: RunSpec, *, data_dir: Path, device: str, checkpoint: Path, say: Callable[[str], None]
) -> tuple[Ticket, dict]:
    """The same in a second and a half, so that there is time to interrupt it."""
    time.sleep(1.5)
    return execute(spec, data_dir=data_dir, device=device, checkpoint=checkpoint, say=say)


def noted(spec: RunSpec, *, data_dir: Path, **given: object) -> tuple[Ticket, dict]:
    """The same after a while, which it notes."""
    time.sleep({"dies": 0.0, "lth": 4.0}.get(spec.recipe, 0.5))
    with (data_dir / f"{spec.recipe}.times").open("a") as file:
        file.write(f"{time.monotonic()}\n")
    return execute(spec, data_dir=data_dir, **given)  # type: ignore[arg-type]


def refuses(specs: list[RunSpec], *, data_dir: Path, known: list) -> None:
    """A check that finds something."""
    raise UserError(f"of {len(specs)} specs the first has an unknown recipe")


def check_dies(specs: list[RunSpec], *, data_dir: Path, known: list) -> None:
    """As if the machine had no memory for the data."""
    os.kill(os.getpid(), signal.SIGKILL)


def check_fails(specs: list[RunSpec], *, data_dir: Path, known: list) -> None:
    """A check with a mistake of its own."""
    raise AttributeError("'NoneType' object has no\nattribute 'training'")


def check_leaves(specs: list[RunSpec], *, data_dir: Path, known: list) -> None:
    """As if a library ended the process."""
    print("nothing more can be done", flush=True)
    raise SystemExit(7)
