"""Judging a statement on concrete instances, with the counterexample in words.

A hypothesis is a predicate on instances, and an instance counts if it meets the hypotheses in force. A dropped
hypothesis lets instances in that were outside the theorem; on one of them the claim must fail, which is how a check
shows that the hypothesis is needed. Nothing here knows which mutation it is looking at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import TypeVar

from unilth.theory.evidence import Evidence, Level, Statement, Witness

T = TypeVar("T")
Hypotheses = Mapping[str, Callable[[T], bool]]
Verdict = tuple[bool | None, str]


def judged(
    what: str,
    statement: Statement,
    instances: Sequence[T],
    hypotheses: Hypotheses[T],
    claim: Callable[[T, Statement], Verdict],
    *,
    level: Level = Level.SYMBOLIC,
) -> Evidence:
    """Evaluate `claim` on every instance that meets the hypotheses in force; the first failure is the counterexample.

    Undecided (None) if no instance is in scope, and where the claim is undecided on one and false on none.
    """
    scope = [x for x in instances if all(hypotheses[name](x) for name in sorted(statement.assumptions))]
    undecided = ""
    for instance in scope:
        holds, detail = claim(instance, statement)
        if holds is False:
            return Evidence(what, level, False, f"the instance {named(instance)}", detail)
        if holds is None:
            undecided = f"{named(instance)}: {detail}"
    if undecided or not scope:
        return Evidence(what, level, None, f"{len(scope)} instances", undecided or "no instance meets the hypotheses")
    return Evidence(what, level, True, f"{len(scope)} instances that meet the hypotheses in force, each evaluated")


def named(instance: object) -> str:
    """The instance in words, fractions as one writes them."""
    return re.sub(r"Fraction\((-?\d+), (\d+)\)", lambda m: str(Fraction(int(m[1]), int(m[2]))), str(instance))


def shown(what: str, holds: bool, scope: str, detail: str = "") -> Evidence:
    """Evidence of an identity reduced to 0 exactly, in symbols or in rationals."""
    return Evidence(what, Level.SYMBOLIC, bool(holds), scope, detail)


def witnessed(instance: T, hypotheses: Hypotheses[T]) -> Witness:
    """The instance with every hypothesis evaluated on it."""
    return Witness(named(instance), {name: bool(test(instance)) for name, test in hypotheses.items()})
