"""Cases of mask rules: plain JSON on one side, tensors on the other.

A case either spells its scores out, ``{"scores": {"a": [3, 1, 2]}}`` (nested lists give the shape), or names shapes and
how to fill them, ``{"shapes": {"a": [10, 10]}, "draw": "distinct", "draw_seed": 5}``. The rest is optional:
``sparsity``, ``dtype``, ``seed`` of the rule's generator, ``within`` (lists of 0 and 1, flat or nested).
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from unilth.errors import UserError
from unilth.sims.invariants.invariant import Case, Plan, Subject, fail

DTYPES = {"float32": torch.float32, "float64": torch.float64, "float16": torch.float16, "bfloat16": torch.bfloat16}
DRAWS = ("distinct", "equal", "few", "normal")
EXACT = tuple(k / 16 for k in (8, 4, 12, 2, 6, 10, 14, 1, 3, 5, 7, 9, 11, 13, 15))
"""Sparsities that binary floating point holds exactly, simplest first: rounding of the input cannot be to blame."""

MOST = 2**24
"""Weights that a case may draw (the kit's own draw at most 20,000)."""


def pruned_count(sparsity: float, n: int) -> int:
    """floor(sparsity x n), the sparsity read as the decimal that it prints as: 0.29 of 100 is 29."""
    return math.floor(Fraction(repr(float(sparsity))) * n)


def read_scores(case: Case) -> dict[str, Tensor]:
    """The scores of a case, in its dtype (float32 unless it says otherwise). Raises UserError on a malformed case."""
    name = case.get("dtype", "float32")
    if not isinstance(name, str) or name not in DTYPES:
        raise UserError(f"the case's dtype {name!r} is not known; use one of {', '.join(DTYPES)}")
    try:
        if "scores" in case:
            scores = {str(key): torch.tensor(value, dtype=torch.float64) for key, value in case["scores"].items()}
        else:
            shapes = {str(key): tuple(map(int, shape)) for key, shape in case["shapes"].items()}
            scores = _draw(shapes, case.get("draw", "distinct"), int(case.get("draw_seed", 0)))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(
            f"the case {str(case)[:80]} cannot be read ({_why(error)}): copy it from a replay line"
        ) from None
    return {key: value.to(DTYPES[name]) for key, value in scores.items()}


def _draw(shapes: dict[str, tuple[int, ...]], draw: str, seed: int) -> dict[str, Tensor]:
    """Fill shapes: "distinct" deals 1..n (exact in every dtype up to 256), "few" has ties and 0, "equal" only ties."""
    if draw not in DRAWS:
        raise ValueError(f"draw {draw!r} is none of {', '.join(DRAWS)}")
    if any(size < 0 for shape in shapes.values() for size in shape):
        raise ValueError("a shape has a negative size")
    total = sum(math.prod(shape) for shape in shapes.values())
    if total > MOST:
        raise ValueError(f"its {total:,} weights are more than {MOST:,}")
    chance = random.Random(seed)
    if draw == "distinct":
        flat = [float(value) for value in chance.sample(range(1, total + 1), total)]
    elif draw == "normal":
        flat = [chance.gauss(0.0, 1.0) for _ in range(total)]
    else:
        flat = [float(chance.randint(0, 2)) if draw == "few" else 1.0 for _ in range(total)]
    parts = iter(flat)
    return {
        name: torch.tensor([next(parts) for _ in range(math.prod(shape))], dtype=torch.float64).reshape(shape)
        for name, shape in shapes.items()
    }


def read_within(case: Case, scores: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """The masks that the answer must lie within, shaped like the scores, in the order in which the case names them.

    Raises UserError if malformed.
    """
    given = case.get("within")
    if given is None:
        return None
    try:
        masks = {name: torch.tensor(given[name], dtype=torch.bool).reshape(scores[name].shape) for name in scores}
        return {name: masks[name] for name in given if name in masks}
    except (KeyError, TypeError, RuntimeError, ValueError, OverflowError) as error:
        raise UserError(
            f"the case's within does not fit its scores ({_why(error)}): give 0 and 1 in their names and shapes"
        ) from None


def _why(error: Exception) -> str:
    """The end of a sentence, for somebody who wrote JSON and no Python."""
    return f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)[:120]


def second_device() -> torch.device | None:
    """A device with memory of its own (CUDA, MPS, XPU), or None on a machine without one."""
    return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None


def generator(case: Case) -> torch.Generator:
    """A fresh generator in the state that the case names."""
    return torch.Generator().manual_seed(int(case.get("seed", 0)))


def clone(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies with the same strides, in the same order."""
    return {name: value.detach().clone() for name, value in tensors.items()}


def apply_rule(subject: Subject, case: Case, scores: dict[str, Tensor] | None = None, **changes: Any) -> Any:
    """The rule's answer on a case; ``changes`` replace fields of the case, ``scores`` its scores."""
    case = {**case, **changes}
    scores = read_scores(case) if scores is None else scores
    within = read_within(case, scores)
    return subject.call(scores, float(case.get("sparsity", 0.5)), within=within, generator=generator(case))


def same_masks(first: dict[str, Tensor], second: dict[str, Tensor], *, got: str, expected: str) -> None:
    """Fail unless the two masks are equal, saying how many entries differ."""
    different = sum(int((first[name] != second[name]).sum()) for name in first)
    if different:
        total = sum(mask.numel() for mask in first.values())
        fail(got=f"{got}: {different} of {total} entries differ", expected=expected)


LARGE: Case = {"shapes": {"a": [150, 120], "b": [2000]}, "draw": "distinct", "draw_seed": 1, "sparsity": 0.875}
"""More weights than a rule will look at one by one: where thresholds are sampled and sorts run in parallel."""

LAYERS: tuple[dict[str, list[int]], ...] = (
    {"a": [4]},
    {"a": [1]},
    {"a": [10]},
    {"a": [3, 5], "b": [7]},
    {"a": [1], "b": [1], "c": [2, 3]},
    {"conv": [4, 3, 3, 3], "fc": [5, 6]},
    {"conv1d": [3, 2, 4], "conv3d": [2, 2, 1, 2, 3]},
    {"block.0.conv.weight": [2, 2, 3, 3], "block.0.fc.weight": [4, 5], "block.1.conv.weight": [2, 2, 3, 3]},
)
"""Shapes that go with every invariant: one weight, one layer, several, a convolution, names as networks have them."""


def huge(plan: Plan, **more: Any) -> Iterator[Case]:
    """More weights than 2^17, where rules change their way a second time; not at budget "quick"."""
    if plan.budget != "quick":
        yield {"shapes": {"a": [400, 250], "b": [40000]}, "draw": "distinct", "draw_seed": 2, "sparsity": 0.875, **more}


def drawn(
    chance: random.Random, n: int, *, draw: str = "distinct", sparsities: tuple[float, ...] = EXACT, **more: Any
) -> Iterator[Case]:
    """``LAYERS`` first, then ``n`` random sets of shapes, at sparsities from the given ones."""
    for shapes in LAYERS:
        yield _case(chance, shapes, draw, sparsities, more)
    for _ in range(n):
        count = chance.choice((1, 2, 3, 8))
        shapes = {
            f"layer{i}": [chance.randint(1, 6) for _ in range(chance.choice((1, 2, 2, 4 if count < 4 else 2)))]
            for i in range(count)
        }
        yield _case(chance, shapes, draw, sparsities, more)


def _case(
    chance: random.Random, shapes: dict[str, list[int]], draw: str, sparsities: tuple[float, ...], more: Case
) -> Case:
    return {
        "shapes": shapes,
        "draw": draw,
        "draw_seed": chance.randrange(10**6),
        "sparsity": chance.choice(sparsities),
        "seed": chance.randrange(10**6),
        **more,
    }


def small_cases(*, ties: bool = False, sparsities: tuple[float, ...] = EXACT) -> Any:
    """Hypothesis strategy: one to three vectors of one to six scores, distinct or with ties."""
    from hypothesis import strategies as st

    layers = st.lists(st.integers(1, 6), min_size=1, max_size=3)
    either, sparsity = st.integers(1, 2), st.sampled_from(sparsities)

    @st.composite
    def small(draw: Any) -> Case:
        sizes = draw(layers)
        total = sum(sizes)
        values = [draw(either) for _ in range(total)] if ties else draw(_orders(total))
        parts = iter(values)
        scores = {"abc"[i]: [next(parts) for _ in range(size)] for i, size in enumerate(sizes)}
        return {"scores": scores, "sparsity": draw(sparsity)}

    return small()


@functools.cache
def _orders(n: int) -> Any:
    """Hypothesis strategy: the numbers 1 to n in any order (kept, as building one costs more than drawing from it)."""
    from hypothesis import strategies as st

    return st.permutations(range(1, n + 1))


def small_within() -> Any:
    """Hypothesis strategy: small cases with an earlier mask that prunes half of what the sparsity will prune."""
    from hypothesis import strategies as st

    distinct, tied, either = small_cases(), small_cases(ties=True), st.booleans()

    @st.composite
    def small(draw: Any) -> Case:
        case = draw(tied if draw(either) else distinct)
        within = {}
        for name, values in case["scores"].items():
            gone = set(draw(_orders(len(values)))[: math.floor(case["sparsity"] * len(values)) // 2])
            within[name] = [int(i not in gone) for i in range(1, len(values) + 1)]
        return {**case, "within": within}

    return small()
