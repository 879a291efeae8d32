"""Invariants of mask rules, part 1: the form of the answer, what happens to the inputs, what must be refused."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from unilth.sims.invariants.cases import apply_rule, clone, drawn, generator, read_scores, read_within
from unilth.sims.invariants.globals import global_state
from unilth.sims.invariants.invariant import (
    REJECTED,
    Case,
    Invariant,
    NotJudged,
    Plan,
    Subject,
    Violation,
    fail,
    first_line,
)

KIND = "mask-rule"
FORM = ("mask-names", "mask-shapes", "mask-boolean")
"""What every other invariant of mask rules builds on."""


def check_names(subject: Subject, case: Case) -> None:
    """One tensor for each name of the scores, no more and no fewer; `within` may be left out."""
    scores = read_scores(case)
    if not case.get("bare"):
        _names(apply_rule(subject, case), scores)
        return
    _names(subject.call(scores, float(case["sparsity"]), generator=generator(case)), scores)


def name_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """Plain cases, and a call for the first round, without `within`."""
    yield from plain_cases(claims, plan)
    yield {"scores": {"a": [1, 2, 3, 4]}, "sparsity": 0.5, "bare": True}


def check_shapes(subject: Subject, case: Case) -> None:
    """Each mask has the shape of its scores."""
    _shapes(apply_rule(subject, case), read_scores(case))


def check_boolean(subject: Subject, case: Case) -> None:
    """Each mask is boolean, True = kept."""
    _boolean(apply_rule(subject, case))


def check_form(masks: Any, scores: dict[str, Tensor]) -> None:
    """All three at once, for an answer to scores that ``check_names`` and the others never ask about."""
    _names(masks, scores)
    _shapes(masks, scores)
    _boolean(masks)


def _names(masks: Any, scores: dict[str, Tensor]) -> None:
    if not isinstance(masks, dict):
        fail(got=f"an answer of type {type(masks).__name__}", expected="a dict of masks by name")
    if set(masks) != set(scores):
        fail(got=f"masks named {sorted(map(str, masks))}", expected=f"masks named {sorted(scores)}")
    for name, mask in masks.items():
        if not isinstance(mask, Tensor):
            fail(got=f"{name!r} is of type {type(mask).__name__}", expected="a torch.Tensor for each name")


def _shapes(masks: dict[str, Tensor], scores: dict[str, Tensor]) -> None:
    for name, value in scores.items():
        if masks[name].shape != value.shape:
            fail(
                got=f"{name!r} has shape {tuple(masks[name].shape)}",
                expected=f"the shape of its scores, {tuple(value.shape)}",
            )


def _boolean(masks: dict[str, Tensor]) -> None:
    for name, mask in masks.items():
        if mask.dtype != torch.bool:
            fail(got=f"{name!r} has dtype {mask.dtype}", expected="torch.bool, True = kept")
        if mask.layout != torch.strided or mask.is_meta:
            got = "is on the device meta" if mask.is_meta else f"has layout {mask.layout}"
            fail(got=f"{name!r} {got}", expected="a dense tensor with values")


def with_within(chance: Any, cases: Iterator[Case]) -> Iterator[Case]:
    """Add masks that already prune half of what the sparsity will prune, in every layer, wherever chance puts them."""
    for case in cases:
        within = {}
        for name, value in read_scores(case).items():
            n = value.numel()
            kept = [1] * n
            for position in chance.sample(range(n), math.floor(case["sparsity"] * n) // 2):
                kept[position] = 0
            within[name] = kept
        yield {**case, "within": within}


def plain_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """Distinct scores, float32, sparsities that binary floating point holds exactly."""
    yield from drawn(plan.random("plain"), plan.pick(5, 20, 200))


def within_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """Plain cases with an earlier mask."""
    yield from with_within(plan.random("within"), drawn(plan.random("within shapes"), plan.pick(8, 30, 300)))


def untouched_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """Cases with an earlier mask; signed scores, in half precision and with an infinite one too."""
    yield from within_cases(claims, plan)
    for dtype in ("float32", "float16", "bfloat16"):
        shapes = {"shapes": {"a": [4, 4], "b": [8]}, "draw": "normal", "draw_seed": 1, "sparsity": 0.5, "dtype": dtype}
        yield shapes
        yield {**shapes, "infinite_at": ["a", 3]}


def check_untouched(subject: Subject, case: Case) -> None:
    """The scores and the earlier mask are the caller's: same keys in the same order, same values afterwards."""
    scores = read_scores(case)
    if "infinite_at" in case:
        name, position = case["infinite_at"]
        scores[name].view(-1)[position] = math.inf
    within = read_within(case, scores)
    before, before_within = clone(scores), None if within is None else clone(within)
    with suppress(Violation):  # others ask whether it may raise; the inputs stay untouched even then
        subject.call(scores, float(case["sparsity"]), within=within, generator=generator(case))
    for what, now, then in (("scores", scores, before), ("within", within or {}, before_within or {})):
        if list(now) != list(then):
            fail(got=f"the keys of {what} became {list(now)}", expected=f"{list(then)}, untouched")
        for name in then:
            if now[name].dtype != then[name].dtype or not torch.equal(now[name], then[name]):
                fail(got=f"{what}[{name!r}] was changed in place", expected=f"{what} as given")


def check_own_memory(subject: Subject, case: Case) -> None:
    """Editing the answer changes neither the earlier mask nor the next answer."""
    scores = read_scores(case)
    within = read_within(case, scores)
    before = None if within is None else clone(within)
    with global_state(1):
        chance = generator(case)
        first = subject.may_reject("a mask", clone(scores), float(case["sparsity"]), within=within, generator=chance)
    if first is REJECTED:
        raise NotJudged("it refuses the earlier mask")  # mask-within asks whether it may
    kept, wanted = clone(first), clone(first)
    for name, mask in first.items():
        try:
            with torch.inference_mode():  # outside of it a mask that was made inside could not be edited
                mask.logical_not_()
        except RuntimeError as error:
            fail(got=f"the mask of {name!r} cannot be edited: {first_line(error)}", expected="memory of its own")
        wanted[name] = ~wanted[name]
        for other in first:
            if not torch.equal(first[other], wanted[other]):
                fail(got=f"editing the mask of {name!r} changed that of {other!r}", expected="memory of its own")
    for name, then in (before or {}).items():
        if within is not None and not torch.equal(within[name], then):
            fail(got=f"editing the answer changed within[{name!r}]", expected="an answer with memory of its own")
    with global_state(1):
        second = subject.call(clone(scores), case["sparsity"], within=before, generator=generator(case))
    for name in kept:
        if not torch.equal(second[name], kept[name]):
            fail(
                got=f"editing the answer changed the next answer for {name!r}",
                expected="an answer with memory of its own",
            )


def check_rejects_nan(subject: Subject, case: Case) -> None:
    """A score that is not a number has no rank: ValueError."""
    scores = read_scores(case)
    name, position = case["nan_at"]
    scores[name].view(-1)[position] = math.nan
    within = read_within(case, scores)
    subject.must_reject("a NaN score", scores, case["sparsity"], within=within, generator=generator(case))


def nan_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """NaN first, in the middle, last; in the only layer and in one of two; at little and at much sparsity; later."""
    for sparsity in (0.5, 0.0, 0.9375):
        yield {"scores": {"a": [1, 2, 3, 4]}, "sparsity": sparsity, "nan_at": ["a", 0]}
        yield {"scores": {"a": [1, 2, 3, 4]}, "sparsity": sparsity, "nan_at": ["a", 3]}
        yield {"scores": {"a": [1, 2, 3], "b": [4, 5, 6]}, "sparsity": sparsity, "nan_at": ["b", 1]}
    yield {"scores": {"a": [1, 2, 3, 4]}, "sparsity": 0.5, "nan_at": ["a", 2], "within": {"a": [0, 1, 1, 1]}}


def check_rejects_sparsity(subject: Subject, case: Case) -> None:
    """A sparsity that is no fraction in [0, 1): ValueError."""
    what, scores = f"sparsity {case['sparsity']}, which lies outside [0, 1)", read_scores(case)
    within = read_within(case, scores)
    subject.must_reject(what, scores, float(case["sparsity"]), within=within, generator=generator(case))


def bad_sparsity_cases(claims: Any, plan: Plan) -> Iterator[Case]:
    """One, above, below, and what is no number at all (spelled out, as JSON has none)."""
    for sparsity in (1.0, 1.2, 90.0, -0.1, -1e-9, "nan", "inf", "-inf"):
        yield {"scores": {"a": [1, 2, 3, 4, 5]}, "sparsity": sparsity}
        yield {"scores": {"a": [1, 2, 3, 4, 5]}, "sparsity": sparsity, "within": {"a": [0, 1, 1, 1, 1]}}


def _not_random(claims: Any) -> str:
    return "a rule that keeps weights at random does not read the scores" if claims.keeps == "random" else ""


MASK_FORM = (
    Invariant(
        id="mask-names",
        kind=KIND,
        statement="There is one mask for each name of the scores, no more and no fewer.",
        why="a dropped or renamed layer trains dense without a word; Lightning's default prunes biases unasked",
        check=check_names,
        cases=name_cases,
    ),
    Invariant(
        id="mask-shapes",
        kind=KIND,
        statement="Each mask has the shape of its scores.",
        why="a flattened or broadcast mask multiplies without an error and prunes other weights than were ranked",
        check=check_shapes,
        cases=plain_cases,
        needs=FORM[:1],
    ),
    Invariant(
        id="mask-boolean",
        kind=KIND,
        statement="Each mask is boolean, True = kept.",
        why="float masks (torch.nn.utils.prune) take 32 bits a weight, and `~` or indexing means something else",
        check=check_boolean,
        cases=plain_cases,
        needs=FORM[:1],
    ),
    Invariant(
        id="mask-inputs-untouched",
        kind=KIND,
        statement="Neither the scores nor the earlier mask are changed.",
        why="sorting or zeroing in place: later rounds rank what earlier rounds left behind",
        check=check_untouched,
        cases=untouched_cases,
        needs=FORM,
    ),
    Invariant(
        id="mask-own-memory",
        kind=KIND,
        statement="Each mask has memory of its own: editing it changes no other mask, earlier, beside it, or next.",
        why="the alias-for-a-copy mistake: a saved mask or initial state that later steps silently rewrite",
        check=check_own_memory,
        cases=lambda claims, plan: _own_memory_cases(plan),
        needs=(*FORM, "mask-inputs-untouched", "mask-deterministic"),
    ),
    Invariant(
        id="mask-rejects-nan",
        kind=KIND,
        statement="NaN scores are refused with ValueError.",
        why="every comparison with NaN is false: thresholding keeps nothing or everything, sorting puts it anywhere",
        check=check_rejects_nan,
        cases=nan_cases,
        excuse=_not_random,
    ),
    Invariant(
        id="mask-rejects-sparsity",
        kind=KIND,
        statement="A sparsity outside [0, 1), or no number, is refused with ValueError.",
        why="90 for 0.90 prunes everything, 1.0 leaves no network, and NaN passes every `<` check",
        check=check_rejects_sparsity,
        cases=bad_sparsity_cases,
    ),
)


def _own_memory_cases(plan: Plan) -> Iterator[Case]:
    yield from plain_cases(None, plan)
    yield from within_cases(None, plan)
    # An earlier mask that already has the sparsity asked for: returning it as it is shares its memory.
    for count in (4, 8):
        within = {"a": [1] * (count // 2) + [0] * (count // 2)}
        yield {"scores": {"a": list(range(count, 0, -1))}, "sparsity": 0.5, "within": within}
    # Nothing to prune: the dense mask of a shape may come from a cache, and the earlier mask may be the answer.
    yield {"scores": {"a": [1, 2, 3, 4], "b": [5, 6, 7, 8]}, "sparsity": 0.0}
    yield {"scores": {"a": [1, 2, 3, 4]}, "sparsity": 0.0, "within": {"a": [1, 1, 1, 1]}}
