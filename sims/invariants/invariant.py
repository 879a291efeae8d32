"""What an invariant is: a statement, why it matters, whom it applies to, its cases, and the check of one case."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

from unilth.errors import UserError
from unilth.sims.invariants.settings import the_targets

Case = dict[str, Any]
"""One case in plain JSON, so that it can be printed, pasted and replayed exactly."""

STATUSES = ("passed", "violated", "expected", "unexpected-pass", "not-applicable", "blocked", "error")
BUDGETS = ("quick", "standard", "thorough")


class Violation(Exception):
    """A case in which the target did not do what the invariant states; ``case``: a part of it that shows as much."""

    def __init__(self, *, got: str, expected: str, case: Case | None = None) -> None:
        super().__init__(f"got {got}; expected {expected}")
        self.got = got
        self.expected = expected
        self.case = case


class NotJudged(Exception):
    """A case that shows nothing about the invariant, with the reason: what was needed could not be seen."""


def fail(*, got: str, expected: str, case: Case | None = None) -> NoReturn:
    """Raise a :class:`Violation`, naming the part of the case that is enough to show it, where there is one."""
    raise Violation(got=got, expected=expected, case=case)


@dataclass(frozen=True)
class Plan:
    """How much to try: ``budget`` names a size, ``seed`` fixes every case that is drawn."""

    budget: str = "standard"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.budget not in BUDGETS:
            raise UserError(f"budget={self.budget!r} is not known; use one of {', '.join(BUDGETS)}")
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or not 0 <= self.seed < 2**32:
            raise UserError(f"seed={self.seed!r} must be a whole number from 0 to 4294967295")

    def pick(self, quick: int, standard: int, thorough: int) -> int:
        """The number for this budget."""
        return (quick, standard, thorough)[BUDGETS.index(self.budget)]

    def random(self, purpose: str) -> random.Random:
        """A generator of its own for each purpose, so that adding an invariant changes no other one's cases."""
        return random.Random(f"{self.seed}/{purpose}")


@dataclass
class Subject:
    """The thing under check: what to call, what it claims, and a memory for expensive observations."""

    target: Callable[..., Any]
    claims: Any
    plan: Plan
    memory: dict[str, Any] = field(default_factory=dict)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Call the target; an exception on an input that the contract allows is a violation, with its text."""
        return self._answer((), "an answer, without an exception", args, kwargs)

    def may_reject(self, expected: str, *args: Any, **kwargs: Any) -> Any:
        """Call the target with input that it may refuse by ValueError, and by nothing else: its answer, or REJECTED."""
        return self._answer((ValueError,), expected, args, kwargs)

    def must_reject(self, what: str, *args: Any, **kwargs: Any) -> None:
        """Call the target with unusable input and require ValueError."""
        answer = self._answer((ValueError,), f"ValueError on {what}", args, kwargs)
        if answer is not REJECTED:
            fail(got=f"accepted it and answered {type(answer).__name__}", expected=f"ValueError on {what}")

    def _answer(self, refusals: tuple[type[Exception], ...], expected: str, args: Any, kwargs: Any) -> Any:
        """The target's answer, or REJECTED; whatever else it raises is a violation."""
        try:
            with in_this_process(), the_targets():
                return self.target(*args, **kwargs)
        except refusals:
            return REJECTED
        except ENDS:
            raise
        except BaseException as error:  # a TypeError or IndexError deep inside is no clear refusal
            fail(got=raised(error), expected=expected)


@contextmanager
def in_this_process() -> Iterator[None]:
    """A child that the block forks ends with the block, as it would with its program, and does not go on with ours."""
    process, code = os.getpid(), 1
    try:
        yield
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    finally:
        if os.getpid() != process:
            for stream in (sys.stdout, sys.stderr):
                with suppress(Exception):
                    stream.flush()
            os._exit(code & 0xFF)


REJECTED = object()
ENDS = (KeyboardInterrupt, GeneratorExit)
"""Ctrl-C and a closed generator end the check. All else that a target raises is its answer: its sys.exit() must not be
ours, and pytest's skip and fail, or asyncio's cancellation, are no Exception either."""


def raised(error: BaseException) -> str:
    """What was raised, in words."""
    return f"raised {type(error).__name__}: {first_line(error)}"


def first_line(error: BaseException) -> str:
    """The first line of an exception's text (of its kind where it has none), at most 200 characters."""
    try:
        text = str(error)
    except ENDS:
        raise
    except BaseException:  # a text that cannot be had must not stand for what was raised
        text = ""
    lines = text.splitlines() or [type(error).__name__]
    return lines[0][:200]


@dataclass(frozen=True)
class Invariant:
    """One row of the catalogue.

    Attributes:
        id: stable name, used by ``--only``, ``--expect-fail`` and pytest ids.
        kind: the kind of target, as in the declaration.
        statement: what must hold, in one sentence.
        why: the published mistake that it would have caught.
        check: checks one case, raises :class:`Violation`.
        cases: the cases to try, smallest first.
        excuse: "" where the claims ask for the invariant, else the reason why it does not apply.
        needs: invariants without which a check of this one means nothing; it is *blocked* if one of them does not hold.
        theorem: id of the statement in the theory's catalogue, where there is one.
        small: a Hypothesis strategy of small cases (for cheap invariants), used to search and to shrink; built lazily.
    """

    id: str
    kind: str
    statement: str
    why: str
    check: Callable[[Subject, Case], None]
    cases: Callable[[Any, Plan], Iterable[Case]]
    excuse: Callable[[Any], str] = lambda claims: ""
    needs: tuple[str, ...] = ()
    theorem: str | None = None
    small: Callable[[Any], Any] | None = None
