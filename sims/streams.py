"""Independent random streams: one explicit generator per purpose, so that drawing one thing never shifts another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def stream(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator that depends on ``seed`` and ``purpose`` only (for example ``stream(0, "order")``)."""
    drawn = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(drawn[:8], "big") >> 1)


@contextmanager
def seeded_layers(seed: int) -> Iterator[None]:
    """Layers that draw for themselves (dropout) take no generator; meanwhile the global one is ours, then as it was."""
    cuda = _cuda()
    before, devices = torch.get_rng_state(), torch.cuda.get_rng_state_all() if cuda else []
    seed_layers(seed)
    try:
        yield
    finally:
        torch.set_rng_state(before)
        if cuda:
            torch.cuda.set_rng_state_all(devices)


def seed_layers(seed: int) -> None:
    """Inside `seeded_layers`: the global generators stand where a run starts them."""
    torch.set_rng_state(stream(seed, "layers").get_state())
    if _cuda():
        drawn = torch.Generator("cuda").manual_seed(stream(seed, "layers").initial_seed())
        torch.cuda.set_rng_state_all([drawn.get_state()] * torch.cuda.device_count())


def _cuda() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_initialized()
