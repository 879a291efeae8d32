"""The free algebra proves true identities, refuses false ones, and agrees with numbers."""

from fractions import Fraction

import numpy as np
import pytest

from unilth.theory.blocks import BLOCKS, A, B, C, D, R, S, a, b, c, l, u
from unilth.theory.words import Algebra, Expression, letters


def test_sums_and_products():
    x, y = letters("x y")
    assert (x + y) * (x - y) == x * x - x * y + y * x - y * y
    assert 2 * x - x == x
    assert (x - x).terms == {}
    assert 1 + x - 1 == x
    assert str(x - x) == "0"
    assert str(Fraction(1, 2) * x * y) == "1/2 x y"


def test_rules_are_applied_until_none_applies():
    x, y, z = letters("x y z")
    algebra = Algebra(rules={"x y": Expression({(): Fraction(1)})})
    assert algebra.normal(x * x * y * y * z) == z
    assert algebra.equal(x * y * z, z)
    assert not algebra.equal(y * x, x * y)


def test_scalars_move_to_the_front():
    x, s = letters("x s")
    assert Algebra(rules={}, central="s").equal(x * s * x, s * x * x)
    assert not Algebra(rules={}).equal(x * s, s * x)


def test_transpose_and_derivative():
    assert BLOCKS.transpose(A * B * c) == C * b * A
    assert BLOCKS.derivative(l * R) == R - l * R * R
    assert BLOCKS.derivative(A * u).terms == {}


def blocks_of(rng: np.random.Generator) -> dict[str, np.ndarray]:
    root = rng.normal(size=(7, 5))
    h, m = root.T @ root, 2
    aa, bb, dd, lam = h[:m, :m], h[:m, m:], h[m:, m:], 0.7
    inverse = np.linalg.inv(aa)
    r = np.linalg.inv(dd - bb.T @ inverse @ bb + lam * np.eye(3))
    return {"A": aa, "a": inverse, "B": bb, "b": bb.T, "D": dd, "R": r, "l": lam}


def value(expression: Expression, numbers: dict[str, np.ndarray], size: int) -> np.ndarray:
    total = np.zeros((size, size))
    for word, factor in expression.terms.items():
        product = np.eye(size) * float(factor)
        for letter in word:
            product = product * numbers[letter] if letter == "l" else product @ numbers[letter]
        total = total + product
    return total


@pytest.mark.parametrize("expression", [R * D, D * R * D, R * S, S * R * R * S, R * D * R * b * a * B], ids=str)
def test_normal_forms_have_the_same_value(expression):
    numbers = blocks_of(np.random.default_rng(1))
    assert np.allclose(value(expression, numbers, 3), value(BLOCKS.normal(expression), numbers, 3))


def test_the_rules_are_confluent_where_they_overlap():
    left = BLOCKS.normal(BLOCKS.normal(D * R) * D)
    right = BLOCKS.normal(D * BLOCKS.normal(R * D))
    assert left == right


def test_a_false_identity_is_not_shown():
    assert BLOCKS.equal(S * R, R * S)
    assert not BLOCKS.equal(S * R, 1 + l * R)
    assert not BLOCKS.equal(C * D * c - C * S * c, 2 * (C * b * a * B * c))
