"""Independent random streams: one explicit generator per purpose, so that drawing one thing never shifts another."""

from __future__ import annotations

import hashlib

import torch


def stream(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator that depends on ``seed`` and ``purpose`` only (for example ``stream(0, "order")``)."""
    drawn = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(drawn[:8], "big") >> 1)
