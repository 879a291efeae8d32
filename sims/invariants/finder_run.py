"""One observed run of a finder on one case, remembered, and what can be read off it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from unilth.sims.invariants import problems
from unilth.sims.invariants.globals import global_state, one_thread
from unilth.sims.invariants.invariant import Case, NotJudged, Subject, fail
from unilth.sims.invariants.looks import looks
from unilth.sims.invariants.observe import Event, Observer, State
from unilth.sims.invariants.phases import Training, training
from unilth.sims.invariants.states import derived, under

ALIKE = 0.5
"""Cosine between weights from which one state may come from the other; of 1,000 drawn anew it is 0 +- 0.03."""

PARALLEL, GROWN = 1e-10, 1e-3
"""What rounding leaves of 1 - cosine between a layer and its multiple, and by how much a multiple is another one."""


@dataclass
class Run:
    """What a finder was given, what it answered and what was seen meanwhile.

    ``within``: where only one round of it is meant, the mask of the round before.
    """

    network: nn.Module
    given: State
    modes: dict[str, bool]
    learnable: dict[str, bool]
    data: problems.Data
    pristine: problems.Data
    result: Any
    events: list[Event]
    names: list[str]
    live: list[State] = field(default_factory=list)
    optimizer_state: list[tuple[str, str, Tensor]] = field(default_factory=list)
    memory: dict[Any, Any] = field(default_factory=dict)
    blind: bool = False
    within: State | None = None

    @property
    def nothing_stepped(self) -> str:
        """Why there are no optimizer steps to judge."""
        if self.blind:
            return "something that training uses could not be copied or compared, so nothing that was seen counts"
        return "no optimizer step on the network was seen"

    @property
    def mask(self) -> State:
        """The result's mask."""
        mask: State = self.result.mask
        return mask

    def goes(self) -> State:
        """Where the mask prunes what was there before."""
        return {name: ~kept if self.within is None else self.within[name] & ~kept for name, kept in self.mask.items()}

    def steps(self) -> list[Event]:
        """The optimizer steps that were seen."""
        return [event for event in self.events if event.kind == "step"]

    def pruned_zero(self, state: State) -> bool:
        """Whether every weight that the final mask prunes is exactly 0 in a state."""
        return under(self.mask, state)

    def starts(self) -> list[State]:
        """The state as given, and those from which a network began to learn.

        That is where the first model learns for the first time, and where weights were drawn anew, for another model or
        in place: then they are like none that were trained before, and are none of a start under a mask; or they are
        an earlier start, scaled. The given state is none if no network that learned was ever like it.
        """
        found, trained = [self.given], list[State]()
        stepped: dict[int, bool] = {}
        for event in self.events:
            if event.kind == "step":
                trained.append(event.state)
                stepped |= {event.model: True} if event.model in stepped else {}
            elif event.learns and event.model not in stepped:
                if len(found) == 1 or self._drawn(event.state, trained, found):
                    found.append(event.state)
                stepped[event.model] = False
            elif event.learns and stepped[event.model]:
                stepped[event.model] = False
                if self._drawn(event.state, trained, found):
                    found.append(event.state)
            if event.learns:
                trained.append(event.state)  # where a finder takes steps by hand, none leaves a state
        strange = not any(self._likeness(state, self.given) >= ALIKE for state in trained)
        return found[1:] if strange and len(found) > 1 else found

    def _drawn(self, state: State, trained: list[State], found: list[State]) -> bool:
        if any(self._scaled(state, start) for start in found):
            return True
        unlike = all(self._likeness(state, other) < ALIKE for other in reversed(trained))
        return unlike and not derived(state, found, self.names)

    def _scaled(self, state: State, other: State) -> bool:
        """Whether each layer is a multiple of another state's, and not the same: no training keeps directions so."""
        turns, grows = [], []
        for name in self.names:
            now, then = state[name].double().reshape(-1), other[name].double().reshape(-1)
            turns.append(1 - float(torch.nn.functional.cosine_similarity(now, then, dim=0)))
            grows.append(abs(float(now.norm() / then.norm()) - 1))
        return max(turns) < PARALLEL and max(grows) > GROWN

    def _likeness(self, state: State, other: State) -> float:
        """The cosine between the weights of two states, where those of the first are not 0."""
        now, then = (torch.cat([part[name].double().reshape(-1) for name in self.names]) for part in (state, other))
        return float(torch.nn.functional.cosine_similarity(now, then * (now != 0), dim=0))

    def looks(self) -> set[int]:
        """Learning passes of which no training came."""
        if "looks" not in self.memory:
            answer = {name: self.result.weights[name] for name in self.names}
            self.memory["looks"] = looks(self.events, self.given, self.live, self.names, answer)
        found: set[int] = self.memory["looks"]
        return found

    def is_answer(self, state: State) -> bool:
        """Whether a state has the answered weights where the mask keeps them."""
        weights = self.result.weights
        kept = ((state[name].to(weights[name].dtype) * kept, weights[name] * kept) for name, kept in self.mask.items())
        return all(torch.equal(there, here) for there, here in kept)

    def same_under_mask(self, state: State, other: State) -> bool:
        """Whether two states have the same weights where the mask keeps them."""
        return all(torch.equal(state[name][kept], other[name][kept]) for name, kept in self.mask.items())

    def answered(self) -> int | None:
        """Index of the last event that saw the answered weights, None if none did."""
        return next((at for at in reversed(range(len(self.events))) if self.is_answer(self.events[at].state)), None)

    def training(self) -> Training:
        """The training under the final mask that led to the answer (`phases` says when it raises NotJudged)."""
        if "training" not in self.memory:
            self.memory["training"] = training(self)
        found: Training = self.memory["training"]
        return found

    def final_phase(self) -> int:
        """Index of the pass with which that training begins."""
        return self.training().start

    def ticket_begins(self) -> int | None:
        """The same; None where there is no such training, or none was seen."""
        try:
            return self.final_phase()
        except NotJudged:
            return None


def changed_by_hand(seen: Run, end: int) -> bool:
    """Whether weights differ at a pass from what the last step left, other than by masking or rewinding them."""
    left: dict[int, State] = {}
    for event in seen.events[:end]:
        if event.kind == "step":
            left[event.model] = event.state
        elif event.model in left:
            before = left.pop(event.model)
            for name in seen.names:
                now = event.state[name]
                if bool(((now != before[name]) & (now != 0) & (now != seen.given[name])).any()):
                    return True
    return False


def run(subject: Subject, case: Case, *, world: int = 1, repeat: int = 0, **changes: Any) -> Run:
    """The finder's run on a case, under a state of the global generators; runs are remembered by their arguments."""
    case = {**case, **changes}
    key = f"{sorted(case.items())}/{world}/{repeat}"
    if key not in subject.memory:
        subject.memory[key] = _run(subject, case, world)
    return subject.memory[key]  # type: ignore[no-any-return]


def _run(subject: Subject, case: Case, world: int) -> Run:
    made, given_data = problems.network(case), problems.data(case)
    given = {name: value.detach().clone() for name, value in made.state_dict().items()}
    modes = {name: module.training for name, module in made.named_modules()}
    learnable = {name: parameter.requires_grad for name, parameter in made.named_parameters()}
    pristine, observer = copy.deepcopy(given_data), Observer(made)
    with one_thread(), global_state(world), observer.watching():
        result = subject.call(made, given_data, float(case["sparsity"]), seed=int(case["seed"]))
    names = problems.prunable(made)
    if observer.blind:
        return Run(made, given, modes, learnable, given_data, pristine, result, [], names, blind=True)
    live = [observer.snapshot(model) for model in observer.models]
    events, held = observer.events, observer.optimizer_state()
    return Run(made, given, modes, learnable, given_data, pristine, result, events, names, live, held)


def state_of(result: Any, part: str) -> State:
    """One part of the answer as a dict of tensors; a violation if it is anything else."""
    value: Any = getattr(result, part, None)
    if not isinstance(value, dict):
        value = dict(value.items()) if hasattr(value, "items") else None
    if value is None or not all(isinstance(tensor, Tensor) for tensor in value.values()):
        fail(
            got=f".{part} of type {type(getattr(result, part, None)).__name__}", expected=f".{part}, a dict of tensors"
        )
    for name, tensor in value.items():
        if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_nested:
            kind = "meta" if tensor.is_meta else "nested" if tensor.is_nested else str(tensor.layout)
            fail(got=f".{part}[{name!r}] as a {kind} tensor", expected="a dense tensor with values")
    state: State = value
    return state


def equal_states(first: State, second: State, names: Any = None) -> bool:
    """Whether two states hold the same values under the given names (all, if none are given)."""
    return all(torch.equal(first[name], second[name]) for name in (first if names is None else names))


def masked(state: State, mask: State) -> State:
    """A state with zeros where the mask prunes."""
    return {name: value * mask[name] if name in mask else value for name, value in state.items()}
