"""The global generators of torch, NumPy and Python: the kit sets them to catch who reads them, and puts them back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def global_state(seed: int) -> Iterator[None]:
    """Seed the global generators of torch, NumPy and Python for the block, and put their states back afterwards.

    A number is drawn from each, so that no seed that a variant sets itself leaves them as it found them.
    """
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        torch.default_generator.manual_seed(seed)  # torch.manual_seed formats three stack traces for devices
        np.random.seed(seed)  # noqa: NPY002  the probe must set what a careless variant reads
        random.seed(seed)
        torch.rand((), generator=torch.default_generator), np.random.random(), random.random()  # noqa: NPY002
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        random.setstate(states[2])


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread for the block: tiny problems run faster, and sums do not end in other bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fingerprint() -> tuple[Any, ...]:
    """The states of the global generators, comparable with ``==``."""
    state: Any = np.random.get_state(legacy=True)  # noqa: NPY002
    name, keys, position, gauss, cached = state
    return torch.get_rng_state().numpy().tobytes(), (name, keys.tobytes(), position, gauss, cached), random.getstate()


def moved(before: tuple[Any, ...], after: tuple[Any, ...]) -> list[str]:
    """The names of the generators whose states differ."""
    return [name for name, x, y in zip(("torch", "numpy", "random"), before, after, strict=True) if x != y]
