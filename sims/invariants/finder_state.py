"""Whether the weights that a finder answers with are one state that its network had while it was trained."""

from __future__ import annotations

from unilth.sims.invariants import problems
from unilth.sims.invariants.finder_run import Run, changed_by_hand, equal_states, masked, run, state_of
from unilth.sims.invariants.invariant import Case, NotJudged, Subject, fail
from unilth.sims.invariants.observe import Event, State
from unilth.sims.invariants.states import between


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
        raise NotJudged(seen.nothing_stepped)
    wanted = masked(weights, seen.mask)
    _judge_trained(seen, wanted)
    states = [{name: value.to(wanted[name].dtype) for name, value in state.items()} for state in states]
    for state in {id(state): state for state in reversed(states)}.values():
        if equal_states(wanted, masked(state, seen.mask)):
            _judge_together(seen, wanted)
            return
    known = any(equal_states(wanted, masked(state, seen.mask), seen.learnable) for state in states)
    buffers = [name for name in wanted if name not in seen.learnable]
    if known and not any(equal_states(wanted, state, buffers) for state in [seen.given, *states]):
        raise NotJudged("the buffers are those of no state that was seen: they may have been taken anew")
    if not known and between(wanted, [masked(state, seen.mask) for state in states], seen.learnable):
        raise NotJudged("the answer lies between states of training, as an average of them does")
    what = "with other buffers (batch-norm statistics) than it had then" if known else "that the network never had"
    fail(
        got=f".weights is a state {what}", expected="one state of the trained network, parameters and buffers together"
    )


def _judge_together(seen: Run, wanted: State) -> None:
    """Accuse parameters of one trained state put together with buffers of another.

    A state is trained that a step left, that a pass was entered with which was learned from, or that one left in
    training mode.
    """
    here, elsewhere, there = False, False, False
    buffers = [name for name in wanted if name not in seen.learnable]
    before: dict[int, Event] = {}
    ends = [Event("end", state, model=number) for number, state in enumerate(seen.live)]
    for event in [*seen.events, *ends]:
        last = before.get(event.model)
        passed = last is not None and last.training and equal_states(event.state, last.state, seen.learnable)
        if event.kind == "step" or event.learns or passed:
            state = {name: value.to(wanted[name].dtype) for name, value in masked(event.state, seen.mask).items()}
            same, held = (equal_states(state, wanted, names) for names in (seen.learnable, buffers))
            here, elsewhere, there = here or (same and held), elsewhere or same, there or held
        before[event.model] = event
    if elsewhere and there and not here:
        fail(
            got=".weights has the parameters of one trained state, and the buffers (batch-norm statistics) of another",
            expected="one state of the trained network, parameters and buffers together",
        )


LAST = 3
"""At how many uses before the answer a weight must have been 0, each after a step, to be held there."""


def held_at_zero(seen: Run) -> dict[str, int]:
    """By layer: how many weights that are 0 in the answer, and not from the start, were so at the last uses as well.

    If no use was seen, that is all of them.
    So are those that were put to 0 after the last step, when all others are what it left. A training that shrinks
    weights to 0 by itself (proximal steps for an L1 penalty) holds none, so it is not judged.
    """
    pruned = _pruned_at_the_end(seen)
    if pruned:
        return pruned
    uses, stepped = [], False
    for event in seen.events:
        if stepped and event.learns:
            uses.append(event.state)
        stepped = event.kind == "step" or (stepped and not event.learns)
    initial = state_of(seen.result, "initial")
    zeros = {name: (seen.result.weights[name] == 0) & (initial[name] != 0) for name in seen.mask}
    for state in uses[-LAST:]:
        zeros = {name: where & (state[name] == 0) for name, where in zeros.items()}
    held = {name: int(where.sum()) for name, where in zeros.items() if bool(where.any())}
    by_itself = any(
        event.before is not None and bool((zeros[name] & (event.state[name] == 0) & (event.before[name] != 0)).any())
        for event in seen.steps()
        for name in held
    )
    if by_itself or (held and changed_by_hand(seen, len(seen.events))):
        raise NotJudged("weights are 0 that training may have brought there, as a proximal step does")
    return held


def _pruned_at_the_end(seen: Run) -> dict[str, int]:
    """By layer: how many weights the answer has at 0 that the last step left elsewhere, and it changed no other."""
    steps = seen.steps()
    if not steps:
        return {}
    pairs = {name: (seen.result.weights[name], steps[-1].state[name]) for name in seen.mask}
    if not all(bool(((now == then) | (now == 0)).all()) for now, then in pairs.values()):
        return {}
    counts = {name: int(((now == 0) & (then != 0)).sum()) for name, (now, then) in pairs.items()}
    return {name: count for name, count in counts.items() if count}


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
