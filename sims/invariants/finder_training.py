"""Invariants of ticket finders, part 2: what happens during training, seen from outside."""

from __future__ import annotations

from typing import Any

import torch

from unilth.sims.invariants import problems
from unilth.sims.invariants.finder_result import FORM, KIND, claim, finder_cases
from unilth.sims.invariants.finder_run import Run, changed_by_hand, masked, run, state_of
from unilth.sims.invariants.globals import one_thread
from unilth.sims.invariants.invariant import Case, Invariant, NotJudged, Subject, fail
from unilth.sims.invariants.observe import Event, State
from unilth.sims.invariants.states import derived


def check_zero_every_step(subject: Subject, case: Case) -> None:
    """From a model's first training pass of the final phase on, pruned weights are 0 at its first use after a step.

    Judged there and not inside the optimizer, as a loop may mask right after `optimizer.step()` or in a hook of the
    next pass; and not at later uses, as an optimizer may try other points on its way to the next step (LBFGS's line
    search, sharpness-aware training).
    Other models that the finder uses meanwhile (a teacher, another candidate) are not the ticket.
    """
    seen = run(subject, case)
    steps: dict[int, int] = {}
    stepped: set[int] = set()  # models of the ticket that have not been used since their last step
    left: dict[int, State] = {}
    ticket = seen.training()
    for index, event in enumerate(seen.events):
        if not ticket.holds(index, event.model):
            continue
        if event.kind == "step" and event.model in steps:
            steps[event.model] += 1
            stepped.add(event.model)
            left[event.model] = event.state
        if event.kind == "step":
            continue
        if seen.pruned_zero(event.state):
            if event.learns:
                steps.setdefault(event.model, 0)
            stepped.discard(event.model)
        if event.model not in stepped:
            continue
        if not seen.same_under_mask(event.state, left[event.model]):
            stepped.discard(event.model)  # other weights were loaded: another network has its turn in this module
            continue
        alive = sum(int(event.state[name][~kept].count_nonzero()) for name, kept in seen.mask.items())
        fail(
            got=f"{alive} pruned weights are not 0 at the next use after optimizer step {steps[event.model]} "
            "under the mask",
            expected="exactly 0 at the use after every step, whatever momentum, Adam's state or weight decay hold",
        )


STRANGE = "the training begins with weights seen nowhere, which may come from other networks under the mask"


def check_rewinds(subject: Subject, case: Case) -> None:
    """Training under the final mask starts with kept weights at their initial values."""
    seen = run(subject, case)
    try:
        start, end = seen.final_phase(), seen.answered()
    except NotJudged:
        _judge_dense_training(seen, case)
        raise
    if end is not None and end < start:
        fail(
            got="weights in the answer that were left behind before the training under the mask began",
            expected="what that training led to, from the initial values",
        )
    first, initial = seen.events[start], seen.result.initial
    for name, kept in seen.mask.items():
        different = int((first.state[name] != initial[name])[kept].sum())
        if different and first.derived:
            raise NotJudged("the weights are computed from other parameters, which are not seen")
        if different and seen.training().strange:
            raise NotJudged(STRANGE)
        if different and not _moved_for_the_pass(seen, start, name):
            fail(
                got=f"{different} of {int(kept.sum())} kept weights of {name!r} differ from .initial",
                expected="exactly their initial values",
            )


def _moved_for_the_pass(seen: Run, start: int, name: str) -> bool:
    """Whether what is kept of a tensor was as initially when the next step came: noise was added for the pass."""
    model, initial = seen.events[start].model, seen.result.initial[name]
    before = next((e.before for e in seen.events[start:] if e.kind == "step" and e.model == model), None)
    return before is not None and bool(((before[name] == initial) | ~seen.mask.get(name, initial == initial)).all())


def _judge_dense_training(seen: Run, case: Case) -> None:
    """Accuse a run without training under the mask whose last training pass used the pruned weights for certain.

    For certain means: the network with exactly those weights gives the logits that were seen. A loop that masks inside
    its forward pass gives others, and is not judged.
    """
    last = next((event for event in reversed(seen.events) if event.kind == "forward" and event.learns), None)
    if last is None or last.rows is None or last.logits is None or seen.pruned_zero(last.state):
        return
    fresh = problems.network(case)
    with one_thread(), torch.no_grad():
        fresh.load_state_dict(last.state)
        used = fresh.train(last.training)(last.rows)
        fresh.load_state_dict(masked(last.state, seen.mask))
        under_mask = fresh.train(last.training)(last.rows)
    if torch.equal(used, last.logits) and not torch.equal(used, under_mask):
        alive = sum(int(last.state[name][~kept].count_nonzero()) for name, kept in seen.mask.items())
        fail(
            got=f"no training under the final mask: {alive} pruned weights took part in the last training pass",
            expected="training under the mask from the initial values, as rewinds claims",
        )


def check_rewinds_rest(subject: Subject, case: Case) -> None:
    """So do biases, batch-norm parameters and statistics."""
    seen = run(subject, case)
    state = seen.events[seen.final_phase()].state
    rest = [name for name in state if name not in seen.mask and name in seen.result.initial]
    wrong = [name for name in rest if not torch.equal(state[name], seen.result.initial[name])]
    wrong = [name for name in wrong if not _moved_for_the_pass(seen, seen.final_phase(), name)]
    if wrong and seen.training().strange:
        raise NotJudged(STRANGE)
    if wrong:
        fail(got=f"{', '.join(wrong)} differ from .initial", expected="the whole network as it was")


def check_rewinds_optimizer(subject: Subject, case: Case) -> None:
    """The first step of each optimizer under the final mask finds no momentum or other state of earlier training."""
    seen = run(subject, case)
    ticket = seen.training()
    known = {event.by for event in seen.events[: ticket.start] if event.kind == "step"}
    firsts: dict[int, Event] = {}
    later: set[int] = set()  # optimizers that begin when there were steps and new gradients under the mask
    again = False
    for index, event in enumerate(seen.events):
        if not ticket.holds(index, event.model):
            continue
        if event.kind == "step":
            if event.by not in firsts and again:
                later.add(event.by)
            firsts.setdefault(event.by, event)
        again = again or (event.learns and bool(firsts))
    if not firsts:
        raise NotJudged("no optimizer step was seen after the mask was applied")
    for by, first in firsts.items():
        if first.carried and (by in known or by not in later):
            fail(
                got=f"an optimizer that brings {', '.join(first.carried)} from earlier training",
                expected="one that starts anew, as the weights do",
            )
    if any(first.carried for first in firsts.values()):
        raise NotJudged("an optimizer goes on with what another one may have learned under the mask")


def check_keeps_largest(subject: Subject, case: Case) -> None:
    """In some state that the network had before the mask was applied, the kept weights were the largest.

    Where training under the mask starts again from the initial values, after other training, those do not count, nor do
    they under an earlier mask: a mask of theirs would have been taken after rewinding.
    """
    seen = run(subject, case)
    try:
        end = seen.final_phase()
    except NotJudged:
        end = len(seen.events)
        if not seen.steps():
            raise
    candidates = [seen.given, *(event.state for event in seen.events[:end])]
    changed = changed_by_hand(seen, end)
    trained, start = any(event.kind == "step" for event in seen.events[:end]), state_of(seen.result, "initial")
    if subject.claims.rewinds and trained:
        candidates = [state for state in candidates if not derived(state, [start], seen.names)]
    elif not trained:
        candidates.append(start)
    scope = subject.claims.scope
    if any(largest(seen.mask, state, scope) for state in reversed(candidates)):
        return
    if trained and not _own_steps(seen, end) and largest(seen.mask, start, scope):
        raise NotJudged("the mask is that of the initial values, and what was trained before it were others")
    strange = end < len(seen.events) and not derived(seen.events[end].state, [seen.given, start], seen.names)
    if changed or (strange and not trained):
        raise NotJudged("weights are changed outside the optimizer as well, so not every state was seen")
    fail(
        got=f"in none of {len(candidates)} states before the mask were the kept weights the largest",
        expected="the largest magnitudes of some state of the network"
        + (" in training" if subject.claims.rewinds and trained else ""),
    )


def _own_steps(seen: Run, end: int) -> bool:
    """Whether the network that is trained under the mask (any, if none is) took steps before that."""
    own = {event.model for event in seen.events[end : end + 1]}
    return any(event.kind == "step" and (not own or event.model in own) for event in seen.events[:end])


def largest(mask: State, state: State, scope: str) -> bool:
    """Whether the weights that a mask keeps are the largest of a state: of all, or of each layer."""
    groups = [list(mask)] if scope == "global" else [[name] for name in mask]
    for names in groups:
        values = torch.cat([state[name].abs().reshape(-1) for name in names])
        kept = torch.cat([mask[name].reshape(-1) for name in names])
        if bool(kept.any()) and bool((~kept).any()) and bool(values[~kept].max() > values[kept].min()):
            return False
    return True


def _row(id: str, statement: str, why: str, check: Any, cases: Any = finder_cases, **more: Any) -> Invariant:
    return Invariant(id, KIND, statement, why, check, cases, **{"needs": FORM, **more})


def _rewinds(claims: Any) -> str:
    return "" if claims.rewinds else "does not claim rewinds=True"


FINDER_TRAINING = (
    _row(
        "finder-zero-after-every-step",
        "Once trained under the final mask, pruned weights are exactly 0 when they are next used after a step.",
        "masking only the gradient revives every pruned weight under momentum, Nesterov, Adam and AdamW",
        check_zero_every_step,
    ),
    _row(
        "finder-rewinds",
        "Training under the final mask starts with kept weights at exactly their initial values.",
        "open_lth-style rewinding to an aliased state, or to one with a mask applied twice, starts somewhere else",
        check_rewinds,
        excuse=_rewinds,
        needs=(*FORM, "finder-initial-is-initial", "finder-prunable-only"),
    ),
    _row(
        "finder-rewinds-the-rest",
        "So start biases, batch-norm parameters and batch-norm statistics.",
        "Lightning's lottery mode does not restore biases, batch norm, statistics or momentum",
        check_rewinds_rest,
        excuse=lambda claims: "" if claims.rewinds is True else "does not claim rewinds=True (the whole network)",
        needs=(*FORM, "finder-initial-is-initial"),
    ),
    _row(
        "finder-rewinds-optimizer",
        "The final training starts with an optimizer that holds nothing from earlier training.",
        "Lightning's lottery mode does not restore momentum: the first rewound steps go where training ended",
        check_rewinds_optimizer,
        excuse=lambda claims: "" if claims.rewinds is True else "does not claim rewinds=True (the whole training)",
        needs=(*FORM, "finder-zero-after-every-step", "finder-rewinds"),
    ),
    _row(
        "finder-keeps-largest",
        "In some state before the mask was applied the kept weights were the largest in magnitude.",
        "a popular LTH script compares signed values with epsilon; a 'magnitude' mask taken after rewinding is random",
        check_keeps_largest,
        excuse=claim("keeps", "largest"),
        needs=(*FORM, "finder-prunable-only"),
        theorem="T8.1",
    ),
)
