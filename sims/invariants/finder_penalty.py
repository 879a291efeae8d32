"""Invariants of ticket finders, part 7: an L2 penalty that presses on the weights that go, by its schedule."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch

from unilth.sims.invariants.finder_result import FORM, KIND, first_case
from unilth.sims.invariants.finder_run import Run, run
from unilth.sims.invariants.invariant import Case, Invariant, NotJudged, Subject, Violation, fail
from unilth.sims.invariants.observe import Event, State
from unilth.sims.invariants.penalty_reading import (
    VISIBLE,
    Strength,
    moved_otherwise,
    readings,
    scale_changes,
    strengths,
)
from unilth.sims.invariants.penalty_rounds import Round, noted_only, one_round, others_were_trained, rounds

Steps = list[Strength | None]

LEVELS, NEAR = [VISIBLE * 1.1**grown for grown in range(8)], (0.99, 1.01)
"""Strengths to know the beginning of a ramp by, and how near another one may be told from it by rounding alone."""


def _by_one_reading(
    judge: Callable[[Steps], None], found: Steps, excuse: Callable[[Steps], bool] = scale_changes
) -> None:
    """Judge what the steps may mean; a violation only if it is one whatever they mean, and not excused."""
    accused: Violation | None = None
    for meant in readings(found):
        try:
            judge(meant)
            return
        except Violation as violation:
            accused = accused or violation
    if accused is not None:
        if excuse(found):
            raise NotJudged("the loss is scaled, and by factors that change")
        raise accused


def _pressed(seen: Run, case: Case, claims: Any, judge: Callable[[Round, Steps], None]) -> None:
    """Judge the steps before the ticket is trained, round by round where it gives the masks of several.

    Nothing is accused where it is not certain that these are the steps of its own penalty, nor, where the rounds do not
    agree, if everything before the ticket does as one and the first of them pressed: then it pressed on all that goes.
    """
    everything, ways = one_round(seen), rounds(seen)
    accused = list[tuple[Round, Violation]]()
    for way in ways or [[everything]]:
        violated = _violated(way, case, judge)
        if violated is None:
            return
        accused.append(violated)
    if ways and _presses_in(ways[0][0], case):
        with suppress(Violation, NotJudged):
            return judge(everything, _read(everything, case))
    returns = int(claims.stops_early is not None)
    if noted_only(seen) or any(others_were_trained(one, returns) for one, _ in accused):
        raise NotJudged(
            "several masks or trainings came before the ticket, or weights were restored and stops_early is not "
            "claimed, so whose steps are whose is not known"
        )
    raise accused[0][1]


def _violated(way: list[Round], case: Case, judge: Callable[[Round, Steps], None]) -> tuple[Round, Violation] | None:
    """The first round that is none as it was declared, with the violation; NotJudged if there may be one."""
    unread: NotJudged | None = None
    for one in way:
        try:
            judge(one, _read(one, case))
        except NotJudged as reason:
            unread = unread or reason
        except Violation as violation:
            return one, violation
    if unread is not None:
        raise unread
    return None


def _presses_in(one: Round, case: Case) -> bool:
    extra, start = _ramp(_read(one, case))
    return start is not None or None in extra


def _read(one: Round, case: Case) -> Steps:
    return strengths(one.run, case, one.first, one.last)


def check_outside(subject: Subject, case: Case) -> None:
    """Weights that stay, biases and normalisation feel no more than a constant weight decay."""
    _pressed(run(subject, case), case, subject.claims, _judge_decay)


def _judge_decay(_: Round, steps: Steps) -> None:
    _by_one_reading(_judge_outside, steps)
    if None in steps and _ramp(steps)[1] is None:
        raise NotJudged("the steps at which the penalty presses could not be read")


def _judge_outside(steps: Steps) -> None:
    found = [step for step in steps if step is not None]
    bound = max(VISIBLE, 1e-3 * max(abs(step.goes) for step in found))
    series = {
        "kept weights": [step.stays for step in found],
        "some kept weights": [step.kept for step in found],
        "biases or normalisation": [step.rest for step in found if step.rest is not None],
    }
    for what, felt in series.items():
        if felt and max(felt) - min(felt) > bound:
            fail(
                got=f"a penalty on {what} that varies from {min(felt):.4g} to {max(felt):.4g}",
                expected="a penalty on the weights that go, and on no other",
            )


def check_schedule(subject: Subject, case: Case) -> None:
    """On the weights that go the strength follows the declared schedule, step by step, from the step it sets in."""
    schedule, seen = subject.claims.penalty, run(subject, case)
    level, first = _sets_in(schedule)
    if first is None:
        raise NotJudged("the declared schedule is 0 for a million steps")

    def judge(one: Round, found: Steps) -> None:
        odd = next(((i, step.odd) for i, step in enumerate(found) if step is not None and step.odd), None)
        if odd is not None:
            fail(got=f"{odd[1]}, at optimizer step {odd[0] + 1}", expected="lambda w on all of them, with one lambda")
        _by_one_reading(
            lambda steps: _judge_schedule(one, schedule, level, first, steps),
            found,
            lambda steps: scale_changes(steps) and (one.later or _by_powers(schedule, level, first, steps)),
        )

    _pressed(seen, case, subject.claims, judge)


def _sets_in(schedule: Callable[[int], float]) -> tuple[float, int | None]:
    """The strength to know the beginning of a ramp by, and the first declared step above it (None in a million).

    A visible one, and none that is declared around there, as rounding would tell it from that.
    """
    head: list[float] = []

    def reaches(level: float, most: int) -> int | None:
        found = next((k for k, wanted in enumerate(head) if wanted > level), None)
        while found is None and len(head) < most:
            head.append(schedule(len(head)))
            found = len(head) - 1 if head[-1] > level else None
        return found

    first = reaches(VISIBLE, 10**6)
    if first is None:
        return VISIBLE, None
    try:
        for level in LEVELS:
            below, above = (reaches(share * level, first + 1000) for share in NEAR)
            if below is not None and below == above:
                return level, above
    except Exception:  # a table that ends
        return VISIBLE, first
    return VISIBLE, first


def _by_powers(schedule: Callable[[int], float], level: float, first: int, found: Steps) -> bool:
    """Whether the penalty was seen at its strength times powers of two, as where a scaled loss is clipped unscaled."""
    extra, start = _ramp(found, level)
    nothing = max(VISIBLE, 1e-6 * max((strength for strength in extra if strength is not None), default=0.0))
    for number, strength in enumerate(extra[start:], start=first):
        if strength is not None:
            wanted = schedule(number)
            if wanted <= VISIBLE:
                agrees = strength <= nothing
            else:
                share = math.frexp(strength / wanted)[0]
                agrees = min(abs(share - 0.5), abs(share - 1)) <= 2e-3
            if not agrees:
                return False
    return True


def _ramp(found: Steps, level: float = VISIBLE) -> tuple[list[float | None], int | None]:
    """What presses on the weights that go beyond the weight decay that all feel, and the step at which it sets in."""
    extra = [None if step is None else step.goes - step.stays for step in found]
    return extra, next((i for i, strength in enumerate(extra) if strength is not None and strength > level), None)


def _judge_schedule(one: Round, schedule: Callable[[int], float], level: float, first: int, found: Steps) -> None:
    extra, start = _ramp(found, level)
    if one.later and _goes_on(schedule, extra, one.first):
        return
    if start is None:
        if None in extra or _moved_by_hand(one.alone()):
            raise NotJudged("not every gradient could be read, or weights are changed outside the optimizer as well")
        if moved_otherwise(one.alone()):
            raise NotJudged("an optimizer may move the weights that go by more than the gradients that were seen")
        fail(
            got="no penalty on the weights that go at any step",
            expected=f"{schedule(first):.4g} at step {first} of the ramp",
        )
    if None in extra[:start]:
        raise NotJudged("the step at which the penalty sets in could not be read")
    for number, strength in enumerate(extra[start:], start=first):
        if strength is None:
            continue
        wanted = schedule(number)
        if not _agrees(strength, wanted):
            fail(got=f"a penalty of {strength:.5g} at step {number} of the ramp", expected=f"{wanted:.5g}, as declared")


def _goes_on(schedule: Callable[[int], float], extra: list[float | None], past: int) -> bool:
    """Whether a later round's penalty is a stretch of the schedule, which had ``past`` steps at most before it."""
    start = next((i for i, strength in enumerate(extra) if strength is not None and strength > VISIBLE), None)
    if start is None:
        return False
    declared = list[float]()
    with suppress(Exception):  # a table that ends
        declared += (schedule(number) for number in range(past + len(extra)))
    pressed = [(i, strength) for i, strength in enumerate(extra[start:]) if strength is not None]
    return any(
        all(_agrees(strength, declared[number + i]) for i, strength in pressed)
        for number in range(len(declared) - pressed[-1][0])
    )


def _agrees(strength: float, wanted: float) -> bool:
    return abs(strength - wanted) <= 2e-3 * wanted + VISIBLE


def _moved_by_hand(seen: Run) -> bool:
    """Whether weights that go change between a training pass and the optimizer's step, or before the next pass.

    What they had been once may be restored.
    """
    last: dict[int, Event] = {}
    goes = seen.goes()

    def had(now: State, index: int) -> bool:
        past = (event.state for event in reversed(seen.events[:index]))
        return any(all(torch.equal(now[name][gone], then[name][gone]) for name, gone in goes.items()) for then in past)

    for index, event in enumerate(seen.events):
        if event.kind == "forward" and not event.learns:
            continue
        before = last.get(event.model)
        inside = event.kind == "step" and event.within(before)  # then what follows the inner step is by hand
        now = event.before if event.kind == "step" and not inside else event.state
        last[event.model] = event
        if before is None or now is None or seen.pruned_zero(now):
            continue
        if any(
            bool(((now[name] != before.state[name]) & (now[name] != seen.given[name]))[gone].any())
            for name, gone in goes.items()
        ) and not had(now, index):
            return True
    return False


def _presses(claims: Any) -> str:
    return "" if claims.penalty is not None else "does not claim a penalty"


FINDER_PENALTY = (
    Invariant(
        id="finder-penalty-outside-mask",
        kind=KIND,
        statement="The penalty presses outside the mask only; kept weights and biases feel at most a constant decay.",
        why="DLTH redraws the mask on resume: 1,960 kept weights carry the full penalty",
        check=check_outside,
        cases=first_case,
        excuse=_presses,
        needs=FORM,
        theorem="T6.1",
    ),
    Invariant(
        id="finder-penalty-schedule",
        kind=KIND,
        statement="The penalty follows its declared schedule, step by step, from where it sets in.",
        why="lambda w or 2 lambda w, per step or per epoch, reset each cycle (RST-Iter): each is another ticket",
        check=check_schedule,
        cases=first_case,
        excuse=_presses,
        needs=(*FORM, "finder-penalty-outside-mask"),
        theorem="T7.1",
    ),
)
