"""Invariants of penalty schedules: lambda as a function of the step, and of nothing else."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

from unilth.sims.invariants.globals import fingerprint, global_state, moved
from unilth.sims.invariants.invariant import Case, Invariant, Plan, Subject, fail
from unilth.sims.invariants.search import PATIENCE_SECONDS

KIND = "penalty-schedule"
NUMBER = ("schedule-number", "schedule-pure")
ROUNDING = 1e-7
"""Relative slack: a value rounded to float32 is within it, sums of many small increments in float32 (5e-5) are not."""
COUNTERS = (2**15, 2**16, 2**24, 2**24 + 1)
"""Steps at which counters of 16 bits wrap around, and from which on float32 skips numbers."""
BLOCK = 1000
"""Consecutive steps in one case."""


def read_steps(case: Case) -> Sequence[int]:
    """The steps of a case, ascending: listed, or all from the first to the last one."""
    return case["steps"] if "steps" in case else range(int(case["first"]), int(case["last"]) + 1)


def value(subject: Subject, step: int) -> float:
    """lambda at a step, as a float."""
    return float(subject.call(step))


def only(step: int) -> Case:
    """The case of one step."""
    return {"steps": [step]}


def check_number(subject: Subject, case: Case) -> None:
    """A finite real number at every step."""
    for step in read_steps(case):
        answer = subject.call(step)
        if isinstance(answer, bool) or not hasattr(answer, "__float__"):
            fail(got=f"an answer of type {type(answer).__name__} at step {step}", expected="a number", case=only(step))
        try:
            number = float(answer)
        except (TypeError, ValueError, RuntimeError) as error:
            fail(got=f"an answer at step {step} that is no number ({error})", expected="one number", case=only(step))
        if not math.isfinite(number):
            fail(got=f"{number} at step {step}", expected="a finite number", case=only(step))
        if "steps" in case:  # for `check_pure`: by then a running state may stand at the ceiling for good
            subject.memory.setdefault(f"first asked/{step}", number)


def check_nonnegative(subject: Subject, case: Case) -> None:
    """Never below zero."""
    for step in read_steps(case):
        if value(subject, step) < 0:
            fail(got=f"{value(subject, step)} at step {step}", expected="at least 0", case=only(step))


def check_monotone(subject: Subject, case: Case) -> None:
    """Never falls on the way up."""
    steps = read_steps(case)
    values = [value(subject, step) for step in steps]
    for (before, low), (after, high) in itertools.pairwise(zip(steps, values, strict=True)):
        if high < low - ROUNDING * abs(low):
            fail(
                got=f"{low} at step {before}, then {high} at step {after}",
                expected="no decrease", case={"steps": [before, after]},
            )  # fmt: skip


def check_ceiling(subject: Subject, case: Case) -> None:
    """Never above the declared ceiling."""
    ceiling = subject.claims.ceiling
    for step in read_steps(case):
        if value(subject, step) > ceiling * (1 + ROUNDING):
            fail(
                got=f"{value(subject, step)!r} at step {step}",
                expected=f"at most the ceiling {ceiling}", case=only(step),
            )  # fmt: skip


def check_reaches(subject: Subject, case: Case) -> None:
    """At the declared number of steps the ceiling is reached."""
    ceiling, step = subject.claims.ceiling, case["step"]
    if value(subject, step) < ceiling * (1 - 1e-6):
        fail(got=f"{value(subject, step)!r} at step {step}", expected=f"the ceiling {ceiling}")


def check_stays(subject: Subject, case: Case) -> None:
    """After it the ceiling is kept."""
    ceiling = subject.claims.ceiling
    for step in read_steps(case):
        if value(subject, step) < ceiling * (1 - 1e-6):
            fail(
                got=f"{value(subject, step)!r} at step {step}",
                expected=f"the ceiling {ceiling}, kept", case=only(step),
            )  # fmt: skip


def check_pure(subject: Subject, case: Case) -> None:
    """The value depends on the step alone: asking again, or in another order, changes nothing."""
    with global_state(1):
        now = {step: value(subject, step) for step in case["steps"]}
    forward = {step: subject.memory.get(f"first asked/{step}", seen) for step, seen in now.items()}
    for step, seen in now.items():
        if seen != forward[step]:
            fail(got=f"{forward[step]!r} and later {seen!r} at step {step}", expected="the same value whenever asked")
    with global_state(2):
        for step in reversed(case["steps"]):
            again = value(subject, step)
            if again != forward[step]:
                fail(
                    got=f"{forward[step]!r} and later {again!r} at step {step}",
                    expected="the same value whenever asked",
                )


def check_leaves_global(subject: Subject, case: Case) -> None:
    """The global generators stand where they stood."""
    with global_state(3):
        before = fingerprint()
        for step in case["steps"]:
            value(subject, step)
        changed = moved(before, fingerprint())
    if changed:
        fail(got=f"the global generator of {' and '.join(changed)} moved", expected="global generators left alone")


def blocks(first: int, last: int, plan: Plan) -> Iterator[Case]:
    """Consecutive steps, block after block, each beginning where the one before ended; fewer of a slow schedule."""
    last = min(last, first + plan.pick(20_000, 200_000, 2_000_000))
    deadline = time.monotonic() + PATIENCE_SECONDS[plan.budget]
    for start in range(first, last, BLOCK):
        if time.monotonic() > deadline:
            return
        yield {"first": start, "last": min(start + BLOCK, last)}


def rising(claims: Any, plan: Plan) -> Iterator[Case]:
    """Steps on the way up: the first ones, the last ones, a sample, and as many in a row as the budget allows."""
    last = claims.steps
    yield {"steps": sorted({0, 1, last // 2, last})}
    yield {"steps": sorted({step for step in (*range(12), *range(last - 12, last + 1)) if 0 <= step <= last})}
    chance = plan.random("rising")
    yield {"steps": sorted(chance.sample(range(last + 1), min(last + 1, 300)))}
    yield from blocks(0, last, plan)


def after(claims: Any, plan: Plan) -> Iterator[Case]:
    """Steps after the ceiling, far ones too."""
    last = claims.steps
    yield {"steps": [last, last + 1, last + 2, 2 * last, 2 * last + 1, 3 * last, 10 * last, 100 * last]}
    far = [step for step in (*COUNTERS, 10**7, 10**9) if step > last]
    yield {"steps": far or [1000 * last]}
    chance = plan.random("after")
    yield {"steps": sorted(chance.randrange(last, 20 * last + 1) for _ in range(100))}
    reach = math.log(max(10**9, 1000 * last) / last)  # every size of step alike: a far period is in one of them
    yield {"steps": sorted(round(last * math.exp(reach * chance.random())) for _ in range(plan.pick(100, 300, 3000)))}
    yield from blocks(last, 20 * last, plan)


def throughout(claims: Any, plan: Plan) -> Iterator[Case]:
    """On the way up and after it."""
    yield from rising(claims, plan)
    yield from after(claims, plan)


def brief(claims: Any, plan: Plan) -> Iterator[Case]:
    """Few steps, in ascending order."""
    last = claims.steps
    yield {"steps": sorted({0, 1, 2, last // 3, last // 2, last, last + 1, 2 * last})}
    chance = plan.random("brief")
    yield {"steps": sorted(chance.randrange(2 * last + 1) for _ in range(plan.pick(20, 50, 500)))}


def _invariant(id: str, statement: str, why: str, check: Any, cases: Any, needs: tuple[str, ...] = NUMBER) -> Invariant:
    return Invariant(id, KIND, statement, why, check, cases, needs=needs)


SCHEDULES = (
    _invariant(
        "schedule-number",
        "Every step has one finite number.",
        "an exponential ramp overflows to inf a few thousand steps after its ceiling, and 0/0 at step 0 is NaN",
        check_number,
        throughout,
        needs=(),
    ),
    _invariant(
        "schedule-nonnegative",
        "The penalty is never below 0.",
        "a negative lambda makes weights grow; GReg-2 does that on purpose, but only to kept weights",
        check_nonnegative,
        throughout,
    ),
    _invariant(
        "schedule-monotone",
        "The penalty never falls on the way to its ceiling.",
        "RST-Iter starts lambda anew each cycle, so weights that were pressed down grow back",
        check_monotone,
        rising,
    ),
    _invariant(
        "schedule-ceiling",
        "The penalty never exceeds its ceiling.",
        "DLTH tests for the ceiling after adding: its float32 lambda ends at 1.0000535",
        check_ceiling,
        throughout,
    ),
    _invariant(
        "schedule-reaches",
        "The penalty reaches its ceiling within the declared number of steps.",
        "a ramp counted in epochs instead of steps is at a hundredth of its ceiling when the weights are cut off",
        check_reaches,
        lambda claims, plan: iter([{"step": claims.steps}]),
    ),
    _invariant(
        "schedule-stays",
        "After that the penalty stays at its ceiling.",
        "a schedule that wraps around (step % period) lets the weights go in the middle of the final phase",
        check_stays,
        after,
        needs=(*NUMBER, "schedule-reaches"),
    ),
    _invariant(
        "schedule-pure",
        "The penalty depends on the step alone: asking again or in another order changes nothing.",
        "DLTH's lambda lives in the optimizer's loop: a resumed run starts with another one than the run it continues",
        check_pure,
        brief,
        needs=("schedule-number",),
    ),
    _invariant(
        "schedule-leaves-global-state",
        "The global generators of torch, NumPy and Python are left where they stood.",
        "seeding globally inside a library makes everybody's data order and dropout repeat from that call on",
        check_leaves_global,
        brief,
    ),
)
