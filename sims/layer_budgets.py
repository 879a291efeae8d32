"""How many weights each layer keeps where layers are not equally sparse: Erdos-Renyi-Kernel and balanced.

Every weight of the budget is given out: what a layer cannot take because it is full goes to the others, and fractions
are settled by largest remainder, ties by name. So the budgets always sum to what was asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction

Shapes = Mapping[str, tuple[int, ...]]


def erk(shapes: Shapes, kept: int) -> dict[str, int]:
    """Density proportional to (fan_out + fan_in + kernel sides) / their product, at most 1 (Evci et al. 2020, RigL)."""
    return _dealt(_sizes(shapes), {name: sum(shape) for name, shape in shapes.items()}, kept)


def balanced(shapes: Shapes, kept: int) -> dict[str, int]:
    """The same number in every layer; a layer that is smaller keeps all of its weights."""
    return _dealt(_sizes(shapes), dict.fromkeys(shapes, 1), kept)


BUDGETS: dict[str, Callable[[Shapes, int], dict[str, int]]] = {"erk": erk, "balanced": balanced}


def _sizes(shapes: Shapes) -> dict[str, int]:
    return {name: math.prod(shape) for name, shape in shapes.items()}


def _dealt(sizes: Mapping[str, int], shares: Mapping[str, int], kept: int) -> dict[str, int]:
    """``kept`` dealt out in proportion to ``shares``, at most ``sizes``; 0 <= kept <= sum(sizes)."""
    full: set[str] = set()
    while True:  # at least one more layer is full in every pass
        open_ = [name for name in sorted(sizes) if name not in full]
        left = kept - sum(sizes[name] for name in full)
        total = sum(shares[name] for name in open_)
        exact = {name: Fraction(left * shares[name], total) for name in open_}
        over = {name for name in open_ if exact[name] >= sizes[name]}
        if not over:
            break
        full |= over
    dealt = {name: sizes[name] if name in full else math.floor(exact[name]) for name in sizes}
    by_remainder = sorted(open_, key=lambda name: (dealt[name] - exact[name], name))
    for name in by_remainder[: kept - sum(dealt.values())]:
        dealt[name] += 1
    return dealt
