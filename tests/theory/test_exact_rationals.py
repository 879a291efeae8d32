"""Exact rational matrices against NumPy, and the decisions at their borders."""

from fractions import Fraction

import numpy as np
import pytest
from flint import fmpq

from unilth.theory.exact import (
    block,
    column,
    diagonal,
    form,
    identity,
    matrix,
    positive_definite,
    positive_semidefinite,
    rational,
    schur,
    symmetric,
)


def test_rationals_are_taken_as_written():
    assert rational("0.1") == fmpq(1, 10)
    assert rational("-3/6") == fmpq(-1, 2)
    assert rational(Fraction(2, 4)) == fmpq(1, 2)
    with pytest.raises(TypeError, match="float"):
        rational(0.1)


@pytest.mark.parametrize(
    ("rows", "definite", "semidefinite"),
    [
        ([[1, 0], [0, 1]], True, True),
        ([[1, 1], [1, 1]], False, True),
        ([[1, 1], [1, "1.000001"]], True, True),
        ([[1, 1], [1, "0.999999"]], False, False),
        ([[0, 0], [0, 0]], False, True),
        ([[0, 1], [1, 0]], False, False),
        ([[-1]], False, False),
        ([[2, 4], [-1, 2]], True, True),  # its symmetric part counts
    ],
)
def test_definiteness_is_decided_exactly(rows, definite, semidefinite):
    assert positive_definite(matrix(rows)) is definite
    assert positive_semidefinite(matrix(rows)) is semidefinite


def test_random_definiteness_agrees_with_eigenvalues():
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        root = rng.integers(-3, 4, size=(3, 3))
        h = root + root.T + rng.integers(0, 8) * np.eye(3, dtype=int)
        least = np.linalg.eigvalsh(h)[0]
        if abs(least) > 1e-9:
            assert positive_definite(matrix(h.tolist())) == (least > 0)
            assert positive_semidefinite(matrix(h.tolist())) == (least > 0)
            seen.add(bool(least > 0))
    assert seen == {True, False}


def test_schur_complement_and_blocks():
    h = matrix([[2, 1, 0], [1, 2, 1], [0, 1, 2]])
    assert schur(h, [0]) == matrix([["3/2", 1], [1, 2]])
    assert schur(h, []) == h
    assert block(h, [0, 2], [1]) == column([1, 1])
    assert diagonal([1, 1]) == identity(2)
    assert form(column([1, 2, 3]), h, column([1, 0, 0])) == 4
    assert symmetric(h)
    assert not symmetric(matrix([[1, 2], [3, 4]]))
    with pytest.raises(ZeroDivisionError):
        schur(matrix([[0, 1], [1, 0]]), [0])
