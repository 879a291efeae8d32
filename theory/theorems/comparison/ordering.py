"""Order logic of two curves that cross at most once, by enumeration of every order pattern.

Coordinates are listed by increasing eigenvalue. A filter has an effective parameter A_i there, strictly decreasing in
i; the Wiener filter has W_i. A constant parameter a is coordinatewise at least as close to W as A is iff it lies in
every interval [min(A_i, W_i), max(A_i, W_i)], because filters are monotone in their parameter. Intervals of the line
have a common point iff every two of them do (Helly in one dimension: the largest lower end and the smallest upper end
belong to one pair), so only pairs of coordinates matter, and of a pair only the order of four numbers.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations, combinations_with_replacement, product

from unilth.theory.evidence import Evidence, Level


def common_parameter(filter_ranks: tuple[int, ...], wiener_ranks: tuple[int, ...]) -> int | None:
    """The rank of a parameter that lies between A_i and W_i in every coordinate, None if there is none."""
    pairs = list(zip(filter_ranks, wiener_ranks, strict=True))
    lowest, highest = max(min(pair) for pair in pairs), min(max(pair) for pair in pairs)
    return lowest if lowest <= highest else None


def no_farther(parameter: int, filter_rank: int, wiener_rank: int) -> bool:
    """Whether `parameter` is between the filter's and the Wiener filter's, so that no monotone filter gets farther."""
    return min(filter_rank, wiener_rank) <= parameter <= max(filter_rank, wiener_rank)


@cache
def crossing(what: str, *, wiener_nondecreasing: bool, up_to: int = 3) -> Evidence:
    """Every order pattern of d = 2, ..., `up_to` coordinates: one parameter serves all, and differs from some A_i.

    d = 2 is the proof for every d (Helly); the next one is enumerated because it costs little. Without
    `wiener_nondecreasing` the Wiener ranks are arbitrary and d = 2 already has a pattern without common parameter.
    """
    patterns = 0
    for d in range(2, up_to + 1):
        levels = range(2 * d)  # as many values as numbers: every weak order occurs
        if wiener_nondecreasing:
            targets = list(combinations_with_replacement(levels, d))
        else:
            targets = list(product(levels, repeat=d))
        for decreasing in combinations(reversed(levels), d):
            for target in targets:
                patterns += 1
                shared = common_parameter(decreasing, target)
                if shared is None:
                    detail = f"no common parameter for A ranked {decreasing} and W ranked {target}"
                    return Evidence(what, Level.EXHAUSTIVE, False, f"d={d}", detail)
                served = all(no_farther(shared, a, w) for a, w in zip(decreasing, target, strict=True))
                if not served or all(shared == a for a in decreasing):
                    detail = f"parameter {shared} is not strictly closer for A ranked {decreasing}, W ranked {target}"
                    return Evidence(what, Level.EXHAUSTIVE, False, f"d={d}", detail)
    return Evidence(
        what, Level.EXHAUSTIVE, True, f"all {patterns} order patterns of 2 to {up_to} coordinates; Helly beyond"
    )
