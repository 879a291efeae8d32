"""Gradient descent on exact rational instances: the loop itself, on the gradient of the loss, without rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flint import fmpq, fmpq_mat

from unilth.theory.exact import (
    Number,
    column,
    identity,
    matrix,
    positive_definite,
    positive_semidefinite,
    rational,
    symmetric,
)


@dataclass(frozen=True, eq=False)
class Descent:
    """L(w) = (w-w*)'H(w-w*)/2, a start w0 and step sizes. H need not be symmetric: then its gradient is that of L."""

    name: str
    hessian: fmpq_mat
    minimiser: fmpq_mat
    start: fmpq_mat
    steps: tuple[fmpq, ...]

    def __str__(self) -> str:
        rows = ", ".join(str([str(x) for x in row]) for row in self.hessian.tolist()).replace("'", "")
        w, v = (", ".join(str(x) for x in m.entries()) for m in (self.minimiser, self.start))
        return f"{self.name}: H = [{rows}], w* = ({w}), w0 = ({v}), steps {[str(e) for e in self.steps]}"

    @property
    def curvature(self) -> fmpq_mat:
        """The Hessian of L."""
        return (self.hessian + self.hessian.transpose()) / fmpq(2)

    def iterates(self) -> list[fmpq_mat]:
        """w_0 ... w_k by the loop w <- w - e_j grad L(w)."""
        out = [self.start]
        for step in self.steps:
            out.append(out[-1] - self.curvature * (out[-1] - self.minimiser) * step)
        return out

    def factor(self, step: fmpq) -> fmpq_mat:
        """I - e H."""
        return identity(self.hessian.nrows()) - self.hessian * step

    def product(self) -> fmpq_mat:
        """The product of I - e_j H over all steps."""
        out = identity(self.hessian.nrows())
        for step in self.steps:
            out = self.factor(step) * out
        return out

    def kernel(self) -> list[fmpq_mat]:
        """A basis of ker(H)."""
        reduced, rank = self.hessian.rref()
        n = self.hessian.nrows()
        pivots = [next(j for j in range(n) if reduced[i, j] != 0) for i in range(rank)]
        out = []
        for free in (j for j in range(n) if j not in pivots):
            entries = [fmpq(int(j == free)) for j in range(n)]
            for i, p in enumerate(pivots):
                entries[p] = -reduced[i, free]
            out.append(column(entries))
        return out


def descent(
    name: str, hessian: list[list[Number]], minimiser: list[Number], start: list[Number], steps: Sequence[Number]
) -> Descent:
    return Descent(name, matrix(hessian), column(minimiser), column(start), tuple(rational(e) for e in steps))


def is_symmetric(d: Descent) -> bool:
    return symmetric(d.hessian)


def is_psd(d: Descent) -> bool:
    return positive_semidefinite(d.hessian)


def steps_positive(d: Descent) -> bool:
    return all(e > 0 for e in d.steps)


def steps_below_one(d: Descent) -> bool:
    """e_j lambda < 1 for every step and every eigenvalue: I - e_j H is positive definite."""
    return all(positive_definite(d.factor(e)) for e in d.steps)


def steps_up_to_one(d: Descent) -> bool:
    """e_j lambda <= 1 for every step and every eigenvalue."""
    return all(positive_semidefinite(d.factor(e)) for e in d.steps)


def squared_norm(vector: fmpq_mat) -> fmpq:
    return sum((x * x for x in vector.entries()), fmpq(0))


PAIR = descent("a coupled pair", [[2, 1], [1, 2]], [1, -2], [0, 0], ["1/4"] * 3)
SINGULAR = descent("a singular H", [[1, 1, 0], [1, 1, 0], [0, 0, 2]], [3, 1, -1], [1, -2, "1/2"], ["1/3"] * 4)
SCHEDULED = descent(
    "a step schedule", [[2, -1, 0], [-1, 2, -1], [0, -1, 2]], [1, 2, 3], [0, 5, -1], ["1/4", "1/8", "1/5", "1/7"]
)
FLAT = descent("no curvature at all", [[0, 0], [0, 0]], [1, 1], [2, -1], ["1/2", 3])
SOUND = (PAIR, SINGULAR, SCHEDULED, FLAT)
SKEWED = descent("H not symmetric", [[2, 1], [0, 1]], [3, 1], [0, 0], ["1/5"] * 2)
