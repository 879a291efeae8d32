"""Invariants of ticket finders, part 3: the penalty, told apart from the loss by repeating its backward pass.

The gradient that came back through the logits is known from outside. Sending it through the same network once more
gives the gradient of the loss alone; what an optimizer step used beyond that is the penalty (and weight decay, where
that is in the gradient): for a weight w, lambda w.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from unilth.sims.invariants import problems
from unilth.sims.invariants.finder_result import FORM, KIND, first_case
from unilth.sims.invariants.finder_run import Run, run
from unilth.sims.invariants.globals import one_thread
from unilth.sims.invariants.invariant import Case, Invariant, NotJudged, Subject, fail
from unilth.sims.invariants.observe import Event

VISIBLE = 1e-4
"""A strength below this is not told from rounding."""


def loss_gradient(seen: Run, forward: Event, fresh: nn.Module) -> dict[str, Tensor]:
    """The gradient of the loss by the weights, from a forward pass and what came back through its logits."""
    fresh.load_state_dict(forward.state)
    fresh.zero_grad()
    fresh.train(forward.training)
    fresh(forward.rows).backward(forward.pull)
    named = dict(fresh.named_parameters())
    return {name: named[name].grad for name in seen.names if named[name].grad is not None}  # type: ignore[misc]


def strengths(seen: Run, case: Case, first: int = 0, last: int | None = None) -> list[tuple[float, float]]:
    """For each optimizer step before the final mask: the strength on weights that go, and on those that stay.

    Least squares of (gradient used - gradient of the loss) on the weight, over the events from ``first`` to ``last``.
    Only steps of one forward pass are read. Raises NotJudged if there is none.
    """
    key = (first, last)
    if key not in seen.memory:
        with one_thread():
            seen.memory[key] = list(_strengths(seen, problems.network(case), seen.events[first:last]))
    found: list[tuple[float, float]] = seen.memory[key]
    if not found:
        raise NotJudged("no optimizer step with its own forward and backward pass was seen before the mask")
    return found


def _strengths(seen: Run, fresh: nn.Module, events: list[Event]) -> Iterator[tuple[float, float]]:
    for before, after in itertools.pairwise(events):
        if before.kind != "forward" or not before.learns or after.kind != "step" or seen.pruned_zero(before.state):
            continue
        pure = loss_gradient(seen, before, fresh)
        sums = {True: [0.0, 0.0], False: [0.0, 0.0]}
        for name, kept in seen.mask.items():
            if name in pure and name in after.grads:
                weight = before.state[name].double()
                extra = after.grads[name].double() - pure[name].double()
                for stays in (True, False):
                    where = kept if stays else ~kept
                    sums[stays][0] += float((extra * weight)[where].sum())
                    sums[stays][1] += float((weight * weight)[where].sum())
        yield sums[False][0] / max(sums[False][1], 1e-30), sums[True][0] / max(sums[True][1], 1e-30)


def check_outside(subject: Subject, case: Case) -> None:
    """Weights that stay feel no more than a constant weight decay."""
    pairs = strengths(run(subject, case), case)
    kept = [stays for _, stays in pairs]
    spread = max(kept) - min(kept)
    if spread > max(VISIBLE, 1e-3 * max(abs(goes) for goes, _ in pairs)):
        fail(
            got=f"a penalty on kept weights that varies from {min(kept):.4g} to {max(kept):.4g}",
            expected="a penalty on the weights that go, and on no other",
        )


def check_schedule(subject: Subject, case: Case) -> None:
    """On the weights that go the strength follows the declared schedule, step by step, from the step it sets in."""
    schedule = subject.claims.penalty
    pairs = strengths(run(subject, case), case)
    extra = [goes - stays for goes, stays in pairs]  # weight decay, which both feel, cancels
    start = next((i for i, strength in enumerate(extra) if strength > VISIBLE), None)
    first = next((k for k in range(10**6) if schedule(k) > VISIBLE), None)
    if first is None:
        raise NotJudged("the declared schedule is 0 for a million steps")
    if start is None:
        fail(
            got="no penalty on the weights that go at any step",
            expected=f"{schedule(first):.4g} at step {first} of the ramp",
        )
    for number, strength in enumerate(extra[start:], start=first):
        wanted = schedule(number)
        if abs(strength - wanted) > 2e-3 * wanted + VISIBLE:
            fail(got=f"a penalty of {strength:.5g} at step {number} of the ramp", expected=f"{wanted:.5g}, as declared")


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
