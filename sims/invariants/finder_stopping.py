"""Invariants of ticket finders, part 5: early stopping."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unilth.sims.invariants.after_the_stop import goes_on_from, goes_on_with, judge_rewound, told_by_mask
from unilth.sims.invariants.finder_result import FORM, KIND, first_case
from unilth.sims.invariants.finder_run import Run, equal_states, run
from unilth.sims.invariants.invariant import Case, Invariant, NotJudged, Plan, Subject, Violation, fail
from unilth.sims.invariants.observe import Event, State, places
from unilth.sims.invariants.penalty_reading import VISIBLE, readings, strengths

LOSS_SHARE, LOSS_ROUNDING = 1e-6, 1e-10
"""The share of a gradient's squared norm that cross-entropy may leave unexplained, and what single precision may."""


def evaluations(seen: Run, *, by_batch: bool = False) -> list[tuple[int, float, State]]:
    """Complete passes over the validation split: (index of the last event, mean cross-entropy, state).

    The mean is one over rows, or the mean of the batches' means, as many loops take it.
    """
    inputs, labels = seen.pristine.validation
    found: list[tuple[int, float, State]] = []
    losses: dict[int, float] = {}
    means: list[float] = []
    for index, event in enumerate(seen.events):
        if event.kind == "step":
            losses, means = {}, []
        elif (known := _evaluated(event, inputs)) is not None:
            where, logits = known
            parts = F.cross_entropy(logits.double(), labels[where], reduction="none")
            losses |= dict(zip(where, parts.tolist(), strict=True))
            means.append(float(parts.mean()))
            if len(losses) == len(labels):
                loss = sum(means) / len(means) if by_batch else sum(losses.values()) / len(labels)
                found.append((index, loss, event.state))
                losses, means = {}, []
    return found


def _evaluated(event: Event, inputs: Tensor) -> tuple[list[int], Tensor] | None:
    """The places of the rows of an evaluation in the validation split, and their logits; None if it is none of it."""
    if not _evaluates(event) or event.rows is None or event.logits is None or event.logits.dim() != 2:
        return None
    if len(event.rows) != len(event.logits):  # several views of each row in one pass
        return None
    where = [place for place in places(event.rows, inputs) if place is not None]
    return (where, event.logits) if len(where) == len(event.rows) else None


def _evaluates(event: Event) -> bool:
    """Whether an event is a forward pass in evaluation mode from which nothing is learned."""
    return event.kind == "forward" and not event.learns and not event.training


def check_stops(subject: Subject, case: Case) -> None:
    """When the patience runs out for the first time, training does not go on from there, but from the best state."""
    seen = run(subject, case)
    try:
        _judge(seen, case, subject.claims)
    except Violation as violation:
        again = _from_the_start_again(seen)
        if again is None:
            raise
        try:
            _judge(again, case, subject.claims)
        except Violation:
            raise violation from None
        raise NotJudged("something was trained before the training that stops, and did not stop") from None


def _from_the_start_again(seen: Run) -> Run | None:
    """What was seen from where dense training last began with the given weights, after other training; None if never.

    What came before may be a baseline.
    """
    looks, end, found = seen.looks(), seen.ticket_begins(), 0
    stepped = False
    for index, event in enumerate(seen.events[:end]):
        stepped = stepped or event.kind == "step"
        if event.learns and index not in looks and stepped and equal_states(event.state, seen.given, seen.names):
            found = index
    return dataclasses.replace(seen, events=seen.events[found:], memory={}) if found else None


def _judge(seen: Run, case: Case, claims: Any) -> None:
    if not seen.steps():
        raise NotJudged(seen.nothing_stepped)
    if not evaluations(seen):
        looks = [event.rows for event in seen.events if _evaluates(event)]  # None where no tensor came first
        if all(rows is not None and None not in places(rows, seen.pristine.train[0]) for rows in looks):
            what = "passes over training rows only" if looks else "no pass over the validation split"
            fail(
                got=f"{what} in evaluation mode", expected="one over the validation split after each epoch, to stop by"
            )
        raise NotJudged("no evaluation was recognised as one of the validation split given")
    first = next(index for index, event in enumerate(seen.events) if event.kind == "step")
    readings = [evaluations(seen), evaluations(seen, by_batch=True)]
    readings += [[one for one in passes if one[0] > first] for passes in readings]  # a loss before training is a log
    accused: Violation | None = None
    for passes in readings:
        try:
            return _judge_stop(seen, case, claims, passes)
        except Violation as violation:
            accused = violation
    if accused:
        raise accused


def _judge_stop(seen: Run, case: Case, claims: Any, all_passes: list[tuple[int, float, State]]) -> None:
    passes, others = _one_a_step(seen, all_passes)
    best = 0
    for number, (index, loss, last) in enumerate(passes):
        if loss < passes[best][1]:
            best = number
        if number - best < claims.stops_early:
            continue
        if _phase_over(seen, case, passes[best][0], index):
            raise NotJudged("the first training ended before its patience ran out")
        if others and others[0] < index:
            raise NotJudged("several states of the network are evaluated between two optimizer steps")
        looks = seen.looks()
        learning = [at for at in range(index, len(seen.events)) if at not in looks and seen.events[at].learns]
        following = seen.events[learning[0]] if learning else _answered(seen, last)
        _judge_probe(seen, learning, [at for at, _, _ in passes[number:]], passes[best][2], last)
        _judge_loss(seen, index)
        _judge_rest(seen, case, passes[best][0], index)
        _judge_epochs(seen, [index for index, _, _ in passes[: number + 1]])
        judge_rewound(seen, claims, following, passes[best][2], last)
        _judge_restart(seen, following, passes[best][2], last, number - best)
        _judge_mixture(seen, following, passes[best][2], last)
        if not told_by_mask(seen, claims, following, passes[: number + 1], best):
            _judge_epoch(seen, following, passes[: number + 1], best)
        return
    raise NotJudged("the patience never ran out on this problem")


def _answered(seen: Run, last: State) -> Event:
    """The answer in place of a pass, where nothing is trained after the stop."""
    return Event("forward", {name: seen.result.weights[name].to(value.dtype) for name, value in last.items()}, True)


def _judge_probe(seen: Run, learning: list[int], evaluated: list[int], best: State, last: State) -> None:
    """Do not judge what goes on from the last weights where it was taken back, as a probe of learning rates is.

    ``evaluated``: the evaluation at the stop and those after it. A training that did not stop is evaluated before the
    best weights come back, and one that led to the answer was no probe.
    """
    end = evaluated[0]
    if not learning or not goes_on_from(seen, seen.events[learning[0]], last, best):
        return
    begins = seen.ticket_begins()
    for at in learning:
        stepped = any(event.kind == "step" for event in seen.events[end:at])
        if (begins is not None and at > begins) or any(end < index < at for index in evaluated):
            return
        if stepped and goes_on_from(seen, seen.events[at], best, last):
            raise NotJudged("after the stop something was trained and taken back, as a probe is")


def _one_a_step(seen: Run, passes: list[tuple[int, float, State]]) -> tuple[list[tuple[int, float, State]], list[int]]:
    """The first pass after each optimizer step, and the indices of others over another state than that one's.

    A loop may pass over the same rows again, for the accuracy or for a log.
    """
    first: list[tuple[int, float, State]] = []
    others: list[int] = []
    for one in passes:
        if not first or any(event.kind == "step" for event in seen.events[first[-1][0] : one[0]]):
            first.append(one)
        elif not equal_states(one[2], first[-1][2]):
            others.append(one[0])
    return first, others


def _judge_loss(seen: Run, end: int) -> None:
    """The validation loss is that of training: known to be cross-entropy where that came back through the logits."""
    inputs, labels = seen.pristine.train
    told = False
    for event in seen.events[:end]:
        if not event.learns or event.rows is None or event.logits is None or event.pull is None:
            continue
        if event.logits.dim() != 2 or len(event.rows) != len(event.logits):
            continue
        logits, pull = event.logits.double(), event.pull.double()
        guessed = pull.argmin(1)  # of a row that is augmented: cross-entropy pulls one logit up and all others down
        pairs = zip(places(event.rows, inputs), guessed, strict=True)
        meant = torch.stack([guess if place is None else labels[place] for place, guess in pairs])
        wanted = logits.softmax(1) - F.one_hot(meant, logits.shape[1])
        size = float(wanted.square().sum())
        if size < LOSS_ROUNDING:  # every row is learned by heart
            continue
        scale = float((pull * wanted).sum()) / size  # a mean, or a sum, over rows
        if scale <= 0 or float((pull - scale * wanted).square().sum()) > scale**2 * (LOSS_SHARE * size + LOSS_ROUNDING):
            raise NotJudged("training minimises another loss than cross-entropy, so the validation loss is not known")
        told = True
    if not told:
        raise NotJudged("no gradient through the logits of training rows was seen, to know the loss by")


def _judge_rest(seen: Run, case: Case, best: int, end: int) -> None:
    """The validation loss is nothing but cross-entropy on the validation rows, as far as could be seen."""
    known = torch.cat([seen.pristine.validation[0], seen.pristine.train[0]])
    for event in seen.events[:end]:
        if event.kind != "forward" or event.learns:
            continue
        if event.training:
            raise NotJudged("the network is looked at in training mode as well, which may be where its loss is taken")
        if event.rows is None or None in places(event.rows, known):
            raise NotJudged("other rows are evaluated as well, which may be part of the validation loss")
    pressed = strengths(seen, case, best, end)
    if None in pressed:
        raise NotJudged("the gradients hold more than those of the logits, which may be part of the validation loss")
    if any(step and max(step.stays, step.most, step.rest or 0.0) > VISIBLE for step in pressed):
        raise NotJudged("training minimises an L2 term as well, which may be part of the validation loss")


def _judge_epochs(seen: Run, ends: list[int]) -> None:
    """Patience counts epochs: evaluations with half of the training rows or less between them are no epochs."""
    inputs = seen.pristine.train[0]
    for before, end in itertools.pairwise(ends):
        rows: set[int | None] = set()
        strange, stepped = 0, True
        for event in seen.events[before:end]:
            stepped = stepped or event.kind == "step"
            if event.learns and event.rows is not None:
                found = places(event.rows, inputs)
                rows |= {place for place in found if place is not None}
                strange += found.count(None) if stepped else 0  # more passes for one step may be over the same rows
                stepped = False
        if len(rows) + strange <= len(inputs) / 2:
            raise NotJudged("there is more than one evaluation in an epoch of training rows")


def _phase_over(seen: Run, case: Case, best: int, index: int) -> bool:
    """Whether something else had begun by an evaluation: another optimizer, other weights, or a penalty."""
    steps = [event.by for event in seen.events[:index] if event.kind == "step"]
    if len(set(steps)) > 1:
        return True
    left: State | None = None
    used: State | None = None  # before the step, with what is masked after every step at 0
    for event in seen.events[:index]:
        if event.kind == "step":
            left = event.state
        elif event.learns:
            if left is not None and used is not None and not _same_but_masked(event.state, left, used, seen.names):
                return True
            used = event.state
    pressed = itertools.chain(*readings(strengths(seen, case, best, index)))
    return any(step is not None and (step.goes - step.stays > VISIBLE or step.odd) for step in pressed)


def _same_but_masked(now: State, left: State, used: State, names: list[str]) -> bool:
    """Whether weights are as a step left them, or 0 again where they were before it."""
    return all(bool(((now[n] == left[n]) | ((now[n] == 0) & (used[n] == 0))).all()) for n in names)


def _judge_restart(seen: Run, following: Event, best: State, last: State, waited: int) -> None:
    """Compare the state that training goes on with to the best and to the last one, where it is not 0 (pruned)."""
    if goes_on_from(seen, following, last, best):
        fail(
            got=f"training goes on from the last weights, {waited} evaluations after the best validation loss",
            expected="a stop, and the best weights restored",
        )


CLEARLY = 0.02
"""By how much a loss must be worse than the best, so that no margin (min_delta) makes them one."""


def _judge_epoch(seen: Run, following: Event, passes: list[tuple[int, float, State]], best: int) -> None:
    """Accuse a training that goes on from another epoch, unless a margin or the accuracy may have chosen that one."""
    at, least, wanted = passes[best]
    hits = _hits(seen, at)
    for number, (index, loss, state) in enumerate(passes):
        told = any(bool(((state[n] != wanted[n]) & (following.state[n] != 0)).any()) for n in seen.names)
        worse = loss > least + CLEARLY and _hits(seen, index) < hits
        if told and worse and goes_on_with(seen, following, state):
            fail(
                got=f"training goes on from the weights of epoch {number + 1}, and the best validation loss was that "
                f"after epoch {best + 1}",
                expected="the best weights restored",
            )


def _judge_mixture(seen: Run, following: Event, best: State, last: State) -> None:
    """Accuse a training that goes on from parameters of which some are the best ones, and others the last."""
    sides: dict[bool, list[str]] = {True: [], False: []}
    for name in seen.learnable:
        now = following.state[name]
        told = (best[name] != last[name]) & (now != 0)  # where it is 0 it may be pruned
        if bool(told.any()):
            for restored, state in ((True, best), (False, last)):
                if torch.equal(now[told], state[name][told]):
                    sides[restored].append(name)
    if sides[True] and sides[False]:
        fail(
            got=f"training goes on with {', '.join(sides[True])} of the best epoch, and with {', '.join(sides[False])} "
            "of the last",
            expected="the best weights restored, all of them",
        )


def _hits(seen: Run, end: int) -> int:
    """How many rows of the validation split are classified correctly in the pass that ends with an event."""
    inputs, labels = seen.pristine.validation
    right: dict[int, bool] = {}
    for event in reversed(seen.events[: end + 1]):
        if event.kind == "step" or len(right) == len(labels):
            break
        known = _evaluated(event, inputs)
        if known is not None:
            where, logits = known
            right |= dict(zip(where, (logits.argmax(1) == labels[where]).tolist(), strict=True))
    return sum(right.values())


def overfit_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """Few rows, half of them mislabelled: the validation loss rises before long."""
    yield {"problem": "overfit", "sparsity": 0.5, "seed": plan.seed % 1000}
    yield from first_case(claims, plan)


def _stops(claims: Any) -> str:
    return "" if claims.stops_early is not None else "does not claim stops_early"


FINDER_STOPPING = (
    Invariant(
        id="finder-stops-early",
        kind=KIND,
        statement="When the patience has run out, training goes on from the best weights, never from the last.",
        why="early stopping that reports the best epoch and keeps the last weights",
        check=check_stops,
        cases=overfit_cases,
        excuse=_stops,
        needs=FORM,
        theorem="T1.1",
    ),
)
