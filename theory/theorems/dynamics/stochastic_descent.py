r"""Stochastic gradient descent is gradient descent on average, plus a variance (catalogue T4.2).

Statement: minibatches drawn uniformly with replacement from fixed data: E w_k = GD_k exactly for every k and step
    schedule, and E||w_k - \beta||^2 = ||GD_k - \beta||^2 + tr Cov(w_k) for every \beta. Hence, from 0 with k steps of
    one size \varepsilon and \varepsilon s <= 1 for every eigenvalue s of X'X/n, for y = X\beta + noise (independent,
    mean 0, one variance): Risk(SGD_k) <= C_k^2 Risk(ridge(1/(\varepsilon k))) + E tr Cov(w_k), C_k of T4.1.
Assumptions: batches uniform; with replacement (independent of each other); for the inequality: constant steps;
    \varepsilon s <= 1.
Source: Ali, Dobriban and Tibshirani, ICML 2020, arXiv 2003.07802; the exact identity: folklore.
Bound: identity.
Proof: the step is affine in w and the batch is independent of w, so E w_{j+1} is the descent step from E w_j;
    bias-variance decomposition, then T4.1 for the risk of descent.
Evidence: every path of a finite set, in exact rationals (27 paths for three samples and three steps), and every sign
    of the noise; SymPy for the step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import permutations, product

import sympy

from unilth.theory.evidence import Drop, Evidence, Level, Statement, Theorem
from unilth.theory.exact import column, identity, matrix, positive_semidefinite, rational
from unilth.theory.theorems.dynamics.descent_risk import THEOREM as DESCENT_RISK
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


@dataclass(frozen=True)
class Noisy:
    """A run whose outputs are X truth plus a noise of +deviation or -deviation per sample, every sign alike."""

    run: Run
    truth: Vector
    deviation: Fraction

    def __str__(self) -> str:
        truth, steps = ([str(x) for x in values] for values in (self.truth, self.run.steps))
        return f"{self.run}, beta = {truth}, noise {self.deviation}, steps {steps}"

    def draws(self) -> Iterator[Run]:
        """The run with every possible noise, all equally likely."""
        clean = [sum((a * b for a, b in zip(x, self.truth, strict=True)), Fraction(0)) for x in self.run.inputs]
        for signs in product((-1, 1), repeat=len(clean)):
            outputs = tuple(y + sign * self.deviation for y, sign in zip(clean, signs, strict=True))
            yield replace(self.run, outputs=outputs)

    def ridge(self, outputs: Vector) -> Vector:
        """The ridge estimate with penalty 1/(sum of steps)."""
        x, n = matrix(self.run.inputs), len(outputs)
        shifted = x.transpose() * x / n + identity(x.ncols()) / rational(sum(self.run.steps, Fraction(0)))
        found = shifted.inv() * (x.transpose() * column(outputs)) / n
        return tuple(Fraction(str(entry)) for entry in found.entries())


def noisy(name: str, inputs: Sequence[str], truth: str, deviation: str, steps: str) -> Noisy:
    rows = [tuple(map(Fraction, row.split())) for row in inputs]
    beta, sizes = (tuple(map(Fraction, text.split())) for text in (truth, steps))
    share = (Fraction(1, len(rows)),) * len(rows)
    return Noisy(Run(name, tuple(rows), (Fraction(0),) * len(rows), sizes, share), beta, Fraction(deviation))


RISKS = (
    noisy("two samples, 4 paths", ("1 2", "-1 1"), "1 -1/2", "1/2", "1/4 1/4"),
    noisy("three samples, 27 paths", ("1 2", "0 1", "-1 1/2"), "2 1", "1", "1/4 1/4 1/4"),
    noisy("pure noise, one sample, the worst case", ("1",), "0", "1", "1"),
    noisy("samples that are all alike, steps too large", ("1", "1"), "1", "0", "19/10 19/10"),  # violates stable
    noisy("nearly all in the first step", ("1",), "0", "1", "1 1/1000"),  # violates constant
)
HYPOTHESES: dict[str, Callable[[Run], bool]] = {
    "uniform": lambda r: len(set(r.probabilities)) == 1,
    "with-replacement": lambda r: r.replacement,
    "constant": lambda r: True,  # the identities hold for every schedule
    "stable": lambda r: True,
}


def is_stable(r: Run) -> bool:
    """1 - step s >= 0 for every eigenvalue s of X'X/n and every step."""
    x = matrix(r.inputs)
    return positive_semidefinite(identity(x.ncols()) / rational(max(r.steps)) - x.transpose() * x / len(r.inputs))


RISK_HYPOTHESES: dict[str, Callable[[Noisy], bool]] = {
    "uniform": lambda p: HYPOTHESES["uniform"](p.run),
    "with-replacement": lambda p: p.run.replacement,
    "constant": lambda p: len(set(p.run.steps)) == 1,
    "stable": lambda p: is_stable(p.run),
}


def squared(w: Vector, target: Vector) -> Fraction:
    return sum(((a - b) ** 2 for a, b in zip(w, target, strict=True)), Fraction(0))


def mean_of(paths: Sequence[tuple[Fraction, Vector]]) -> Vector:
    return tuple(sum((p * end[i] for p, end in paths), Fraction(0)) for i in range(len(paths[0][1])))


def factor(steps: int) -> Fraction:
    """C_k of T4.1; C_3 there is right to one unit of its last digit, and one unit is added."""
    return DESCENT_RISK.claim.exact(f"C{steps}") + (Fraction(1, 10**13) if steps == 3 else 0)


def risks(p: Noisy) -> tuple[Fraction, Fraction, Fraction]:
    """Risk of SGD, risk of ridge and E tr Cov, over every noise and every path."""
    totals = [Fraction(0)] * 3
    draws = list(p.draws())
    for r in draws:
        paths = list(r.paths())
        mean = mean_of(paths)
        totals[0] += sum((chance * squared(end, p.truth) for chance, end in paths), Fraction(0))
        totals[1] += squared(p.ridge(r.outputs), p.truth)
        totals[2] += sum((chance * squared(end, mean) for chance, end in paths), Fraction(0))
    stochastic, ridge, covariance = (total / len(draws) for total in totals)
    return stochastic, ridge, covariance


def on_risks(p: Noisy, statement: Statement) -> Verdict:
    stochastic, ridge, covariance = risks(p)
    bound = factor(len(p.run.steps)) ** 2 * ridge + covariance
    return stochastic <= bound, f"risk {float(stochastic):.6g}, bound {float(bound):.6g}"


def on_instance(r: Run, statement: Statement) -> Verdict:
    """Mean, mean squared distance and trace of the covariance over every path."""
    paths = list(r.paths())
    mean = mean_of(paths)
    if sum(p for p, _ in paths) != 1:
        return False, "the probabilities do not add up to 1"
    if mean != r.descent():
        return False, f"E w_k = {[str(x) for x in mean]}, GD_k = {[str(x) for x in r.descent()]}"
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
        judged("risk against ridge", statement, RISKS, RISK_HYPOTHESES, on_risks, level=Level.EXHAUSTIVE),
    ]


THEOREM = Theorem(
    id="stochastic-descent",
    catalogue="T4.2",
    title="Stochastic descent is gradient descent on average; its excess over ridge is the trace of its covariance",
    statement=r"\mathbb E\,w_k=GD_k,\quad "
    r"\mathbb E\|w_k-\beta\|^2=\|GD_k-\beta\|^2+\mathrm{tr}\,\mathrm{Cov}(w_k);\quad "
    r"w_0=0,\ \varepsilon_j=\varepsilon,\ 0\le\varepsilon s\le1:\ \mathrm{Risk}(SGD_k)\le "
    r"C_k^2\,\mathrm{Risk}(\mathrm{ridge}(\tfrac1{\varepsilon k}))+\mathbb E\,\mathrm{tr}\,\mathrm{Cov}(w_k)",
    source="Ali, Dobriban and Tibshirani, ICML 2020, arXiv 2003.07802; exact identity folklore",
    bound="identity",
    proof="A sample's step is affine in w and its mean over uniform samples is the full step. The batch is "
    "independent of w_j, so E w_{j+1} is the full step from E w_j: induction. The second identity is bias and "
    "variance; the third adds T4.1, whose hypotheses are a constant step and 0 <= eps s <= 1.",
    check=check,
    near_miss=Drop("with-replacement"),
    witness=lambda: witnessed(RISKS[1], RISK_HYPOTHESES),
    assumptions={
        "uniform": "every sample has the same probability",
        "with-replacement": "batches are drawn anew, independently of the past",
        "constant": "every step has the same size eps (for the comparison with ridge)",
        "stable": "eps s <= 1 for every eigenvalue s of X'X/n (for the comparison with ridge)",
    },
    depends_on=("descent-risk",),
)
