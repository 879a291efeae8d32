"""Invariants of mask rules, part 3: which weights go, for rules that claim to keep the largest scores."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from unilth.sims.invariants import cases
from unilth.sims.invariants.cases import (
    EXACT,
    apply_rule,
    drawn,
    generator,
    read_scores,
    read_within,
    same_masks,
    small_cases,
)
from unilth.sims.invariants.invariant import REJECTED, Case, Invariant, NotJudged, Plan, Subject, fail
from unilth.sims.invariants.mask_counts import COUNTS, check_count, check_within, groups
from unilth.sims.invariants.mask_form import FORM, KIND, check_form, plain_cases, with_within, within_cases

BASIS = (*FORM, *COUNTS, "mask-order")


def check_order(subject: Subject, case: Case) -> None:
    """In each group no pruned score is larger than a kept one (among the weights that `within` leaves)."""
    scores, masks = read_scores(case), apply_rule(subject, case)
    within = read_within(case, scores)
    for where, names in groups(subject, scores):
        values = torch.cat([scores[name].double().reshape(-1) for name in names])
        kept = torch.cat([masks[name].reshape(-1) for name in names])
        free = torch.ones_like(kept) if within is None else torch.cat([within[name].reshape(-1) for name in names])
        gone, stays = values[free & ~kept], values[free & kept]
        if gone.numel() and stays.numel() and gone.max() > stays.min():
            fail(
                got=f"in {where} a score of {gone.max().item()!r} is pruned while {stays.min().item()!r} is kept",
                expected="every kept score at least as large as every pruned one",
            )


def check_count_and_order(subject: Subject, case: Case) -> None:
    """Exact count and order together: for distinct scores they leave one mask."""
    check_count(subject, case)
    check_order(subject, case)


def check_infinite(subject: Subject, case: Case) -> None:
    """A score of +inf is the largest: it is kept, or the scores are refused with ValueError."""
    scores = read_scores(case)
    for name, position in case["infinite_at"]:
        scores[name].view(-1)[position] = math.inf
    within, chance = read_within(case, scores), generator(case)
    sparsity = float(case["sparsity"])
    masks = subject.may_reject("a mask, or ValueError", scores, sparsity, within=within, generator=chance)
    if masks is REJECTED:
        return
    check_form(masks, scores)
    for name, position in case["infinite_at"]:
        free = within is None or bool(within[name].reshape(-1)[position])
        if free != bool(masks[name].reshape(-1)[position]):
            got = "pruned" if free else "kept, which the earlier mask prunes"
            fail(got=f"the infinite score {position} of {name!r} is {got}", expected="the largest scores kept")
    pruned, asked = sum(int((~mask).sum()) for mask in masks.values()), case["pruned"]
    if pruned != asked:
        fail(got=f"{pruned} weights pruned", expected=f"{asked}, as of finite scores")


def infinite_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """One overflow, one in each of two layers, and as many as are kept."""
    yield {"scores": {"a": [1, 2, 3, 4]}, "sparsity": 0.5, "infinite_at": [["a", 0]], "pruned": 2}
    both = {"a": [1, 2, 3, 4], "b": [5, 6, 7, 8]}
    yield {"scores": both, "sparsity": 0.5, "infinite_at": [["a", 1], ["b", 0]], "pruned": 4}
    yield {"scores": {"a": [3, 2, 1, 4]}, "sparsity": 0.5, "infinite_at": [["a", 1], ["a", 2]], "pruned": 2}
    for at in (1, 3):  # infinity x 0 is NaN
        where = {"infinite_at": [["a", at]], "pruned": 2}
        yield {"scores": {"a": [1, 2, 3, 4]}, "sparsity": 0.5, "within": {"a": [1, 1, 1, 0]}, **where}


def check_two_steps(subject: Subject, case: Case) -> None:
    """Pruning to one sparsity and then, within that mask, to a larger one equals pruning to the larger one at once."""
    low, high = sorted(case["sparsities"])
    first = apply_rule(subject, case, sparsity=low)
    second = apply_rule(subject, case, sparsity=high, within={name: mask.tolist() for name, mask in first.items()})
    once = apply_rule(subject, case, sparsity=high)
    same_masks(second, once, got=f"{low} and then {high} differs from {high} at once", expected="the same mask")


def check_permutation(subject: Subject, case: Case) -> None:
    """Shuffling the scores of each layer shuffles the masks alike."""
    scores = read_scores(case)
    chance = random.Random(int(case["shuffle"]))
    orders = {
        name: torch.tensor(chance.sample(range(v.numel()), v.numel()), dtype=torch.long) for name, v in scores.items()
    }

    def shuffle(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value.reshape(-1)[orders[name]].reshape(value.shape) for name, value in tensors.items()}

    answer = apply_rule(subject, case, scores=shuffle(scores))
    same_masks(
        answer, shuffle(apply_rule(subject, case)), got="masks do not move with the scores", expected="shuffled masks"
    )


def check_scale(subject: Subject, case: Case) -> None:
    """Multiplying all scores by a positive number changes nothing."""
    scores = {name: value * float(case["scale"]) for name, value in read_scores(case).items()}
    answer = apply_rule(subject, case, scores=scores)
    same_masks(
        answer, apply_rule(subject, case), got=f"scores x {case['scale']:g} change the mask", expected="the same mask"
    )


def check_dict_order(subject: Subject, case: Case) -> None:
    """The order in which layers were registered, or sort, changes nothing."""
    scores = read_scores(case)
    names = list(scores)
    renamed = {f"{len(names) - i:03d}": scores[name] for i, name in enumerate(names)}  # sorts the other way round
    answer = apply_rule(subject, case)
    turned = apply_rule(subject, case, scores=dict(reversed(scores.items())))
    same_masks(answer, turned, got="the reversed dict gives other masks", expected="the same mask for each name")
    again = apply_rule(subject, case, scores=renamed)
    back = {name: again[f"{len(names) - i:03d}"] for i, name in enumerate(names)}
    same_masks(
        answer, back, got="names that sort the other way give other masks", expected="the same mask for each layer"
    )


def check_layout(subject: Subject, case: Case) -> None:
    """The memory layout of the scores changes nothing: transposed and channels-last give the same positions."""
    scores = read_scores(case)
    within = read_within(case, scores)
    strided = {name: _strided(value) for name, value in scores.items()}
    earlier = None if within is None else {name: _strided(kept) for name, kept in within.items()}
    answer = subject.call(strided, float(case["sparsity"]), within=earlier, generator=generator(case))
    what = "scores" if within is None else "scores and earlier masks"
    same_masks(answer, apply_rule(subject, case), got=f"strided {what} give other masks", expected="the same positions")


def layout_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """Plain cases, then cases with an earlier mask, whose layout is another as well."""
    yield from plain_cases(claims, plan)
    yield from within_cases(claims, plan)


def check_device(subject: Subject, case: Case) -> None:
    """On a second device the mask lies where its scores lie, and is the mask that the CPU gives."""
    device = cases.second_device()
    if device is None:
        raise NotJudged("not measured: this machine has no second device")
    scores = read_scores(case)
    within = read_within(case, scores)
    there = None if within is None else {name: kept.to(device) for name, kept in within.items()}
    masks = subject.call(
        {name: value.to(device) for name, value in scores.items()},
        case["sparsity"],
        within=there,
        generator=generator(case),
    )
    for name, mask in masks.items():
        if mask.device.type != device.type:
            fail(got=f"the mask of {name!r} on {mask.device}", expected=f"on {device}, where its scores lie")
    same_masks(
        {name: mask.cpu() for name, mask in masks.items()},
        apply_rule(subject, case),
        got=f"{device} gives another mask than the CPU",
        expected="the same mask",
    )


def device_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """Plain cases, cases with an earlier mask, and one that is large enough for a parallel sort."""
    yield from plain_cases(claims, plan)
    yield from within_cases(claims, plan)
    yield cases.LARGE


def _strided(value: Tensor) -> Tensor:
    """The same values at the same positions, in memory that is not contiguous (where the shape allows it)."""
    if value.dim() == 4:
        return value.contiguous(memory_format=torch.channels_last)
    if value.dim() == 1:
        return torch.stack((value, value.flip(0)), dim=1)[:, 0]
    return value.transpose(0, -1).contiguous().transpose(0, -1)


def order_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """Plain cases, scores of very different size, and large layers."""
    yield from plain_cases(claims, plan)
    yield {"scores": {"a": [1, 9, 2], "b": [3, 4, 10]}, "sparsity": 0.5}
    for wide in ([1e-20, 2e-20, 3e-20, 4e-20], [4e-20, 3e-20, 2e-20, 1e-20]):  # a share of the sum is 0 in float32
        yield {"scores": {"a": wide, "b": [1e30]}, "sparsity": 0.5}
    yield cases.LARGE
    yield from cases.huge(plan)


def negative_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """Scores below zero, as GraSP's are."""
    yield {"scores": {"a": [-4, -3, -2, -1]}, "sparsity": 0.5}
    yield {"scores": {"a": [-2, 1]}, "sparsity": 0.5}
    for wide in ([-1e10, 1, 2, 3], [3, 2, 1, -1e10]):  # less the smallest they are equal in float32
        yield {"scores": {"a": wide}, "sparsity": 0.5}
    yield from drawn(plan.random("negative"), plan.pick(5, 20, 100), draw="normal")


def check_within_order(subject: Subject, case: Case) -> None:
    """No weight comes back, and those that are left are ranked."""
    check_within(subject, case)
    check_order(subject, case)


def within_signed_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """Signed scores under an earlier mask, and such as no number that pruned entries are filled with is safe for."""
    yield {"scores": {"a": [-4, -3, -2, -1]}, "sparsity": 0.5, "within": {"a": [1, 1, 1, 0]}}
    for base in (2.0**25, -4.0e9):  # the smallest less 1 is the smallest, in float32; -1e9 is larger than all
        near = [base + 512 * k for k in range(4)]
        for within in ([1, 1, 1, 0], [0, 1, 1, 1]):
            yield {"scores": {"a": near}, "sparsity": 0.25, "within": {"a": within}}
    yield from with_within(
        plan.random("signed within"), drawn(plan.random("signed shapes"), plan.pick(8, 30, 200), draw="normal")
    )


def dtype_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """Scores that only float64 tells apart; whole numbers, exact in every dtype; tiny ones whose squares underflow."""
    for close in ([1.0000000001, 1.0], [1.0, 1.0000000001]):  # one of them is wrong whichever goes first of a tie
        yield {"scores": {"a": close}, "sparsity": 0.5, "dtype": "float64"}
    for dtype in ("float64", "float16", "bfloat16"):
        chance = plan.random(f"dtype {dtype}")
        for shapes in ({"a": [6]}, {"a": [8, 5], "b": [20]}):
            for scale in (1.0, 2.0**-20):
                yield {
                    "shapes": shapes, "draw_seed": chance.randrange(10**6), "sparsity": chance.choice(EXACT),
                    "dtype": dtype, "shrink": scale,
                }  # fmt: skip


def check_dtype(subject: Subject, case: Case) -> None:
    """Count and order hold in every floating dtype; scores that float64 alone tells apart are ranked as they are."""
    if "shrink" not in case:
        check_order(subject, case)
        return
    scores = {name: (value * float(case["shrink"])).to(value.dtype) for name, value in read_scores(case).items()}
    masks = apply_rule(subject, case, scores=scores)
    plain = apply_rule(subject, case, dtype="float32")
    same_masks(masks, plain, got=f"{case['dtype']} gives another mask than float32", expected="the same mask")


def _extended(name: str, plan: Plan, **more: Any) -> Iterator[Case]:
    chance = plan.random(name)
    for case in drawn(plan.random(f"{name} shapes"), plan.pick(5, 20, 100)):
        yield {**case, **{key: chance.choice(values) for key, values in more.items()}}


def two_step_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """A smaller and a larger sparsity; first, where the smaller one takes more of one layer than its share."""
    uneven = {"shapes": {"a": [2], "b": [4]}, "draw": "distinct", "draw_seed": 15}  # a = 2, 1 and b = 5, 4, 3, 6
    yield uneven | {"seed": 0, "sparsities": [0.375, 0.5]}
    for case in _extended("two steps", plan, low=(0.125, 0.25, 0.375), high=(0.5, 0.625, 0.75, 0.875)):
        yield {key: case[key] for key in ("shapes", "draw", "draw_seed", "seed")} | {
            "sparsities": [case["low"], case["high"]]
        }


def _ranks(claims: Any) -> str:
    return "" if claims.ranks else f"claims scope={claims.scope!r}, keeps={claims.keeps!r}: no ranking is promised"


def _invariant(id: str, statement: str, why: str, check: Any, cases: Any, **more: Any) -> Invariant:
    return Invariant(id, KIND, statement, why, check, cases, excuse=_ranks, **{"needs": BASIS, **more})


MASK_ORDER = (
    _invariant(
        "mask-order",
        "No pruned score is larger than a kept one, over the declared scope.",
        "DLTH's README command and its default disagree about largest or random; an inverted one prunes the best",
        check_order,
        order_cases,
        needs=FORM,
        theorem="T8.1",
        small=lambda claims: small_cases(),
    ),
    _invariant(
        "mask-signed-scores",
        "Scores below zero rank below positive ones.",
        "GraSP's scores are signed: ranking their absolute values prunes other weights than the method says",
        check_count_and_order,
        negative_cases,
    ),
    _invariant(
        "mask-infinite-scores",
        "A score of +inf is the largest: it is kept, or refused with ValueError.",
        "dividing by the sum of the scores, as SNIP does, turns one overflow into NaN or 0 for every weight",
        check_infinite,
        infinite_cases,
        needs=(*BASIS, "mask-within"),
    ),
    _invariant(
        "mask-within-order",
        "Among the weights that the earlier mask left, the largest scores are kept, however small or large they are.",
        "filling pruned entries with 0 (or -1e9, or the smallest less 1) ranks them among the others: wrong ones go",
        check_within_order,
        within_signed_cases,
        needs=(*BASIS, "mask-within", "mask-signed-scores"),
    ),
    _invariant(
        "mask-two-steps",
        "Pruning to one sparsity and then to a larger one equals pruning to the larger one at once.",
        "rounds that count on survivors drift from the sparsity asked for: 20% rounds of torch.nn.utils.prune stall",
        check_two_steps,
        two_step_cases,
        needs=(*BASIS, "mask-within"),
        theorem="T8.3",
    ),
    _invariant(
        "mask-permutation",
        "Shuffling the scores within their layers shuffles the masks alike (scores distinct).",
        "a rule that looks at positions, or ranks a subsample, treats equal weights unequally",
        check_permutation,
        lambda claims, plan: _extended("shuffle", plan, shuffle=tuple(range(1000))),
        needs=FORM,
        theorem="T8.4",
    ),
    _invariant(
        "mask-scale",
        "Multiplying all scores by a positive number changes nothing.",
        "an epsilon in the comparison, or squaring in float32, loses the order of small scores",
        check_scale,
        lambda claims, plan: _extended("scale", plan, scale=(2.0**-20, 3.0, 2.0**20, 1e-30, 1e30)),
        theorem="T8.4",
    ),
    _invariant(
        "mask-dict-order",
        "Neither the order of the dict nor how names sort changes anything (scores distinct).",
        "zipping sorted names with unsorted tensors swaps masks as soon as layer10 sorts before layer2",
        check_dict_order,
        lambda claims, plan: _dict_order_cases(plan),
    ),
    _invariant(
        "mask-dtype",
        "float64, float16 and bfloat16 scores give the mask that float32 gives, and float64 loses no digits.",
        "torch's sparsifiers in float16: the squared norm underflows and the order is lost; float64 cast to float32",
        check_dtype,
        dtype_cases,
    ),
    _invariant(
        "mask-layout",
        "The memory layout of the scores changes nothing: transposed and channels-last give the same positions.",
        "reading the storage instead of the tensor prunes other positions as soon as a network is channels-last",
        check_layout,
        layout_cases,
        needs=(*BASIS, "mask-within"),
    ),
    _invariant(
        "mask-device",
        "On another device the mask is the same, and lies where its scores lie.",
        "a mask left on the CPU stops the first step on a GPU; an unstable sort on the GPU prunes other weights there",
        check_device,
        device_cases,
        needs=(*BASIS, "mask-within"),
    ),
)


def _dict_order_cases(plan: Plan) -> Iterator[Case]:
    yield {"scores": {"a": [1, 2], "b": [3, 4]}, "sparsity": 0.5}
    yield from drawn(plan.random("dict"), plan.pick(5, 20, 100))
