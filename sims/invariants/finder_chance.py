"""Invariants of ticket finders, part 3: what the seed decides, and what "at random" means."""

from __future__ import annotations

from typing import Any

import torch

from unilth.sims.invariants.finder_result import FORM, KIND, finder_cases, first_case
from unilth.sims.invariants.finder_run import Run, run
from unilth.sims.invariants.invariant import Case, Invariant, NotJudged, Subject, fail
from unilth.sims.invariants.mask_chance import SIGMAS


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
    drawn_at_all = False
    for start in starts:
        surplus, variance = 0.0, 0.0
        for name, kept in seen.mask.items():
            there = start[name] != 0  # what was pruned before it was trained was not drawn from these
            chosen = kept[there]
            n, k = chosen.numel(), int(chosen.sum())
            large = torch.zeros(n, dtype=torch.bool)
            large[start[name][there].abs().float().argsort(descending=True)[:k]] = True
            surplus += int((large & chosen).sum()) - k * k / max(n, 1)
            variance += (k * (n - k)) ** 2 / max(n * n * (n - 1), 1)  # hypergeometric
        drawn_at_all = drawn_at_all or variance > 0
        if abs(surplus) > SIGMAS * variance**0.5:
            fail(
                got=f"the initially largest weights of their layers are kept {surplus:+.0f} times beyond expectation",
                expected=f"at most {SIGMAS * variance**0.5:.0f} either way, were it chance",
            )
    if not drawn_at_all:
        raise NotJudged("nothing was drawn: layers are full or empty")


def _row(id: str, statement: str, why: str, check: Any, cases: Any = finder_cases, **more: Any) -> Invariant:
    return Invariant(id, KIND, statement, why, check, cases, **{"needs": FORM, **more})


def _random(claims: Any) -> str:
    return "" if claims.keeps == "random" else f'claims keeps={claims.keeps!r}, not "random"'


FINDER_CHANCE = (
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
)
