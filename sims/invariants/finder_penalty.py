"""Invariants of ticket finders, part 6: the penalty, told apart from the loss by repeating its backward pass.

The gradient that came back through the logits is known from outside. Sending it through the same network once more
gives the gradient of the loss alone, g; what an optimizer step used is c (g + lambda w) for a weight w, with the
penalty (and weight decay, where that is in the gradient) in lambda, and c = 1 unless the gradient was clipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from unilth.sims.invariants import problems
from unilth.sims.invariants.finder_result import FORM, KIND, first_case
from unilth.sims.invariants.finder_run import Run, run
from unilth.sims.invariants.globals import one_thread
from unilth.sims.invariants.invariant import Case, Invariant, NotJudged, Subject, fail
from unilth.sims.invariants.observe import Event

VISIBLE = 1e-4
"""A strength below this is not told from rounding."""

UNEXPLAINED = 1e-6
"""The share of a gradient's squared norm that loss and penalty may leave unexplained, for its step to be read."""

Strength = tuple[float, float]
"""On the weights that go, and on those that stay."""


def loss_gradient(seen: Run, forward: Event, fresh: nn.Module) -> dict[str, Tensor]:
    """The gradient of the loss by the weights, from a forward pass and what came back through its logits."""
    fresh.load_state_dict(forward.state)
    fresh.zero_grad()
    fresh.train(forward.training)
    fresh(forward.rows).backward(forward.pull)
    named = dict(fresh.named_parameters())
    return {name: named[name].grad for name in seen.names if named[name].grad is not None}  # type: ignore[misc]


def strengths(seen: Run, case: Case, first: int = 0, last: int | None = None) -> list[Strength | None]:
    """For each optimizer step before the final mask: the strength on weights that go, and on those that stay.

    Least squares of the gradient used on the loss's and the weight, over the events from ``first`` to ``last``. None
    for a step that cannot be read: of several forward passes, or with a gradient of another form. Raises NotJudged if
    no step can be.
    """
    key = (first, last)
    if key not in seen.memory:
        with one_thread():
            seen.memory[key] = list(_strengths(seen, problems.network(case), seen.events[first:last]))
    found: list[Strength | None] = seen.memory[key]
    if all(pair is None for pair in found):
        raise NotJudged("no optimizer step with its own forward and backward pass was seen before the mask")
    return found


def _strengths(seen: Run, fresh: nn.Module, events: list[Event]) -> Iterator[Strength | None]:
    learned: list[Event] = []  # since the last step of an optimizer
    for event in events:
        if event.kind == "forward" and event.learns:
            learned.append(event)
        elif event.kind == "step":
            if learned and not seen.pruned_zero(learned[0].state):
                yield _strength(seen, fresh, learned[0], event) if len(learned) == 1 else None
            learned = []


def _strength(seen: Run, fresh: nn.Module, before: Event, after: Event) -> Strength | None:
    pure = loss_gradient(seen, before, fresh)
    found = []
    for stays in (False, True):
        columns = [
            (after.grads[name], pure[name], before.state[name], kept if stays else ~kept)
            for name, kept in seen.mask.items()
            if name in pure and name in after.grads
        ]
        if not columns:
            return None
        used, loss, weight = (torch.cat([part[i][part[3]].double() for part in columns]) for i in range(3))
        found.append(_fit(used, loss, weight))
    goes, stays_ = found
    return None if goes is None or stays_ is None else (goes, stays_)


def _fit(used: Tensor, loss: Tensor, weight: Tensor) -> float | None:
    """lambda of used = c (loss + lambda weight), c > 0; None if that is not what the gradient is. 0 without weights."""
    if not bool(weight.any()):
        return 0.0
    pressed = float((used - loss) @ weight / (weight @ weight))
    if _explained(used, loss + pressed * weight):
        return pressed  # not clipped
    scale, pressed = torch.linalg.lstsq(torch.stack([loss, weight], dim=1), used[:, None]).solution[:, 0].tolist()
    return pressed / scale if scale > 0 and _explained(used, scale * loss + pressed * weight) else None


def _explained(used: Tensor, model: Tensor) -> bool:
    return float((used - model).square().sum()) <= UNEXPLAINED * float(used.square().sum())


def check_outside(subject: Subject, case: Case) -> None:
    """Weights that stay feel no more than a constant weight decay."""
    pairs = [pair for pair in strengths(run(subject, case), case) if pair is not None]
    kept = [stays for _, stays in pairs]
    spread = max(kept) - min(kept)
    if spread > max(VISIBLE, 1e-3 * max(abs(goes) for goes, _ in pairs)):
        fail(
            got=f"a penalty on kept weights that varies from {min(kept):.4g} to {max(kept):.4g}",
            expected="a penalty on the weights that go, and on no other",
        )


def check_schedule(subject: Subject, case: Case) -> None:
    """On the weights that go the strength follows the declared schedule, step by step, from the step it sets in."""
    schedule, seen = subject.claims.penalty, run(subject, case)
    pairs = strengths(seen, case)
    extra = [None if pair is None else pair[0] - pair[1] for pair in pairs]  # weight decay, which both feel, cancels
    start = next((i for i, strength in enumerate(extra) if strength is not None and strength > VISIBLE), None)
    first = next((k for k in range(10**6) if schedule(k) > VISIBLE), None)
    if first is None:
        raise NotJudged("the declared schedule is 0 for a million steps")
    if start is None:
        if None in extra or _moved_by_hand(seen):
            raise NotJudged("not every gradient could be read, or weights are changed outside the optimizer as well")
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
        if abs(strength - wanted) > 2e-3 * wanted + VISIBLE:
            fail(got=f"a penalty of {strength:.5g} at step {number} of the ramp", expected=f"{wanted:.5g}, as declared")


def _moved_by_hand(seen: Run) -> bool:
    """Whether weights that go change between a training pass and the optimizer's step, or before the next pass."""
    last: dict[int, Event] = {}
    for event in seen.events:
        if event.kind == "forward" and not event.learns:
            continue
        before = last.get(event.model)
        now = event.before if event.kind == "step" else event.state
        last[event.model] = event
        if before is None or now is None or seen.pruned_zero(now):
            continue
        if any(bool((now[name] != before.state[name])[~kept].any()) for name, kept in seen.mask.items()):
            return True
    return False


def _presses(claims: Any) -> str:
    return "" if claims.penalty is not None else "does not claim a penalty"


FINDER_PENALTY = (
    Invariant(
        id="finder-penalty-outside-mask",
        kind=KIND,
        statement="The penalty presses outside the mask only; kept weights feel at most constant weight decay.",
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
