"""Broken penalty schedules, each named after a real mistake, with the invariants that must catch it."""

from __future__ import annotations

import math
import random

from unilth.sims.invariants.declarations import penalty_schedule
from unilth.sims.invariants.twin import Twin

STEPS = 1000
DECLARED = penalty_schedule(ceiling=1.0, steps=STEPS)


def ramp(step: int) -> float:
    """The correct schedule that the twins break: linear to 1 in 1,000 steps."""
    return min(step / STEPS, 1.0)


@DECLARED
def overflows(step: int) -> float:
    growth = math.exp(step / STEPS * 10)  # OverflowError some 70,000 steps later
    return min((growth - 1) / (math.exp(10) - 1), 1.0)


@DECLARED
def divides_zero_by_zero(step: int) -> float:
    return math.nan if step == 0 else ramp(step)


@DECLARED
def starts_below_zero(step: int) -> float:
    return ramp(step) - 1e-4 * (step < 10)


@DECLARED
def starts_anew_each_cycle(step: int) -> float:
    return 1.0 if step >= STEPS else ramp(4 * (step % (STEPS // 4)))


@DECLARED
def forgets_one_step(step: int) -> float:
    return 0.0 if step == 777 else ramp(step)


@DECLARED
def tests_after_adding(step: int) -> float:
    return min(step / STEPS * 1.1, 1.0000535)


@DECLARED
def counts_epochs(step: int) -> float:
    return ramp(step // 100)


@DECLARED
def wraps_around(step: int) -> float:
    return ramp(step % (5 * STEPS))


@DECLARED
def starts_anew_far_out(step: int) -> float:
    return ramp(step % (30 * STEPS))


_last = [0, 0.0]


@DECLARED
def remembers_the_last_call(step: int) -> float:
    value = _last[1] if step < _last[0] else ramp(step)
    _last[:] = [step, value]
    return value


@DECLARED
def reseeds_random(step: int) -> float:
    random.seed(step)
    return ramp(step)


SCHEDULE_TWINS = (
    Twin(overflows, "an exponential ramp that overflows long after its ceiling", ("schedule-number",)),
    Twin(divides_zero_by_zero, "0/0 at step 0", ("schedule-number",)),
    Twin(starts_below_zero, "a negative penalty at the start", ("schedule-nonnegative",)),
    Twin(starts_anew_each_cycle, "starts anew each cycle (RST-Iter)", ("schedule-monotone",)),
    Twin(forgets_one_step, "is 0 for the one step after a resume", ("schedule-monotone",)),
    Twin(tests_after_adding, "tests for the ceiling after adding (DLTH: 1.0000535)", ("schedule-ceiling",)),
    Twin(counts_epochs, "counts epochs where steps are meant", ("schedule-reaches",)),
    Twin(wraps_around, "wraps around after its period", ("schedule-stays",)),
    Twin(starts_anew_far_out, "starts anew after a long cycle (RST-Iter)", ("schedule-stays",)),
    Twin(remembers_the_last_call, "keeps its value in a running state (DLTH's loop)", ("schedule-pure",)),
    Twin(reseeds_random, "seeds a global generator", ("schedule-leaves-global-state",)),
)
