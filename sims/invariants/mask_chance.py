"""Invariants of mask rules, part 4: where randomness comes from, and what "at random" means."""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from unilth.sims.invariants.cases import apply_rule, generator, read_scores, read_within, same_masks
from unilth.sims.invariants.globals import fingerprint, global_state, moved
from unilth.sims.invariants.invariant import Case, Invariant, NotJudged, Plan, Subject, Violation, fail
from unilth.sims.invariants.mask_form import FORM, KIND, plain_cases

SIGMAS = 7.0
"""A random rule is accused only beyond seven standard deviations: less than once in 10^11 checks of a correct one."""
NATS = 30.0
"""As rare for one position, by Chernoff's bound: a share q of ``draws`` has a chance below exp(-draws x KL(q || p))."""


def check_deterministic(subject: Subject, case: Case) -> None:
    """Equal generators give equal masks, at every call."""
    with global_state(1):
        first = apply_rule(subject, case)
    with global_state(1):
        apply_rule(subject, case, seed=int(case["seed"]) + 1)  # a call in between must leave no trace
    with global_state(1):
        again = apply_rule(subject, case)
    same_masks(first, again, got="the same call gives another mask later", expected="the same mask")


def check_ignores_global(subject: Subject, case: Case) -> None:
    """The state of the global generators does not matter."""
    with global_state(1):
        first = apply_rule(subject, case)
    with global_state(2):
        second = apply_rule(subject, case)
    same_masks(first, second, got="another global seed gives another mask", expected="randomness from `generator` only")


class Salted(str):
    """A name that hashes as it might in another Python process: by its text and a salt, not by PYTHONHASHSEED."""

    salt = 0

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other) is True

    def __hash__(self) -> int:
        return zlib.crc32(f"{self.salt}/{self:s}".encode())


def check_ignores_hash(subject: Subject, case: Case) -> None:
    """How names hash does not matter; a rule that looks its names up elsewhere cannot be asked and is not judged."""
    plain, answers = read_scores(case), []
    within = read_within(case, plain)
    for salt in range(8):
        kind = type("Name", (Salted,), {"salt": salt})
        scores = {kind(name): value.clone() for name, value in plain.items()}
        earlier = None if within is None else {name: within[str(name)].clone() for name in scores}
        try:
            with global_state(1):
                masks = subject.call(scores, case["sparsity"], within=earlier, generator=generator(case))
        except Violation as refused:
            raise NotJudged("it does not take names that are no plain text") from refused
        answers.append({str(name): mask for name, mask in masks.items()})
        same_masks(
            answers[0], answers[-1],
            got="names that hash otherwise, as in another Python process, give another mask",
            expected="the same mask: neither hash(name) nor the order of a set decides",
        )  # fmt: skip


def check_leaves_global(subject: Subject, case: Case) -> None:
    """The global generators stand where they stood."""
    with global_state(3):
        before = fingerprint()
        apply_rule(subject, case)
        changed = moved(before, fingerprint())
    if changed:
        fail(got=f"the global generator of {' and '.join(changed)} moved", expected="global generators left alone")


def check_seeds_differ(subject: Subject, case: Case) -> None:
    """Different generators give different masks, and so do layers: n choose n/2 possibilities, no coincidence.

    Under scope="other" a rule may spare a layer, or take all of it: nothing is drawn there, and nothing can differ.
    """
    masks = [apply_rule(subject, case, seed=seed) for seed in case["seeds"]]
    if subject.claims.scope == "other":
        drawn = [name for name in masks[0] if any(len(mask[name].unique()) > 1 for mask in masks)]
        if not drawn:
            raise NotJudged("it draws nothing in these layers")
        masks = [{name: mask[name] for name in drawn} for mask in masks]
    for one, other in itertools.combinations(masks[0], 2):
        if all(torch.equal(mask[one], mask[other]) for mask in masks):  # not so where shapes differ
            fail(got=f"{one!r} and {other!r} get equal masks whatever the seed", expected="different masks")
    for i, first in enumerate(masks):
        for second in masks[:i]:
            if all(torch.equal(first[name], second[name]) for name in first):
                fail(
                    got=f"seeds {case['seeds'][0]} to {case['seeds'][-1]} give equal masks", expected="different masks"
                )


def check_random(subject: Subject, case: Case) -> None:
    """Over many seeds neither large scores, nor early positions, nor any position is kept more often than by chance.

    Only the weights that an earlier mask leaves are counted, and every case leaves an even number of them.
    """
    scores = read_scores(case)
    within = read_within(case, scores)
    flat = torch.cat([score.reshape(-1) for score in scores.values()])
    free = torch.arange(len(flat))
    if within is not None:
        free = torch.cat([within[name].reshape(-1) for name in scores]).nonzero().reshape(-1)
    n, draws = len(free), case["draws"]
    large = flat[free].argsort(descending=True)[: n // 2]
    groups = {"the larger scores": torch.zeros(n, dtype=torch.bool).index_fill(0, large, True)}
    groups["the first positions"] = torch.arange(n) < n // 2
    kept = torch.zeros(n, dtype=torch.long)
    for seed in range(draws):
        masks = apply_rule(subject, case, seed=seed)
        kept += torch.cat([masks[name].reshape(-1) for name in scores])[free]
    mean = float(kept.sum() / n)
    share = mean / draws
    # Halves of n, a share p of which is kept, differ with a variance of n p (1 - p) x n / (n - 1); rounded up here.
    bound = SIGMAS * math.sqrt(draws * n * share * (1 - share)) * n / (n - 1)
    for what, group in groups.items():
        surplus = int(kept[group].sum() - kept[~group].sum())
        if abs(surplus) > bound:
            fail(
                got=f"over {draws} seeds {what} are kept {surplus:+d} times more often than the others",
                expected=f"at most {bound:.0f} either way, were it chance",
            )
    worst = int((kept - mean).abs().argmax())
    if draws * _divergence(int(kept[worst]) / draws, share) > NATS:
        name, at = _place(int(free[worst]), scores)
        fail(
            got=f"position {at} of {name!r} is kept {int(kept[worst])} times of {draws}",
            expected=f"about as often as the others, {mean:.0f} times",
        )


def _divergence(q: float, p: float) -> float:
    """The Kullback-Leibler divergence of a coin with chance p from one with chance q, in nats."""
    parts = ((q, p), (1 - q, 1 - p))
    return sum(a * math.log(a / b) if b > 0 else math.inf for a, b in parts if a > 0)


def _place(index: int, scores: dict[str, Tensor]) -> tuple[str, int]:
    """The layer and the position in it of one of all weights."""
    for name, score in scores.items():
        if index < score.numel():
            return name, index
        index -= score.numel()
    raise IndexError(index)


def random_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """One layer, or several where each weight has the same chance; half of them pruned, or few, or most; many seeds."""
    yield {"shapes": {"a": [40]}, "draw_seed": plan.random("random").randrange(10**6), "sparsity": 0.5, "draws": 60}
    yield {"shapes": {"a": [8, 5]}, "draw_seed": 1, "sparsity": 0.5, "draws": plan.pick(60, 200, 2000)}
    if claims.scope != "other":
        yield {"shapes": {"a": [4, 8], "b": [8]}, "draw_seed": 2, "sparsity": 0.5, "draws": plan.pick(60, 200, 2000)}
    for sparsity in (0.875, 0.125):  # a surplus that is dealt out from one end is as often a deficit at one half
        yield {"shapes": {"a": [40]}, "draw_seed": 3, "sparsity": sparsity, "draws": plan.pick(120, 300, 2000)}


def later_random_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """An earlier mask has pruned a quarter, here and there; half are to go."""
    earlier = [int(k % 4 != 1) for k in range(40)]
    for seed in (4, 5):
        case = {"shapes": {"a": [40]}, "draw_seed": seed, "sparsity": 0.5, "within": {"a": earlier}}
        yield {**case, "draws": plan.pick(60, 200, 2000)}


def seed_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """Layers with far more masks than seeds."""
    for shapes in ({"a": [64]}, {"a": [8, 8], "b": [128]}, {"a": [64], "b": [64]}):
        yield {"shapes": shapes, "draw_seed": 1, "sparsity": 0.5, "seeds": list(range(plan.pick(4, 8, 20)))}


def _random(claims: Any) -> str:
    return "" if claims.keeps == "random" else f'claims keeps={claims.keeps!r}, not "random"'


def named_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """Layers of one shape, with and without ties: which of them comes first is a matter of their names alone."""
    for shapes in ({"a": [16], "b": [16]}, {f"layer{i}": [4, 4] for i in range(6)}):
        for draw in ("distinct", "equal"):
            yield {"shapes": shapes, "draw_seed": 1, "draw": draw, "sparsity": 0.5, "seed": 1}


def probe_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """Layers large enough that a mask drawn anew differs."""
    yield {"shapes": {"a": [64]}, "draw_seed": 1, "sparsity": 0.5, "seed": 1}
    yield {"shapes": {"a": [64]}, "draw_seed": 1, "draw": "few", "sparsity": 0.5, "seed": 1}
    yield from plain_cases(claims, plan)


MASK_CHANCE = (
    Invariant(
        id="mask-deterministic",
        kind=KIND,
        statement="Equal inputs and equal generators give equal masks, whatever was called before.",
        why="a mask redrawn on resume (DLTH): 30% of the weights pruned then had never been penalised",
        check=check_deterministic,
        cases=probe_cases,
        needs=FORM,
    ),
    Invariant(
        id="mask-ignores-global-state",
        kind=KIND,
        statement="Randomness comes from `generator` only: the state of global generators does not matter.",
        why="DLTH seeds torch and draws from NumPy, shrinkbench draws from global NumPy: the seed does not decide",
        check=check_ignores_global,
        cases=probe_cases,
        needs=(*FORM, "mask-deterministic"),
    ),
    Invariant(
        id="mask-ignores-hash",
        kind=KIND,
        statement="How names hash does not matter: every Python process gives the same mask.",
        why="`manual_seed(hash(name))`, or a loop over a set of names: Python hashes text anew in every process",
        check=check_ignores_hash,
        cases=named_cases,
        needs=(*FORM, "mask-deterministic", "mask-ignores-global-state"),
    ),
    Invariant(
        id="mask-leaves-global-state",
        kind=KIND,
        statement="The global generators of torch, NumPy and Python are left where they stood.",
        why="seeding globally inside a library makes everybody's data order and dropout repeat from that call on",
        check=check_leaves_global,
        cases=probe_cases,
        needs=FORM,
    ),
    Invariant(
        id="mask-seeds-differ",
        kind=KIND,
        statement="Different generators give different random masks, and different layers get different ones.",
        why="a generator that is seeded inside makes all seeds of a table the same run, with a spread of zero",
        check=check_seeds_differ,
        cases=seed_cases,
        excuse=_random,
        needs=FORM,
    ),
    Invariant(
        id="mask-random-is-random",
        kind=KIND,
        statement="A random rule prefers neither large scores, nor early positions, nor any one position.",
        why="DLTH's README command omits an option, and its 'random' mask is the smallest magnitudes",
        check=check_random,
        cases=random_cases,
        excuse=_random,
        needs=(*FORM, "mask-seeds-differ"),
    ),
    Invariant(
        id="mask-random-later",
        kind=KIND,
        statement="Under an earlier mask a random rule prefers none of the weights that are left either.",
        why="DLTH's iterative mask is recovered by smallest magnitude in its last cycle, and chance no longer decides",
        check=check_random,
        cases=later_random_cases,
        excuse=_random,
        needs=(*FORM, "mask-within", "mask-random-is-random"),
    ),
)
