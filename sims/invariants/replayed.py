"""A case that somebody gives: refused unless the invariant may be judged by it.

The kit's own cases keep to what a statement is about (scores without ties, a sparsity in [0, 1), an earlier mask that
prunes no more than is asked). One that was edited by hand may leave that, and would accuse a target that is right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from unilth.errors import UserError
from unilth.sims.invariants.cases import pruned_count, read_scores, read_within
from unilth.sims.invariants.invariant import Case, Invariant

MOST_STEPS = 10_000_000
MOST_STEP = 10**18
"""The kit's own steps lie below; beyond, whole numbers no longer fit what a schedule may count in."""
MOST_DRAWS = 100_000
ENOUGH_MASKS = 1e9
"""Masks from which a layer must draw, so that two seeds draw the same one by no coincidence."""


def refuse_odd(invariant: Invariant, claims: Any, case: Case) -> None:
    """Raise UserError, saying why, if a case is none of an invariant's."""
    try:
        READERS[invariant.kind](invariant.id, claims, case)
    except _Odd as reason:
        raise UserError(
            f"the case {str(case)[:80]} is none of {invariant.id} ({reason}): copy it from a replay line of that "
            "invariant"
        ) from None


class _Odd(Exception):
    """Why a case cannot be used, as the end of a sentence."""


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise _Odd(reason)


def _field(case: Case, name: str) -> Any:
    _require(name in case, f"{name} is missing")
    return case[name]


def _known(case: Case, names: Iterable[str], beside: str) -> None:
    """A field that nothing reads is a typing error in one that is optional."""
    unknown = sorted(set(case) - set(names))
    _require(not unknown, f"{', '.join(map(repr, unknown))[:80]} is unknown beside {beside}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    """A finite number that fits a float."""
    try:
        return not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:
        return False


def _is_fraction(value: Any) -> bool:
    return _is_number(value) and 0 <= value < 1


def _whole(case: Case, name: str, least: int = 0, most: int = 2**63 - 1) -> int:
    value = _field(case, name)
    fits = _is_whole(value) and least <= value <= most
    _require(fits, f"{name} {str(value)[:40]} is no whole number from {least} to {most}")
    return int(value)


def _sparsities(case: Case) -> list[float]:
    """All sparsities that a case asks for, in [0, 1)."""
    given = case["sparsities"] if "sparsities" in case else [case["sparsity"]] if "sparsity" in case else []
    _require(isinstance(given, list), "sparsities is no list")
    for value in given:
        _require(_is_fraction(value), f"the sparsity {str(value)[:40]} lies outside [0, 1)")
    return given


# Mask rules


def _mask_case(id: str, claims: Any, case: Case) -> None:
    if "scores" not in case:
        _shapes(case)
    scores = read_scores(case)
    _require("scores" not in case or "shapes" not in case, "it has both scores and shapes")
    _require(bool(scores), "it has no scores")
    for name, value in scores.items():
        _require(value.numel() > 0, f"the layer {name!r} has no weights")
        _require(value.dim() > 0, f"the layer {name!r} is a single number, and not a list of them")
        finite = bool(torch.isfinite(value).all())
        _require(finite, f"a score of {name!r} is not finite in {str(value.dtype).removeprefix('torch.')}")
    if "seed" in case:
        _whole(case, "seed")
    several = "sparsities" if id in SEVERAL else "sparsity"
    _require(several in case, f"{several} is missing")
    fields = (*SCORES, several, "seed", "within", *FIELDS.get(id, ()))
    _known(case, fields, ", ".join(fields))
    if id == "mask-rejects-sparsity":
        _sparsity_to_refuse(case)
        return
    sparsities = _sparsities(case)
    _require(len(sparsities) >= 2 or id not in SEVERAL, f"{id} compares two sparsities")
    within = read_within(case, scores)
    _require(within is not None or id not in WITH_WITHIN, "within is missing")
    if within is not None:
        _require(id not in WITHOUT_WITHIN, f"{id} has no within")
        if id != "mask-within":  # there a mask that prunes more may be refused
            _prunes_no_more(scores, within, min(sparsities))
    if id in DISTINCT:
        for where, names in _groups(claims, scores):
            values = _flat(scores, names)
            _require(len(values.unique()) == len(values), f"scores of {where} are equal, and either may go")
    if id in OWN:
        OWN[id](claims, case, scores)


SCORES = ("scores", "shapes", "draw", "draw_seed", "dtype")
SEVERAL = ("mask-nested", "mask-two-steps")
FIELDS = {
    "mask-names": ("bare",),
    "mask-inputs-untouched": ("infinite_at",),
    "mask-rejects-nan": ("nan_at",),
    "mask-infinite-scores": ("infinite_at", "pruned"),
    "mask-permutation": ("shuffle",),
    "mask-scale": ("scale",),
    "mask-dtype": ("shrink",),
    "mask-seeds-differ": ("seeds",),
    "mask-random-is-random": ("draws",),
    "mask-random-later": ("draws",),
}
"""What the cases of an invariant have beside the fields that all have."""
WITH_WITHIN = ("mask-within", "mask-within-count", "mask-within-order", "mask-random-later")
WITHOUT_WITHIN = ("mask-permutation", "mask-dict-order", "mask-seeds-differ", "mask-random-is-random")
"""What changes the scores under a mask that stays, or counts chances under one, would blame the rule for that mask."""
DISTINCT = ("mask-two-steps", "mask-permutation", "mask-scale", "mask-dict-order", "mask-layout", "mask-device")


def _flat(tensors: dict[str, Tensor], names: list[str]) -> Tensor:
    return torch.cat([tensors[name].double().reshape(-1) for name in names])


def _groups(claims: Any, scores: dict[str, Tensor]) -> list[tuple[str, list[str]]]:
    if claims.scope == "layer":
        return [(f"layer {name!r}", [name]) for name in scores]
    return [("all layers together", list(scores))]


def _prunes_no_more(scores: dict[str, Tensor], within: dict[str, Tensor], sparsity: float) -> None:
    for _, names in (*((name, [name]) for name in scores), ("all", list(scores))):
        gone = sum(int((~within[name]).sum()) for name in names)
        asked = pruned_count(sparsity, sum(scores[name].numel() for name in names))
        _require(gone <= asked, f"its within prunes {gone} weights where sparsity {sparsity} asks for {asked}")


def _sparsity_to_refuse(case: Case) -> None:
    value = _field(case, "sparsity")
    outside = value in ("nan", "inf", "-inf") or (_is_number(value) and not 0 <= value < 1)
    _require(outside, f"the sparsity {str(value)[:40]} is no number outside [0, 1), nor 'nan', 'inf' or '-inf'")


def _place(scores: dict[str, Tensor], place: Any) -> None:
    fits = isinstance(place, list) and len(place) == 2 and place[0] in list(scores) and _is_whole(place[1])
    fits = fits and 0 <= place[1] < scores[place[0]].numel()
    _require(fits, f"{str(place)[:40]} is no layer with a position in it")


def _nan(claims: Any, case: Case, scores: dict[str, Tensor]) -> None:
    _place(scores, _field(case, "nan_at"))


def _infinite(claims: Any, case: Case, scores: dict[str, Tensor]) -> None:
    places, total = _field(case, "infinite_at"), 0
    _require(isinstance(places, list) and bool(places), "infinite_at names no position")
    for place in places:
        _place(scores, place)
    _require(len({tuple(place) for place in places}) == len(places), "infinite_at names a position twice")
    for where, names in _groups(claims, scores):
        n = sum(scores[name].numel() for name in names)
        pruned, infinite = pruned_count(_field(case, "sparsity"), n), sum(name in names for name, _ in places)
        _require(infinite <= n - pruned, f"{where} would keep {n - pruned} weights and has {infinite} infinite scores")
        total += pruned
    _require(_field(case, "pruned") == total, f"pruned is {str(case['pruned'])[:40]} where it must be {total}")


def _scale(claims: Any, case: Case, scores: dict[str, Tensor]) -> None:
    scale = _field(case, "scale")
    _require(_is_number(scale) and scale > 0, f"scale {str(scale)[:40]} is no number above 0")
    _same_order(claims, scores, {name: value * float(scale) for name, value in scores.items()}, f"scale {scale}")


def _dtype(claims: Any, case: Case, scores: dict[str, Tensor]) -> None:
    if "shrink" in case:
        shrink, plain = case["shrink"], read_scores({**case, "dtype": "float32"})
        _require(_is_number(shrink) and shrink > 0, f"shrink {str(shrink)[:40]} is no number above 0")
        small = {name: (value * float(shrink)).to(value.dtype) for name, value in scores.items()}
        _same_order(claims, plain, small, f"{case.get('dtype', 'float32')} with shrink {shrink}")


def _same_order(claims: Any, before: dict[str, Tensor], after: dict[str, Tensor], what: str) -> None:
    """Rounding must neither make infinite, nor equal, nor exchange what a rule is to rank."""
    for where, names in _groups(claims, before):
        old, new = _flat(before, names), _flat(after, names)
        ascending = new[old.argsort(stable=True)]
        fine = bool(torch.isfinite(new).all()) and bool((ascending.diff() > 0).all())
        _require(fine, f"{what} leaves scores of {where} equal or infinite")


def _dense(claims: Any, case: Case, scores: dict[str, Tensor]) -> None:
    _require(_field(case, "sparsity") == 0, f"the sparsity {case['sparsity']} is not 0")


def _shuffle(claims: Any, case: Case, scores: dict[str, Tensor]) -> None:
    _whole(case, "shuffle")


def _seeds(claims: Any, case: Case, scores: dict[str, Tensor]) -> None:
    seeds = _field(case, "seeds")
    fits = isinstance(seeds, list) and all(_is_whole(seed) and 0 <= seed < 2**63 for seed in seeds)
    _require(fits, "seeds is no list of whole numbers from 0")
    apart = len({seed % 2**32 for seed in seeds})  # torch's generator on the CPU takes the last 32 bits of a seed
    _require(2 <= apart == len(seeds), "seeds must be two or more, each once in their last 32 bits")
    for name, value in scores.items():
        n, pruned = value.numel(), pruned_count(_field(case, "sparsity"), value.numel())
        masks = math.lgamma(n + 1) - math.lgamma(pruned + 1) - math.lgamma(n - pruned + 1)
        _require(masks > math.log(ENOUGH_MASKS), f"the layer {name!r} has so few masks that seeds may agree")


def _draws(claims: Any, case: Case, scores: dict[str, Tensor]) -> None:
    _whole(case, "draws", 1, MOST_DRAWS)
    sparsity, within = _field(case, "sparsity"), read_within(case, scores)
    left = {name: value.numel() if within is None else int(within[name].sum()) for name, value in scores.items()}
    _require(sum(left.values()) % 2 == 0, "the number of weights is odd, and halves of them are compared")
    if len(left) > 1:
        shares = {
            (value.numel() - pruned_count(sparsity, value.numel())) / left[name] for name, value in scores.items()
        }
        even = claims.scope == "global" or (claims.scope == "layer" and len(shares) == 1)
        _require(even, "its weights do not all have the same chance")


OWN: dict[str, Callable[[Any, Case, dict[str, Tensor]], None]] = {
    "mask-rejects-nan": _nan,
    "mask-infinite-scores": _infinite,
    "mask-scale": _scale,
    "mask-dtype": _dtype,
    "mask-sparsity-zero": _dense,
    "mask-permutation": _shuffle,
    "mask-seeds-differ": _seeds,
    "mask-random-is-random": _draws,
    "mask-random-later": _draws,
}


def _shapes(case: Case) -> None:
    """Shapes are lists of whole numbers: Python would take 4.9 for 4, and "44" for 4 x 4."""
    shapes = case.get("shapes")
    for name, shape in shapes.items() if isinstance(shapes, dict) else ():
        fits = isinstance(shape, list) and all(map(_is_whole, shape))
        _require(fits, f"the shape {str(shape)[:40]} of {name!r} is no list of whole numbers")
    if "draw_seed" in case:
        _whole(case, "draw_seed")


# Penalty schedules, ticket finders, saved tickets

LISTED_ONLY = ("schedule-pure", "schedule-leaves-global-state")


def _schedule_case(id: str, claims: Any, case: Case) -> None:
    reaches = id == "schedule-reaches"
    blocks = not reaches and "steps" not in case and id not in LISTED_ONLY
    names = ("step",) if reaches else ("first", "last") if blocks else ("steps",)
    if blocks and not case.keys() & set(names):
        raise _Odd("steps is missing, or first and last")
    _known(case, names, " and ".join(names))
    for name in names:
        _field(case, name)
    steps = case["steps"] if "steps" in case else [case[name] for name in names]
    _require(isinstance(steps, list) and bool(steps), "steps is no list of steps")
    for step in steps:
        fits = _is_whole(step) and 0 <= step <= MOST_STEP
        _require(fits, f"the step {str(step)[:40]} is no whole number from 0 to {MOST_STEP}")
    if blocks:
        first, last = steps
        _require(first <= last, f"first {first} comes after last {last}")
        _require(last - first < MOST_STEPS, f"its {last - first + 1:,} steps are more than {MOST_STEPS:,}")
    declared = claims.steps
    if id == "schedule-monotone":
        _require(steps == sorted(steps), "its steps do not ascend")
        _require(steps[-1] <= declared, f"step {steps[-1]} comes after the declared number of steps, {declared}")
    if id == "schedule-stays":
        _require(min(steps) >= declared, f"step {min(steps)} comes before the declared number of steps, {declared}")
    if reaches:
        _require(steps == [declared], f"step {steps[0]} is not the declared number of steps, {declared}")


RUN = ("problem", "sparsity", "seed", "network_seed")
ANY_PROBLEM = ("mlp", "conv", "residual", "float64", "overfit")
"""The problems that every finder must handle; each of the others stands for an ability that is claimed."""
PROBLEM_OF = {f"finder-{name}": name for name in ("dropout", "tied", "frozen", "bfloat16")}

FINDER_SPARSITY = {
    "finder-sparsity-zero": (0.0, 0.0),
    "finder-seeds-differ": (0.1, 0.98),  # beyond, two masks may agree by coincidence
    "finder-no-empty-layer": (0.0, 0.98),  # beyond, fewer weights are left than there are layers
}


def _finder_case(id: str, claims: Any, case: Case) -> None:
    _known(case, RUN, "problem, sparsity, seed and network_seed")
    problem = _field(case, "problem")
    if id in PROBLEM_OF:
        _require(problem == PROBLEM_OF[id], f"its problem is not {PROBLEM_OF[id]!r}")
    else:
        able = (*ANY_PROBLEM, *sorted(claims.handles & set(PROBLEM_OF.values())))
        _require(problem in able, f"the problem {str(problem)[:40]!r} is none of {', '.join(able)}")
    _field(case, "sparsity")
    _sparsities(case)
    _whole(case, "seed", 0, 2**32 - 1)
    if "network_seed" in case:
        _whole(case, "network_seed")
    least, most = FINDER_SPARSITY.get(id, (0.0, 1.0))
    fits = least <= case["sparsity"] <= most
    _require(fits, f"the sparsity {case['sparsity']} does not lie between {least} and {most}")


def _saved_case(id: str, claims: Any, case: Case) -> None:
    name = claims.path.name
    _require(case == {"file": name}, f"the file is {name}")


READERS: dict[str, Callable[[str, Any, Case], None]] = {
    "mask-rule": _mask_case,
    "penalty-schedule": _schedule_case,
    "ticket-finder": _finder_case,
    "saved-ticket": _saved_case,
}
