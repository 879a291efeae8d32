"""Invariants of ticket finders, part 2: what happens during training, seen from outside, and what the seed decides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.nn import functional as F

from unilth.sims.invariants import problems
from unilth.sims.invariants.finder_penalty import VISIBLE, strengths
from unilth.sims.invariants.finder_result import FORM, KIND, claim, finder_cases, first_case, masked
from unilth.sims.invariants.finder_run import Run, equal_states, run, state_of
from unilth.sims.invariants.globals import one_thread
from unilth.sims.invariants.invariant import Case, Invariant, NotJudged, Plan, Subject, fail
from unilth.sims.invariants.mask_chance import SIGMAS
from unilth.sims.invariants.observe import Event, State, places


def check_zero_every_step(subject: Subject, case: Case) -> None:
    """From a model's first training pass under the final mask on, pruned weights are 0 at its first use after a step.

    Judged there and not inside the optimizer, as a loop may mask right after `optimizer.step()`; and not at later uses,
    as an optimizer may try other points on its way to the next step (LBFGS's line search, sharpness-aware training).
    Other models that the finder uses meanwhile (a teacher, another candidate) are not the ticket.
    """
    seen = run(subject, case)
    steps: dict[int, int] = {}
    stepped: set[int] = set()  # models of the ticket that have not been used since their last step
    for event in seen.events[seen.final_phase() :]:
        if event.kind == "step" and event.model in steps:
            steps[event.model] += 1
            stepped.add(event.model)
        if event.kind == "step":
            continue
        if seen.pruned_zero(event.state):
            if event.learns:
                steps.setdefault(event.model, 0)
            stepped.discard(event.model)
        if event.model not in stepped:
            continue
        alive = sum(int(event.state[name][~kept].count_nonzero()) for name, kept in seen.mask.items())
        fail(
            got=f"{alive} pruned weights are not 0 at the next use after optimizer step {steps[event.model]} "
            "under the mask",
            expected="exactly 0 after every step, whatever momentum, Adam's state or weight decay hold",
        )


def check_rewinds(subject: Subject, case: Case) -> None:
    """Training under the final mask starts with kept weights at their initial values."""
    seen = run(subject, case)
    try:
        state = seen.events[seen.final_phase()].state
    except NotJudged:
        _judge_dense_training(seen, case)
        raise
    for name, kept in seen.mask.items():
        different = int((state[name] != seen.result.initial[name])[kept].sum())
        if different:
            fail(
                got=f"{different} of {int(kept.sum())} kept weights of {name!r} differ from .initial",
                expected="exactly their initial values",
            )


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
    if wrong:
        fail(got=f"{', '.join(wrong)} differ from .initial", expected="the whole network as it was")


def check_rewinds_optimizer(subject: Subject, case: Case) -> None:
    """The first step of each optimizer under the final mask finds no momentum or other state of earlier training."""
    seen = run(subject, case)
    firsts: dict[int, Event] = {}
    for event in seen.events[seen.final_phase() :]:
        if event.kind == "step":
            firsts.setdefault(event.by, event)
    if not firsts:
        raise NotJudged("no optimizer step was seen after the mask was applied")
    for first in firsts.values():
        if first.carried:
            fail(
                got=f"an optimizer that brings {', '.join(first.carried)} from earlier training",
                expected="one that starts anew, as the weights do",
            )


def check_keeps_largest(subject: Subject, case: Case) -> None:
    """In some state that the network had before the mask was applied, the kept weights were the largest.

    Where training under the mask starts again from the initial values, after other training, those do not count: a mask
    of theirs would have been taken after rewinding.
    """
    seen = run(subject, case)
    try:
        end = seen.final_phase()
    except NotJudged:
        end = len(seen.events)
        if not seen.steps():
            raise
    candidates = [seen.given, *(event.state for event in seen.events[:end])]
    trained = any(event.kind == "step" for event in seen.events[:end])
    if subject.claims.rewinds and trained:
        start = state_of(seen.result, "initial")
        candidates = [state for state in candidates if not equal_states(state, start, seen.names)]
    if not any(_largest(seen, state, subject.claims.scope) for state in reversed(candidates)):
        fail(
            got=f"in none of {len(candidates)} states before the mask were the kept weights the largest",
            expected="the largest magnitudes of some state of the network"
            + (" in training" if subject.claims.rewinds and trained else ""),
        )


def _largest(seen: Run, state: State, scope: str) -> bool:
    groups = [list(seen.mask)] if scope == "global" else [[name] for name in seen.mask]
    for names in groups:
        values = torch.cat([state[name].abs().reshape(-1) for name in names])
        kept = torch.cat([seen.mask[name].reshape(-1) for name in names])
        if bool(kept.any()) and bool((~kept).any()) and bool(values[~kept].max() > values[kept].min()):
            return False
    return True


def _same(first: Run, second: Run, *, got: str, expected: str) -> None:
    for name, kept in first.mask.items():
        if not torch.equal(kept, second.mask[name]):
            different = int((kept != second.mask[name]).sum())
            fail(got=f"{got}: {different} of {kept.numel()} mask entries of {name!r} differ", expected=expected)
    for name, value in first.result.weights.items():
        if not torch.equal(value, second.result.weights[name]):
            fail(got=f"{got}: weights of {name!r} differ", expected=expected)


def check_deterministic(subject: Subject, case: Case) -> None:
    """The same call gives the same ticket, bit by bit."""
    _same(
        run(subject, case), run(subject, case, repeat=1),
        got="the same call again", expected="the same ticket, bit by bit",
    )  # fmt: skip


def check_ignores_global(subject: Subject, case: Case) -> None:
    """The state of the global generators does not matter."""
    _same(
        run(subject, case), run(subject, case, world=2),
        got="under another global seed", expected="the same ticket: the argument `seed` decides",
    )  # fmt: skip


def check_seeds_differ(subject: Subject, case: Case) -> None:
    """Another seed draws another random mask."""
    first, second = run(subject, case), run(subject, case, seed=int(case["seed"]) + 1)
    if all(torch.equal(kept, second.mask[name]) for name, kept in first.mask.items()):
        fail(got="two seeds give the same random mask", expected="different masks")


def check_random(subject: Subject, case: Case) -> None:
    """Within layers, the kept weights are neither the initially large nor the initially small ones, beyond chance."""
    seen = run(subject, case)
    starts = [seen.given, *(event.state for event in seen.events if event.kind == "forward" and event.learns)][:2]
    for start in starts:
        if all(not start[name][~kept].any() for name, kept in seen.mask.items()):
            continue  # pruned before it was trained: the largest are the kept ones, whatever chose them
        surplus, variance = 0.0, 0.0
        for name, kept in seen.mask.items():
            n, k = kept.numel(), int(kept.sum())
            large = torch.zeros(n, dtype=torch.bool)
            large[start[name].abs().float().reshape(-1).argsort(descending=True)[:k]] = True
            surplus += int((large & kept.reshape(-1)).sum()) - k * k / n
            variance += (k * (n - k)) ** 2 / (n * n * max(n - 1, 1))  # hypergeometric
        if not variance:
            raise NotJudged("nothing was drawn: layers are full or empty")
        if abs(surplus) > SIGMAS * variance**0.5:
            fail(
                got=f"the initially largest weights of their layers are kept {surplus:+.0f} times beyond expectation",
                expected=f"at most {SIGMAS * variance**0.5:.0f} either way, were it chance",
            )


def check_no_validation(subject: Subject, case: Case) -> None:
    """No gradient comes from a row of the validation split."""
    seen = run(subject, case)
    known = torch.cat([seen.pristine.validation[0], seen.pristine.train[0]])
    held_out, recognised = len(seen.pristine.validation[0]), False
    for event in seen.events:
        if event.kind == "forward" and event.learns and event.rows is not None:
            found = [place for place in places(event.rows, known) if place is not None]
            guilty = sum(place < held_out for place in found)
            if guilty:
                fail(
                    got=f"a gradient from {guilty} validation rows",
                    expected="validation data only steers stopping",
                )
            recognised = recognised or bool(found)
    if not recognised:
        raise NotJudged("no training row was recognised as one of those given")


def evaluations(seen: Run) -> list[tuple[int, float, State]]:
    """Complete passes over the validation split: (index of the last event, mean cross-entropy, state)."""
    inputs, labels = seen.pristine.validation
    found: list[tuple[int, float, State]] = []
    losses: dict[int, float] = {}
    for index, event in enumerate(seen.events):
        if event.kind == "step":
            losses = {}
        elif _looks(event) and event.rows is not None and event.logits is not None:
            where = places(event.rows, inputs)
            if None in where or event.logits.dim() != 2:
                continue
            chosen = torch.tensor(where)
            parts = F.cross_entropy(event.logits.double(), labels[chosen], reduction="none")
            losses |= dict(zip(where, parts.tolist(), strict=True))  # type: ignore[arg-type]
            if len(losses) == len(labels):
                found.append((index, sum(losses.values()) / len(labels), event.state))
                losses = {}
    return found


def _looks(event: Event) -> bool:
    """Whether an event is a forward pass in evaluation mode from which nothing is learned."""
    return event.kind == "forward" and not event.learns and not event.training


def check_stops(subject: Subject, case: Case) -> None:
    """When the patience runs out for the first time, training does not go on from there, but from the best state."""
    seen, patience = run(subject, case), subject.claims.stops_early
    if not seen.steps():
        raise NotJudged("no optimizer step on the network was seen")
    passes = evaluations(seen)
    if not passes:
        if any(_looks(event) for event in seen.events):
            raise NotJudged("no evaluation was recognised as one of the validation split given")
        fail(got="no pass over the validation split in evaluation mode", expected="one after each epoch, to stop by")
    best = 0
    for number, (index, loss, last) in enumerate(passes):
        if loss < passes[best][1]:
            best = number
        if number - best < patience:
            continue
        if _phase_over(seen, case, passes[best][0], index):
            raise NotJudged("the first training ended before its patience ran out")
        following = next((e for e in seen.events[index:] if e.kind == "forward" and e.learns), None)
        if following is not None:
            _judge_restart(seen, following, passes[best][2], last, number - best)
        return
    raise NotJudged("the patience never ran out on this problem")


def _phase_over(seen: Run, case: Case, best: int, index: int) -> bool:
    """Whether something else had begun by an evaluation: another optimizer, other weights, or a penalty."""
    steps = [event.by for event in seen.events[:index] if event.kind == "step"]
    if len(set(steps)) > 1:
        return True
    left: State | None = None
    for event in seen.events[:index]:
        if (
            event.kind == "forward"
            and event.learns
            and left is not None
            and not equal_states(event.state, left, seen.names)
        ):
            return True
        left = event.state if event.kind == "step" else left
    pressed = strengths(seen, case, best, index)
    return any(pair is not None and pair[0] - pair[1] > VISIBLE for pair in pressed)


def _judge_restart(seen: Run, following: Event, best: State, last: State, waited: int) -> None:
    """Compare the state that training goes on with to the best and to the last one, where it is not 0 (pruned)."""
    differs = [(name, best[name] != last[name]) for name in seen.names]
    now = following.state
    from_last = all(bool((now[name] == last[name])[where & (now[name] != 0)].all()) for name, where in differs)
    telling = any(bool((where & (now[name] != 0)).any()) for name, where in differs)
    if telling and from_last:
        fail(
            got=f"training goes on from the last weights, {waited} evaluations after the best validation loss",
            expected="a stop, and the best weights restored",
        )


def overfit_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """Few rows, half of them mislabelled: the validation loss rises before long."""
    yield {"problem": "overfit", "sparsity": 0.5, "seed": plan.seed % 1000}
    yield from first_case(claims, plan)


def _row(id: str, statement: str, why: str, check: Any, cases: Any = finder_cases, **more: Any) -> Invariant:
    return Invariant(id, KIND, statement, why, check, cases, **{"needs": FORM, **more})


def _random(claims: Any) -> str:
    return "" if claims.keeps == "random" else f'claims keeps={claims.keeps!r}, not "random"'


def _rewinds(claims: Any) -> str:
    return "" if claims.rewinds else "does not claim rewinds=True"


def _stops(claims: Any) -> str:
    return "" if claims.stops_early is not None else "does not claim stops_early"


FINDER_TRAINING = (
    _row(
        "finder-zero-after-every-step",
        "Once trained under the final mask, pruned weights are exactly 0 after every optimizer step.",
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
        needs=(*FORM, "finder-zero-after-every-step"),
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
    _row(
        "finder-deterministic",
        "The same seed gives the same ticket, bit by bit.",
        "open_lth has no seed for the initialisation; DLTH redraws the mask on resume",
        check_deterministic,
        first_case,
    ),
    _row(
        "finder-ignores-global-state",
        "The argument `seed` decides, not the state of global generators.",
        "DLTH seeds torch and python but draws masks from NumPy: two runs with one seed overlap no more than chance",
        check_ignores_global,
        first_case,
        needs=(*FORM, "finder-deterministic"),
    ),
    _row(
        "finder-seeds-differ",
        "Another seed draws another random mask.",
        "a generator that is seeded inside makes all seeds of a table the same run, with a spread of zero",
        check_seeds_differ,
        first_case,
        excuse=_random,
    ),
    _row(
        "finder-random-is-random",
        "A random mask prefers neither initially large nor initially small weights.",
        "DLTH's README command omits an option, and its 'random' mask is the smallest magnitudes",
        check_random,
        excuse=_random,
        needs=(*FORM, "finder-prunable-only", "finder-seeds-differ"),
    ),
    _row(
        "finder-no-validation-rows",
        "No gradient comes from a validation row.",
        "DLTH stops and reports the best epoch on the test set; held-out data that is trained on holds out nothing",
        check_no_validation,
    ),
    _row(
        "finder-stops-early",
        "When the patience has run out, training goes on from the best weights, never from the last.",
        "early stopping that reports the best epoch and keeps the last weights",
        check_stops,
        overfit_cases,
        excuse=_stops,
        theorem="T1.1",
    ),
)
