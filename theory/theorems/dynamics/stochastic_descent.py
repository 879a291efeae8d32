r"""Stochastic gradient descent is gradient descent on average, plus a variance (catalogue T4.2).

Statement: minibatches drawn uniformly with replacement from fixed data: E w_k = GD_k exactly for every k and step
    schedule, and E||w_k - \beta||^2 = ||GD_k - \beta||^2 + tr Cov(w_k) for every \beta. Hence
    Risk(SGD_k) <= C_k^2 Risk(ridge(1/(\varepsilon k))) + E tr Cov(w_k).
Assumptions: batches uniform; with replacement (independent of each other).
Source: Ali, Dobriban and Tibshirani, ICML 2020, arXiv 2003.07802; the exact identity: folklore.
Bound: identity.
Proof: the step is affine in w and the batch is independent of w, so E w_{j+1} is the descent step from E w_j;
    bias-variance decomposition.
Evidence: every path of a finite set, in exact rationals (27 paths for three samples and three steps); SymPy for the
    step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import permutations, product

import sympy

from unilth.theory.evidence import Drop, Evidence, Level, Statement, Theorem
from unilth.theory.verdicts import Verdict, judged, shown, witnessed

Vector = tuple[Fraction, ...]
TARGETS: tuple[Vector, ...] = ((Fraction(0), Fraction(0)), (Fraction(1), Fraction(-2)), (Fraction(1, 3), Fraction(5)))


@dataclass(frozen=True)
class Run:
    """Samples (x, y), step sizes, the probability of each sample, batch size, and whether batches are drawn anew."""

    name: str
    inputs: tuple[Vector, ...]
    outputs: Vector
    steps: Vector
    probabilities: Vector
    batch: int = 1
    replacement: bool = True

    def __str__(self) -> str:
        return f"{self.name}: {len(self.inputs)} samples, batch {self.batch}, {len(self.steps)} steps"

    def gradient(self, w: Vector, samples: Sequence[int]) -> Vector:
        """Mean of x (x'w - y) over the samples."""
        parts = []
        for i in samples:
            error = sum((a * b for a, b in zip(self.inputs[i], w, strict=True)), Fraction(0)) - self.outputs[i]
            parts.append([x * error for x in self.inputs[i]])
        return tuple(sum(column, Fraction(0)) / len(samples) for column in zip(*parts, strict=True))

    def follow(self, batches: Sequence[Sequence[int]]) -> Vector:
        """The end of one path from 0."""
        w: Vector = (Fraction(0),) * len(self.inputs[0])
        for step, samples in zip(self.steps, batches, strict=True):
            w = tuple(a - step * g for a, g in zip(w, self.gradient(w, samples), strict=True))
        return w

    def paths(self) -> Iterator[tuple[Fraction, Vector]]:
        """Every path's probability and end."""
        everyone = range(len(self.inputs))
        if not self.replacement:
            orders = list(permutations(everyone, len(self.steps)))
            yield from ((Fraction(1, len(orders)), self.follow([[i] for i in order])) for order in orders)
            return
        for batches in product(list(product(everyone, repeat=self.batch)), repeat=len(self.steps)):
            chance = Fraction(1)
            for samples in batches:
                for i in samples:
                    chance *= self.probabilities[i]
            yield chance, self.follow(batches)

    def descent(self) -> Vector:
        """Full-batch gradient descent."""
        return self.follow([range(len(self.inputs))] * len(self.steps))


def run(name: str, steps: Sequence[str], **other: object) -> Run:
    inputs = ((Fraction(1), Fraction(2)), (Fraction(0), Fraction(1)), (Fraction(-1), Fraction(1, 2)))
    outputs = (Fraction(3), Fraction(1), Fraction(-2))
    uniform = (Fraction(1, 3),) * 3
    values: dict[str, object] = {"probabilities": uniform, **other}
    return Run(name, inputs, outputs, tuple(map(Fraction, steps)), **values)  # type: ignore[arg-type]


INSTANCES = (
    run("27 paths", ["1/4", "1/4", "1/4"]),
    run("a schedule", ["1/2", "1/3", "1/5", "1/7"]),
    run("batches of two, 81 paths", ["1/4", "1/3"], batch=2),
    run("one sample preferred", ["1/4", "1/4"], probabilities=(Fraction(1, 2), Fraction(1, 4), Fraction(1, 4))),
    run("without replacement, 6 paths", ["1/4", "1/4", "1/4"], replacement=False),
)
HYPOTHESES: dict[str, Callable[[Run], bool]] = {
    "uniform": lambda r: len(set(r.probabilities)) == 1,
    "with-replacement": lambda r: r.replacement,
}


def on_instance(r: Run, statement: Statement) -> Verdict:
    """Mean, mean squared distance and trace of the covariance over every path."""
    paths = list(r.paths())
    mean = tuple(sum((p * end[i] for p, end in paths), Fraction(0)) for i in range(len(paths[0][1])))
    if sum(p for p, _ in paths) != 1:
        return False, "the probabilities do not add up to 1"
    if mean != r.descent():
        return False, f"E w_k = {[str(x) for x in mean]}, GD_k = {[str(x) for x in r.descent()]}"

    def squared(w: Vector, target: Vector) -> Fraction:
        return sum(((a - b) ** 2 for a, b in zip(w, target, strict=True)), Fraction(0))

    trace = sum((p * squared(end, mean) for p, end in paths), Fraction(0))
    for target in TARGETS:
        whole = sum((p * squared(end, target) for p, end in paths), Fraction(0))
        if whole != squared(mean, target) + trace:
            return False, f"E||w-beta||^2 = {whole}, bias and trace give {squared(mean, target) + trace}"
    return trace > 0, "no variance at all: the instance shows nothing"


def check(statement: Statement) -> Sequence[Evidence]:
    w = sympy.Matrix(sympy.symbols("w1 w2"))
    xs = [sympy.Matrix(sympy.symbols(f"x{i}1 x{i}2")) for i in range(3)]
    ys = sympy.symbols("y0 y1 y2")
    eps = sympy.symbols("epsilon")
    per_sample = [w - eps * x * ((x.T * w)[0] - y) for x, y in zip(xs, ys, strict=True)]
    design, outputs = sympy.Matrix([list(x) for x in xs]), sympy.Matrix(ys)
    full = w - eps * design.T * (design * w - outputs) / 3
    mean = sympy.expand((per_sample[0] + per_sample[1] + per_sample[2]) / 3 - full)
    affine = all(sympy.Poly(entry, *w).total_degree() <= 1 for step in per_sample for entry in step)
    data = "any data, n = 3, p = 2 (SymPy)"
    return [
        shown("the mean of the samples' steps is the full step", mean == sympy.zeros(2, 1), data),
        shown("every sample's step is affine in w: means pass through it", affine, data),
        judged("every path", statement, INSTANCES, HYPOTHESES, on_instance, level=Level.EXHAUSTIVE),
    ]


THEOREM = Theorem(
    id="stochastic-descent",
    catalogue="T4.2",
    title="Stochastic descent is gradient descent on average; its excess over ridge is the trace of its covariance",
    statement=r"\mathbb E\,w_k=GD_k,\quad "
    r"\mathbb E\|w_k-\beta\|^2=\|GD_k-\beta\|^2+\mathrm{tr}\,\mathrm{Cov}(w_k);\quad "
    r"\mathrm{Risk}(SGD_k)\le "
    r"C_k^2\,\mathrm{Risk}(\mathrm{ridge}(\tfrac1{\varepsilon k}))+\mathbb E\,\mathrm{tr}\,\mathrm{Cov}(w_k)",
    source="Ali, Dobriban and Tibshirani, ICML 2020, arXiv 2003.07802; exact identity folklore",
    bound="identity",
    proof="A sample's step is affine in w and its mean over uniform samples is the full step. The batch is "
    "independent of w_j, so E w_{j+1} is the full step from E w_j: induction. The second identity is bias and "
    "variance; the third adds T4.1.",
    check=check,
    near_miss=Drop("with-replacement"),
    witness=lambda: witnessed(INSTANCES[0], HYPOTHESES),
    assumptions={
        "uniform": "every sample has the same probability",
        "with-replacement": "batches are drawn anew, independently of the past",
    },
    depends_on=("descent-risk",),
)
