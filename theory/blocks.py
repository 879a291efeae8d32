"""The penalised quadratic in blocks: once as letters (every size at once), once as exact rational instances.

H = [[A, B], [b, D]] with A = H_mm kept, D = H_cc pruned, b = B'; a = A^{-1}; S = D - b a B the Schur complement;
R = (S + l)^{-1} with the penalty l = lambda; w* = (u, c).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flint import fmpq, fmpq_mat

from unilth.theory.exact import Number, Rows, block, column, form, matrix, positive_definite, symmetric
from unilth.theory.words import Algebra, letters

A, a, B, b, D, R, l, u, c, C = letters("A a B b D R l u c C")
S = D - b * a * B
BLOCKS = Algebra(
    rules={"A a": 1 + 0 * A, "a A": 1 + 0 * A, "R D": 1 - l * R + R * b * a * B, "D R": 1 - l * R + b * a * B * R},
    central="l",
    transposed={"B": "b", "u": "U", "c": "C", "y": "Y"},
    derivatives={"l": 1 + 0 * A, "R": -R * R},  # with respect to lambda
)


@dataclass(frozen=True, eq=False)
class Problem:
    """An exact instance: H (n, n), w* (n), the kept indices, and optionally a penalty lambda."""

    name: str
    hessian: fmpq_mat
    minimiser: fmpq_mat
    kept: tuple[int, ...]

    def __str__(self) -> str:
        rows = ", ".join(str([str(x) for x in row]) for row in self.hessian.tolist()).replace("'", "")
        w = ", ".join(str(x) for x in self.minimiser.entries())
        return f"{self.name}: H = [{rows}], w* = ({w}), kept {list(self.kept)}"

    @property
    def pruned(self) -> tuple[int, ...]:
        return tuple(i for i in range(self.hessian.nrows()) if i not in self.kept)

    @property
    def target(self) -> fmpq_mat:
        """w*_c as a column."""
        return block(self.minimiser, self.pruned, [0])

    def part(self, rows: str, columns: str) -> fmpq_mat:
        """The block named by "m" (kept) and "c" (pruned)."""
        index = {"m": self.kept, "c": self.pruned}
        return block(self.hessian, index[rows], index[columns])

    @property
    def coupling(self) -> fmpq_mat:
        """H_mm^{-1} H_mc. Raises ZeroDivisionError if H_mm is singular."""
        return self.part("m", "m").inv() * self.part("m", "c")

    @property
    def schur(self) -> fmpq_mat:
        return self.part("c", "c") - self.part("c", "m") * self.coupling

    def joined(self, pruned: fmpq_mat) -> fmpq_mat:
        """All weights: the pruned ones as given, the kept ones w*_m + B (w*_c - w_c)."""
        kept = block(self.minimiser, self.kept, [0]) + self.coupling * (self.target - pruned)
        out = {i: kept[k, 0] for k, i in enumerate(self.kept)} | {i: pruned[k, 0] for k, i in enumerate(self.pruned)}
        return column([out[i] for i in range(len(out))])

    def weights(self, penalty: fmpq) -> fmpq_mat:
        """The closed form w(lambda). Raises ZeroDivisionError where it is undefined."""
        s = self.schur
        shifted = s + matrix([[penalty if i == j else 0 for j in range(s.nrows())] for i in range(s.nrows())])
        return self.joined(shifted.inv() * s * self.target)

    def loss(self, weights: fmpq_mat) -> fmpq:
        """L(w) = (w-w*)'H(w-w*)/2."""
        d = weights - self.minimiser
        return form(d, self.hessian, d) / 2

    def is_constrained_optimum(self, weights: fmpq_mat) -> bool:
        """Whether `weights` are stationary for L among all weights whose pruned ones are 0."""
        gradient = (self.hessian + self.hessian.transpose()) * (weights - self.minimiser)
        return all(gradient[i, 0] == 0 for i in self.kept) and all(weights[i, 0] == 0 for i in self.pruned)

    def hard_pruned(self, weights: fmpq_mat) -> fmpq_mat:
        return column([weights[i, 0] if i in self.kept else 0 for i in range(weights.nrows())])


def problem(name: str, hessian: Rows, minimiser: Sequence[Number], kept: tuple[int, ...]) -> Problem:
    return Problem(name, matrix(hessian), column(minimiser), kept)


def is_symmetric(p: Problem) -> bool:
    return symmetric(p.hessian)


def is_positive(p: Problem) -> bool:
    """x'Hx > 0 for every x != 0 (of the symmetric part, so that this and symmetry are separate hypotheses)."""
    return positive_definite(p.hessian)


PAIR = problem("a coupled pair", [[2, 1], [1, 1]], [3, 1], (0,))
TRIPLE = problem("three weights, one kept", [[1, 1, -1], [1, 2, -1], [-1, -1, 5]], [0, 2, 1], (0,))
CHAIN = problem(
    "a chain of four", [[2, 1, 0, 0], [1, 3, 1, 0], [0, 1, 2, "1/2"], [0, 0, "1/2", 1]], [1, -1, 2, "1/3"], (1, 3)
)
SEPARATE = problem("no coupling", [[1, 0], [0, 4]], [2, 3], (0,))
SOUND = (PAIR, TRIPLE, CHAIN, SEPARATE)
SKEWED = problem("a positive but not symmetric H", [[2, 1], [0, 1]], [3, 1], (0,))
INDEFINITE = problem("an indefinite H", [[-1, 1], [1, 1]], [3, 1], (0,))
