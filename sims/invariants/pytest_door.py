"""The pytest door: one test id for each invariant of each target."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from unilth.errors import UserError
from unilth.sims.invariants.catalogue import catalogue
from unilth.sims.invariants.invariant import Invariant, Plan
from unilth.sims.invariants.report import Row
from unilth.sims.invariants.runner import Session

OUTCOMES = ("violated", "unexpected-pass", "error")


def parametrize_with_invariants(
    targets: Iterable[object],
    *,
    budget: str = "quick",
    seed: int = 0,
    expected_failures: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Parametrise a test over every invariant of every target, with ids like ``my_module:my_rule-mask-order``.

    The test takes two arguments and calls the second with the first::

        @parametrize_with_invariants([my_rule], expected_failures={"mask-ties-count": "keeps all ties, by design"})
        def test_my_rule(target, invariant):
            invariant(target)

    A violation fails the test with the smallest case and its replay line; what does not apply or is blocked is skipped,
    an expected failure is an xfail, and one that passes fails. It must be an invariant of every target.

    Raises:
        UserError: while collecting, if there is no list of targets, one cannot be used, or the test does not take two
            arguments.
    """
    import pytest

    if isinstance(targets, str) or not isinstance(targets, Iterable):
        raise UserError(f"targets is {targets!r} and must be a list of what is to be checked: put it in brackets")
    sessions = [Session(target, Plan(budget, seed), expected_failures) for target in targets]
    if not sessions:
        raise UserError("targets is empty, so that nothing would be checked: name what is to be")
    parameters = [
        pytest.param(
            session.loaded.call,
            functools.partial(_judge, session, invariant),
            id=f"{session.loaded.name}-{invariant.id}",
        )
        for session in sessions
        for invariant in catalogue(session.kind)
    ]

    def decorate(test: Callable[..., Any]) -> Callable[..., Any]:
        names = [name for name in inspect.signature(test).parameters if name != "self"]
        if len(names) != 2:
            raise UserError(f"{test.__name__} must take two arguments, (target, invariant), and call invariant(target)")
        return pytest.mark.parametrize(names, parameters)(test)

    return decorate


def _judge(session: Session, invariant: Invariant, target: object) -> None:
    """Run one invariant on the target that it was collected for, and tell pytest."""
    import pytest

    if target is not session.loaded.call:
        raise UserError(
            f"invariant {invariant.id} was collected for {session.loaded.name}; call it with its own target"
        )
    row: Row = session.row(invariant)
    if row.status in ("not-applicable", "blocked"):
        pytest.skip(f"{row.status}: {row.note}")
    if row.status == "expected":
        pytest.xfail(f"{row.note} (got {row.got})")
    if row.status in OUTCOMES:
        lines = (f"{row.status}: {row.statement}", f"got      {row.got}", f"expected {row.expected}")
        pytest.fail(
            "\n".join((*lines, f"case     {row.case}", f"replay   {row.replay}", f"why      {row.why}")), pytrace=False
        )
