"""Invariants of ticket finders, part 6: what a variant claims to handle beyond plain networks and plain SGD."""

from __future__ import annotations

from typing import Any

import torch

from unilth.sims.invariants.finder_chance import check_ignores_global
from unilth.sims.invariants.finder_result import FORM, KIND, check_form, finder_cases
from unilth.sims.invariants.finder_run import run
from unilth.sims.invariants.finder_training import check_zero_every_step
from unilth.sims.invariants.invariant import Case, Invariant, NotJudged, Subject, fail


def ability(name: str) -> Any:
    """Excuse: needs the ability."""
    return lambda claims: "" if name in claims.handles else f"does not claim to handle {name}"


def ability_cases(name: str) -> Any:
    """One problem with the ability's network."""
    return lambda claims, plan: iter([{"problem": name, "sparsity": 0.73, "seed": plan.seed % 1000}])


def check_dropout(subject: Subject, case: Case) -> None:
    """With dropout the ticket still depends on the seed only, and its pruned weights are 0."""
    check_ignores_global(subject, case)
    check_zero_every_step(subject, case)


def check_tied(subject: Subject, case: Case) -> None:
    """Tied weights stay tied, and are counted once."""
    seen = run(subject, case)
    weights, mask = seen.result.weights, seen.mask
    if "third.weight" not in weights:
        fail(got=".weights without 'third.weight'", expected="both names of the tied weight, as in the state_dict")
    if not torch.equal(weights["second.weight"], weights["third.weight"]):
        fail(got="second.weight and third.weight, one tensor before, differ", expected="tied weights stay tied")
    if "third.weight" in mask and not torch.equal(mask["second.weight"], mask["third.weight"]):
        fail(got="the tied weight has two masks", expected="one mask")
    check_zero_every_step(subject, case)


def check_frozen(subject: Subject, case: Case) -> None:
    """A parameter with requires_grad=False keeps its values (0 where it is pruned)."""
    seen = run(subject, case)
    name = "first.weight"
    kept = seen.mask.get(name, torch.ones_like(seen.given[name], dtype=torch.bool))
    moved = int((seen.result.weights[name] != seen.given[name])[kept].sum())
    if moved:
        fail(got=f"{moved} values of the frozen {name!r} changed", expected="none")


def check_bfloat16(subject: Subject, case: Case) -> None:
    """A bfloat16 network gives a bfloat16 ticket that is exact."""
    seen = run(subject, case)
    if seen.result.weights["first.weight"].dtype != torch.bfloat16:
        fail(got=f"weights of dtype {seen.result.weights['first.weight'].dtype}", expected="torch.bfloat16")
    alive = sum(int(seen.result.weights[name][~kept].count_nonzero()) for name, kept in seen.mask.items())
    if alive:
        fail(got=f"{alive} pruned weights are not 0", expected="all exactly 0")
    check_zero_every_step(subject, case)


def check_optimizer_state(subject: Subject, case: Case) -> None:
    """When training is over, the optimizer that stepped last holds 0 for every pruned weight."""
    seen = run(subject, case)
    seen.final_phase()  # NotJudged where nothing was trained under the mask
    held = [(name, key, value) for name, key, value in seen.optimizer_state if name in seen.mask]
    if not held:
        raise NotJudged("the optimizer keeps no state for the weights")
    for name, key, value in held:
        alive = int(value[~seen.mask[name]].count_nonzero())
        if alive:
            fail(got=f"{key} of {alive} pruned weights of {name!r} is not 0", expected="0 under the mask, as claimed")


def _row(id: str, statement: str, why: str, check: Any, ability_name: str, cases: Any = None) -> Invariant:
    cases = cases or ability_cases(ability_name)

    def formed(subject: Subject, case: Case) -> None:
        """`finder-form` was judged on other networks."""
        check_form(subject, case)
        check(subject, case)

    return Invariant(id, KIND, statement, why, formed, cases, excuse=ability(ability_name), needs=FORM)


FINDER_ABILITIES = (
    _row(
        "finder-dropout",
        "With dropout the seed still decides everything, and pruned weights stay 0.",
        "dropout draws from the global generator: the same seed gives another ticket each time",
        check_dropout,
        "dropout",
    ),
    _row(
        "finder-tied",
        "Tied weights stay tied, under one mask.",
        "masks applied to a copied state: the two names of one weight drift apart",
        check_tied,
        "tied",
    ),
    _row(
        "finder-frozen",
        "Frozen parameters keep their values.",
        "building the optimizer over all parameters: weight decay moves what was frozen",
        check_frozen,
        "frozen",
    ),
    _row(
        "finder-bfloat16",
        "A bfloat16 network gives an exact bfloat16 ticket.",
        "torch's sparsifiers in half precision: the squared norm underflows and the order is lost",
        check_bfloat16,
        "bfloat16",
    ),
    _row(
        "finder-optimizer-state",
        "Under the mask the optimizer's state is 0 as well.",
        "masking weights alone leaves momentum there: it counts in norms, and moves a weight that is regrown",
        check_optimizer_state,
        "optimizer-state",
        finder_cases,
    ),
)
