"""Whether the weights that a finder answers with are one state that its network had while it was trained."""

from __future__ import annotations

from typing import Any

import torch

from unilth.sims.invariants import problems
from unilth.sims.invariants.finder_run import Run, equal_states, masked, run, state_of
from unilth.sims.invariants.invariant import Case, NotJudged, Subject, fail
from unilth.sims.invariants.observe import State


def check_self_contained(subject: Subject, case: Case) -> None:
    """`.weights` load into a fresh network, and are one state that the variant had, buffers included."""
    seen = run(subject, case)
    fresh = problems.network(case)
    weights = state_of(seen.result, "weights")
    try:
        fresh.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        text = " ".join(str(error).split())[:160]
        fail(got=f"a fresh network cannot load .weights: {text}", expected="a complete state_dict, buffers included")
    states = [*(event.state for event in seen.events), *seen.live]
    if not seen.steps():
        raise NotJudged("no optimizer step on the network was seen")
    wanted = masked(weights, seen.mask)
    _judge_trained(seen, wanted)
    states = [{name: value.to(wanted[name].dtype) for name, value in state.items()} for state in states]
    for state in {id(state): state for state in reversed(states)}.values():
        if equal_states(wanted, masked(state, seen.mask)):
            return
    known = any(equal_states(wanted, masked(state, seen.mask), seen.learnable) for state in states)
    if not known and _between(wanted, [masked(state, seen.mask) for state in states], seen.learnable):
        raise NotJudged("the answer lies between states of training, as an average of them does")
    what = "with other buffers (batch-norm statistics) than it had then" if known else "that the network never had"
    fail(
        got=f".weights is a state {what}", expected="one state of the trained network, parameters and buffers together"
    )


def _judge_trained(seen: Run, wanted: State) -> None:
    """Accuse an answer that is where the training under the mask began, if that training led elsewhere."""
    try:
        events = seen.events[seen.final_phase() :]
    except NotJudged:
        return
    start = masked(events[0].state, seen.mask)
    later = [masked(event.state, seen.mask) for event in events if event.kind == "step"]
    stood = any(equal_states(state, start, seen.names) for state in later)
    if later and not stood and equal_states(wanted, start, seen.names):
        fail(
            got=f".weights as they were before the {len(later)} optimizer steps under the mask",
            expected="the state_dict after training",
        )


def _between(wanted: State, states: list[State], names: Any) -> bool:
    """Whether each value lies within those that it had in some states, give or take rounding."""
    for name in names:
        low, high = torch.stack([state[name] for state in states]).aminmax(dim=0)
        slack = 4 * torch.finfo(low.dtype).eps * torch.maximum(low.abs(), high.abs())
        if not bool(((wanted[name] >= low - slack) & (wanted[name] <= high + slack)).all()):
            return False
    return True
