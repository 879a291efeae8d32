"""Invariants of mask rules, part 2: how many weights go."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from unilth.sims.invariants.cases import (
    LARGE,
    apply_rule,
    drawn,
    generator,
    huge,
    pruned_count,
    read_scores,
    read_within,
    small_cases,
    small_within,
)
from unilth.sims.invariants.invariant import REJECTED, Case, Invariant, NotJudged, Plan, Subject, fail
from unilth.sims.invariants.mask_form import FORM, KIND, check_form, plain_cases, with_within, within_cases

COUNTS = ("mask-exact-count-global", "mask-exact-count-layer", "mask-budgets-add-up")


def groups(subject: Subject, tensors: dict[str, Tensor]) -> list[tuple[str, list[str]]]:
    """The sets of layers over which the count is taken: each layer, or all together."""
    if subject.claims.scope == "layer":
        return [(f"layer {name!r}", [name]) for name in tensors]
    return [("all layers together", list(tensors))]


def check_count(subject: Subject, case: Case) -> None:
    """floor(sparsity x n) weights pruned in each group."""
    scores, masks = read_scores(case), apply_rule(subject, case)
    for where, names in groups(subject, scores):
        n = sum(scores[name].numel() for name in names)
        wanted = pruned_count(case["sparsity"], n)
        got = sum(int((~masks[name]).sum()) for name in names)
        if got != wanted:
            fail(
                got=f"{got} of {n} pruned in {where}",
                expected=f"{wanted} = floor({case['sparsity']} x {n})",
            )


def check_dense(subject: Subject, case: Case) -> None:
    """At sparsity 0 nothing is pruned."""
    for name, mask in apply_rule(subject, case).items():
        pruned = int((~mask).sum())
        if pruned:
            fail(got=f"{pruned} of {mask.numel()} pruned in {name!r} at sparsity 0", expected="none")


def check_within(subject: Subject, case: Case) -> None:
    """What an earlier mask pruned stays pruned.

    Where it pruned more than is asked, or names the layers in another order than the scores, the call may be refused.
    Under scope="other" nobody but the rule knows how much is asked of a layer, so there any earlier mask may be.
    """
    scores = read_scores(case)
    within = read_within(case, scores)
    if within is None:
        raise NotJudged("the case has no earlier mask")
    gone = {name: int((~earlier).sum()) for name, earlier in within.items()}
    asked = {name: pruned_count(case["sparsity"], score.numel()) for name, score in scores.items()}
    if subject.claims.scope == "other":
        asked = dict.fromkeys(asked, 0)
    surplus = any(gone[name] > asked[name] for name in gone)  # or in all: a sum's floor is no less than that of floors
    if surplus or list(within) != list(scores):
        what = "prunes more than is asked" if surplus else "names the layers in another order"
        allowed = f"ValueError, or a mask inside `within`, which {what}"
        sparsity, chance = float(case["sparsity"]), generator(case)
        masks = subject.may_reject(allowed, scores, sparsity, within=within, generator=chance)
        if masks is REJECTED:
            return
        check_form(masks, scores)
    else:
        masks = apply_rule(subject, case)
    for name, earlier in within.items():
        revived = int((masks[name] & ~earlier).sum())
        if revived:
            fail(got=f"{revived} weights of {name!r} revived", expected="no weight that `within` prunes")


def surplus_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """Cases with an earlier mask; of them some in which it has pruned more than is asked now, or emptied a layer."""
    yield {"scores": {"a": [1, 2, 3, 4]}, "sparsity": 0.25, "within": {"a": [1, 0, 0, 0]}}
    yield {"scores": {"a": [1, 2], "b": [5, 6, 7, 8]}, "sparsity": 0.0, "within": {"a": [0, 1], "b": [1, 1, 0, 0]}}
    yield {"scores": {"a": [1, 2], "b": [5, 6, 7, 8]}, "sparsity": 0.5, "within": {"a": [0, 0], "b": [1, 1, 1, 1]}}
    turned = {"b": [1, 1, 1, 1], "a": [1, 0, 0, 1]}  # named in another order than the scores
    yield {"scores": {"a": [1, 6, 7, 2], "b": [3, 4, 5, 8]}, "sparsity": 0.5, "within": turned}
    yield from within_cases(claims, plan)


def check_nested(subject: Subject, case: Case) -> None:
    """A larger sparsity only takes weights away."""
    steps = sorted(case["sparsities"])
    masks = [apply_rule(subject, case, sparsity=sparsity) for sparsity in steps]
    for (low, before), (high, after) in itertools.pairwise(zip(steps, masks, strict=True)):
        for name in before:
            revived = int((after[name] & ~before[name]).sum())
            if revived:
                fail(got=f"{revived} weights of {name!r} pruned at {low} and kept at {high}", expected="nested masks")


def nested_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """The whole range of sparsities on each set of shapes."""
    for case in drawn(plan.random("nested"), plan.pick(5, 20, 200)):
        del case["sparsity"]
        yield {**case, "sparsities": [0.125, 0.25, 0.5, 0.75, 0.875]}


def count_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """Plain cases, one with many tiny layers, and one with large ones."""
    yield from plain_cases(claims, plan)
    yield {"shapes": {f"layer{i}": [1 + i % 3] for i in range(60)}, "draw_seed": 1, "sparsity": 0.3125}
    yield LARGE
    yield from huge(plan)


def tie_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """All scores equal, many, or many 0, in large layers too; only counts are judged."""
    yield {"scores": {"a": [0, 0, 0, 1]}, "sparsity": 0.5}
    yield {**LARGE, "draw": "few"}
    yield from huge(plan, draw="few")
    yield from drawn(plan.random("ties"), plan.pick(3, 10, 50), draw="equal", sparsities=(0.25, 0.5, 0.1875))
    yield from drawn(plan.random("few"), plan.pick(3, 10, 100), draw="few")


def decimal_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """Sparsities where sparsity x n is a whole number that binary floating point misses."""
    for hundredths in (29, 7, 55, 57, 58, 90, 14, 28, 56):
        yield {"shapes": {"a": [100]}, "sparsity": hundredths / 100}
    for tenths in (9, 7, 3, 1, 6, 8):
        yield {"shapes": {"a": [10]}, "sparsity": tenths / 10}
    yield {"shapes": {"a": [10, 10], "b": [100]}, "sparsity": 0.29}
    chance = plan.random("decimals")
    for _ in range(plan.pick(10, 60, 600)):
        yield {"shapes": {"a": [100], "b": [200]}, "sparsity": chance.randrange(1, 100) / 100}


def later_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """Cases with an earlier mask: distinct scores, ties, and decimals that binary floating point misses."""
    yield {"scores": {"a": [1] * 8}, "sparsity": 0.5, "within": {"a": [1, 1, 1, 0, 1, 1, 1, 1]}}
    yield from within_cases(claims, plan)
    for draw in ("equal", "few"):
        shapes = drawn(plan.random(f"later {draw}"), plan.pick(2, 10, 100), draw=draw)
        yield from with_within(plan.random(f"within {draw}"), shapes)
    for hundredths in (29, 57, 58):
        yield {"shapes": {"a": [100]}, "sparsity": hundredths / 100, "within": {"a": [0] * 10 + [1] * 90}}


def dense_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """Sparsity 0, with distinct and with equal scores."""
    yield from drawn(plan.random("dense"), plan.pick(3, 10, 50), sparsities=(0.0,))
    yield from drawn(plan.random("dense ties"), plan.pick(3, 10, 50), draw="few", sparsities=(0.0,))


def extreme_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """Sparsities just below 1 on layers of one weight, and on larger ones."""
    extremes = (0.99, 0.999, 0.9999, 0.999999)
    yield from drawn(plan.random("extreme"), plan.pick(5, 15, 100), sparsities=extremes)
    for sparsity in extremes[1:]:
        yield {"shapes": {"a": [40, 50]}, "sparsity": sparsity}


def _scope(scope: str) -> Any:
    return lambda claims: "" if claims.scope == scope else f"claims scope={claims.scope!r}, not {scope!r}"


def _scoped(claims: Any) -> str:  # a layer may have lost more than its budget of another sparsity says
    return "" if claims.scope != "other" else 'claims scope="other": no count is promised after an earlier mask'


def _counted(claims: Any) -> str:
    counted = claims.scope != "other" or claims.adds_up
    return "" if counted else 'claims scope="other" without adds_up: no count is promised'


def _adds_up(claims: Any) -> str:
    return "" if claims.scope == "other" and claims.adds_up else 'needs the claims scope="other", adds_up=True'


def _nested(claims: Any) -> str:
    return "" if claims.claims_nested else "does not claim nested masks"


def _small_nested(claims: Any) -> Any:
    return small_cases().map(lambda case: {"scores": case["scores"], "sparsities": [0.25, 0.5, 0.75]})


MASK_COUNTS = (
    Invariant(
        id="mask-exact-count-global",
        kind=KIND,
        statement="Over all layers together exactly floor(sparsity x n) weights are pruned.",
        why="open_lth and google-research's LTH prune one too many, Early-Bird is off by one, shrinkbench interpolates",
        check=check_count,
        cases=count_cases,
        excuse=_scope("global"),
        needs=FORM,
        small=lambda claims: small_cases(),
    ),
    Invariant(
        id="mask-exact-count-layer",
        kind=KIND,
        statement="In each layer exactly floor(sparsity x n) weights are pruned.",
        why="torch.nn.utils.prune rounds half to even: 20% rounds stall at 2; Torch-Pruning keeps 10 of 10 at 0.9",
        check=check_count,
        cases=count_cases,
        excuse=_scope("layer"),
        needs=FORM,
        small=lambda claims: small_cases(),
    ),
    Invariant(
        id="mask-budgets-add-up",
        kind=KIND,
        statement="The layers' budgets add up to floor(sparsity x n) over all layers.",
        why="TurboPrune's ERK does not give the budget of clamped layers back: density 0.5 asked, 0.34 got",
        check=check_count,
        cases=count_cases,
        excuse=_adds_up,
        needs=FORM,
        small=lambda claims: small_cases(),
    ),
    Invariant(
        id="mask-decimal-count",
        kind=KIND,
        statement="The count is floor of the decimal that was asked for: 0.29 of 100 is 29.",
        why="llm-compressor prunes 28 at 0.29 of 100; DLTH's float ceil prunes 8 at 0.07 and 56 at 0.55",
        check=check_count,
        cases=decimal_cases,
        excuse=_counted,
        needs=(*FORM, *COUNTS),
    ),
    Invariant(
        id="mask-ties-count",
        kind=KIND,
        statement="Where scores tie, still exactly floor(sparsity x n) weights are pruned.",
        why="all scores equal, 20% asked: open_lth, SynFlow, TurboPrune and llm-compressor prune all, shrinkbench none",
        check=check_count,
        cases=tie_cases,
        excuse=_counted,
        needs=(*FORM, *COUNTS),
        theorem="T8.4",
        small=lambda claims: small_cases(ties=True),
    ),
    Invariant(
        id="mask-sparsity-zero",
        kind=KIND,
        statement="At sparsity 0 nothing is pruned.",
        why="open_lth prunes one weight at sparsity 0 (keeps strictly above the smallest)",
        check=check_dense,
        cases=dense_cases,
        needs=FORM,
        small=lambda claims: small_cases(ties=True, sparsities=(0.0,)),
    ),
    Invariant(
        id="mask-near-one",
        kind=KIND,
        statement="Just below sparsity 1 the count is still exact, so at least one weight is kept.",
        why="clamping or rounding the sparsity prunes whole layers, or fewer than asked, exactly where papers compare",
        check=check_count,
        cases=extreme_cases,
        excuse=_counted,
        needs=(*FORM, *COUNTS),
    ),
    Invariant(
        id="mask-within",
        kind=KIND,
        statement="What the earlier mask `within` pruned stays pruned.",
        why="SynFlow's Rand and SNIP loops revive weights; DLTH's iterative random mask revived 13,855 of 181,478",
        check=check_within,
        cases=surplus_cases,
        needs=FORM,
        small=lambda claims: small_within(),
    ),
    Invariant(
        id="mask-within-count",
        kind=KIND,
        statement="Under an earlier mask the count is still floor(sparsity x n) of all n weights, ties or not.",
        why="counting the sparsity on the survivors prunes 0.75 when 0.5 is asked after 0.5",
        check=check_count,
        cases=later_cases,
        excuse=_scoped,
        needs=(*FORM, *COUNTS, "mask-within", "mask-ties-count", "mask-decimal-count"),
        small=lambda claims: small_within(),
    ),
    Invariant(
        id="mask-nested",
        kind=KIND,
        statement="A larger sparsity only takes weights away.",
        why="SynFlow's Rand and SNIP masks are redrawn each round, so pruned weights come back untrained",
        check=check_nested,
        cases=nested_cases,
        excuse=_nested,
        needs=(*FORM, *COUNTS, "mask-deterministic"),
        theorem="T8.3",
        small=_small_nested,
    ),
)
