"""A broken twin: a variant with one real mistake, and the invariants that must catch it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Twin:
    """One row of the kill matrix.

    Attributes:
        target: the decorated, broken function.
        mistake: what is wrong, and who published it.
        kills: ids of exactly the invariants that it violates (those that are blocked behind them do not count).
        budget: the smallest budget at which it is caught.
        second_device: it is caught only on a machine with a device beside the CPU.
    """

    target: Callable[..., Any]
    mistake: str
    kills: tuple[str, ...]
    budget: str = "quick"
    second_device: bool = False

    @property
    def name(self) -> str:
        """The twin's name, the function's."""
        return self.target.__name__
