"""Exact rational linear algebra for instances: matrices of fractions through python-flint, decisions without
rounding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from flint import fmpq, fmpq_mat

Number = int | str | Fraction
Rows = Sequence[Sequence[Number]]


def rational(value: Number | fmpq) -> fmpq:
    """An exact rational of an integer, a fraction or a decimal or rational string. Floats are refused."""
    if isinstance(value, fmpq):
        return value
    if isinstance(value, float):
        raise TypeError(f"{value!r} is a float; give a string or a fraction, which say exactly what is meant")
    f = Fraction(value)
    return fmpq(f.numerator, f.denominator)


def matrix(rows: Iterable[Sequence[Number | fmpq]]) -> fmpq_mat:
    """A matrix from its rows."""
    table = [[rational(x) for x in row] for row in rows]
    return fmpq_mat(len(table), len(table[0]), [x for row in table for x in row])


def column(values: Iterable[Number | fmpq]) -> fmpq_mat:
    return matrix([x] for x in values)


def diagonal(values: Sequence[Number | fmpq]) -> fmpq_mat:
    return matrix([[v if i == j else 0 for j in range(len(values))] for i, v in enumerate(values)])


def identity(n: int) -> fmpq_mat:
    return diagonal([1] * n)


def block(m: fmpq_mat, rows: Sequence[int], columns: Sequence[int]) -> fmpq_mat:
    """The block of the given rows and columns; sizes may be 0."""
    return fmpq_mat(len(rows), len(columns), [m[i, j] for i in rows for j in columns])


def form(left: fmpq_mat, m: fmpq_mat, right: fmpq_mat) -> fmpq:
    """left' m right for columns; 0 if they are empty."""
    return (left.transpose() * m * right)[0, 0] if left.nrows() and right.nrows() else fmpq(0)


def symmetric(m: fmpq_mat) -> bool:
    return m == m.transpose()


def positive_definite(m: fmpq_mat) -> bool:
    """Whether x'mx > 0 for every x != 0: all leading minors of the symmetric part are positive."""
    s = m + m.transpose()
    n = s.nrows()
    return all(block(s, range(k), range(k)).det() > 0 for k in range(1, n + 1))


def positive_semidefinite(m: fmpq_mat) -> bool:
    """Whether x'mx >= 0 for every x: the characteristic polynomial of the symmetric part has alternating signs."""
    s = m + m.transpose()
    coefficients = s.charpoly().coeffs()
    n = s.nrows()
    return all(c * (-1) ** (n - k) >= 0 for k, c in enumerate(coefficients))


def schur(h: fmpq_mat, kept: Sequence[int]) -> fmpq_mat:
    """H/H_mm for kept indices m: H_cc - H_cm H_mm^{-1} H_mc. Raises ZeroDivisionError if H_mm is singular."""
    c = [i for i in range(h.nrows()) if i not in kept]
    if not kept:
        return block(h, c, c)
    return block(h, c, c) - block(h, c, kept) * block(h, kept, kept).inv() * block(h, kept, c)
