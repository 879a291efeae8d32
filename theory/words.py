"""Identities between matrices of every size, decided in a free algebra.

A letter stands for a block (H_mm, its inverse, H_mc, ...), a word for a product, a rule for what the letters
satisfy (an inverse times its block is 1). Two expressions that reduce to the same normal form are equal for all
blocks of all sizes that satisfy the rules, so one reduction proves what no list of examples can. Coefficients are
exact rationals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

Word = tuple[str, ...]


@dataclass(frozen=True)
class Expression:
    """A sum of words with rational coefficients; zero coefficients are never stored."""

    terms: Mapping[Word, Fraction] = field(default_factory=dict)

    def __add__(self, other: Expression | int | Fraction) -> Expression:
        terms = dict(self.terms)
        for word, factor in _expression(other).terms.items():
            terms[word] = terms.get(word, Fraction(0)) + factor
        return Expression({word: factor for word, factor in terms.items() if factor})

    def __mul__(self, other: Expression | int | Fraction) -> Expression:
        out: dict[Word, Fraction] = {}
        for left, f in self.terms.items():
            for right, g in _expression(other).terms.items():
                out[left + right] = out.get(left + right, Fraction(0)) + f * g
        return Expression({word: factor for word, factor in out.items() if factor})

    def __radd__(self, other: int | Fraction) -> Expression:
        return self + other

    def __rmul__(self, other: int | Fraction) -> Expression:
        return _expression(other) * self

    def __neg__(self) -> Expression:
        return self * -1

    def __sub__(self, other: Expression | int | Fraction) -> Expression:
        return self + -_expression(other)

    def __rsub__(self, other: int | Fraction) -> Expression:
        return _expression(other) - self

    def __str__(self) -> str:
        if not self.terms:
            return "0"
        return " + ".join(f"{factor} {' '.join(word)}".strip() for word, factor in sorted(self.terms.items()))


def _expression(value: Expression | int | Fraction) -> Expression:
    if isinstance(value, Expression):
        return value
    return Expression({(): Fraction(value)} if value else {})


def letters(names: str) -> list[Expression]:
    """One expression per name, names separated by blanks."""
    return [Expression({(name,): Fraction(1)}) for name in names.split()]


@dataclass(frozen=True)
class Algebra:
    """Rules word -> expression, applied until none applies, and central letters (scalars), which are moved to the
    front.

    `transposed` maps a letter to its transpose's letter (a symmetric block is its own, and need not be listed);
    `derivatives` maps a letter to its derivative (0 where not listed).
    """

    rules: Mapping[str, Expression]
    central: str = ""
    transposed: Mapping[str, str] = field(default_factory=dict)
    derivatives: Mapping[str, Expression] = field(default_factory=dict)

    def normal(self, expression: Expression) -> Expression:
        """The expression with no rule left to apply."""
        rules = [(tuple(word.split()), value) for word, value in self.rules.items()]
        done, todo = Expression(), expression
        while todo.terms:
            later = Expression()
            for raw, factor in todo.terms.items():
                word = self._sorted(raw)
                for pattern, value in rules:
                    at = _find(word, pattern)
                    if at is not None:
                        left, right = (
                            Expression({word[:at]: factor}),
                            Expression({word[at + len(pattern) :]: Fraction(1)}),
                        )
                        later = later + left * value * right
                        break
                else:
                    done = done + Expression({word: factor})
            todo = later
        return done

    def equal(self, left: Expression, right: Expression | int) -> bool:
        """Whether both have one normal form. True is a proof; False only says that the rules do not show it."""
        return not self.normal(left - right).terms

    def transpose(self, expression: Expression) -> Expression:
        back = {**self.transposed, **{b: a for a, b in self.transposed.items()}}
        return Expression({tuple(back.get(x, x) for x in reversed(word)): f for word, f in expression.terms.items()})

    def derivative(self, expression: Expression) -> Expression:
        """By the product rule, from the letters' derivatives."""
        out = Expression()
        for word, factor in expression.terms.items():
            for i, letter in enumerate(word):
                if letter in self.derivatives:
                    before, after = Expression({word[:i]: factor}), Expression({word[i + 1 :]: Fraction(1)})
                    out = out + before * self.derivatives[letter] * after
        return out

    def _sorted(self, word: Word) -> Word:
        scalars = self.central.split()
        return tuple(sorted(x for x in word if x in scalars)) + tuple(x for x in word if x not in scalars)


def _find(word: Word, pattern: Word) -> int | None:
    return next((i for i in range(len(word) - len(pattern) + 1) if word[i : i + len(pattern)] == pattern), None)
