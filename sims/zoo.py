"""The zoo: every method is one row, the same five choices filled in differently.

Where the paper of this project is silent (patience, power, ceiling, rounds, scope, rewinding) the rows UniLTH and
UniDLTH hold our defaults, and a `RunSpec` can replace each of them.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple, cast

from unilth.errors import UserError
from unilth.sims.masks import Scope
from unilth.sims.penalties import L1, L2, GrowingPenalty
from unilth.sims.recipe import MaskRule, Recipe, Rewind, Rounds, Target
from unilth.sims.sorting import Sorting
from unilth.sims.spec import RunSpec, closest
from unilth.sims.stopping import EarlyStopping, Epochs, SettledMask


class Row(NamedTuple):
    """One method: its name on the command line, its recipe, and where it comes from."""

    name: str
    recipe: Recipe
    title: str
    source: str


OVERALL, PER_LAYER = MaskRule("magnitude", "global"), MaskRule("magnitude", "layer")
RANDOM, RANDOM_ERK = MaskRule("random", "layer"), MaskRule("random", "erk")
RANDOM_BALANCED, LAMP = MaskRule("random", "balanced"), MaskRule("lamp", "global")
SNIP, GRASP, SYNFLOW = MaskRule("snip"), MaskRule("grasp"), MaskRule("synflow", steps=100)
LINEAR, SQUARE = GrowingPenalty(power=1), GrowingPenalty(power=2)
EVEN = GrowingPenalty(every=1, hold=10_000)  # RST-Iter's cycle: 10,000 steps of growth and as many held
GREG = GrowingPenalty(every=10, hold=10_000)  # GReg on CIFAR: an increment every 10 steps, where RST has 5

# fmt: off
ZOO: tuple[Row, ...] = (
    #                     stop             mask       penalty   rounds                  rewind
    Row("dense",   Recipe(Epochs(),        OVERALL,   None,     Rounds(0),              Rewind("rate")),
        "Dense", "no pruning: the network that the others are compared with"),
    Row("omp",     Recipe(Epochs(),        OVERALL,   None,     Rounds(1),              Rewind("rate")),
        "One-shot magnitude", "Han et al. 2015: train, prune once by magnitude, fine-tune"),
    Row("omp-layer", Recipe(Epochs(),      PER_LAYER, None,     Rounds(1),              Rewind("rate")),
        "One-shot magnitude per layer", "the same with all layers equally sparse"),
    Row("lamp",    Recipe(Epochs(),        LAMP,      None,     Rounds(1),              Rewind("rate")),
        "LAMP", "Lee et al. 2021: one-shot, w^2 over the squares of its layer that are not smaller"),
    Row("lth",     Recipe(Epochs(),        OVERALL,   None,     Rounds(5, free="each"), Rewind("initial")),
        "LTH", "Frankle and Carbin 2019: iterative magnitude pruning, survivors rewound to their initial values"),
    Row("lth-step", Recipe(Epochs(),       OVERALL,   None,     Rounds(5, free="each"), Rewind("step", 8)),
        "LTH, rewound to a step", "Frankle et al. 2020: survivors rewound to an early step (8 here)"),
    Row("lth-rate", Recipe(Epochs(),       OVERALL,   None,     Rounds(5, free="each"), Rewind("rate")),
        "Learning-rate rewinding", "Renda et al. 2020: survivors keep their values, the learning rate starts again"),
    Row("l2",      Recipe(Epochs(),        OVERALL,   L2(5e-4), Rounds(1),              Rewind("rate")),
        "L2 then magnitude", "one-shot magnitude with L2 regularisation throughout (5e-4, as Wang et al. 2021)"),
    Row("l1",      Recipe(Epochs(),        OVERALL,   L1(1e-4), Rounds(1),              Rewind("rate")),
        "L1 then magnitude", "one-shot magnitude with L1 regularisation throughout (the strength is our default)"),
    Row("early-bird", Recipe(SettledMask(), OVERALL, None,    Rounds(1),              Rewind("rate")),
        "Early-Bird", "You et al. 2020: free training until the magnitude mask settles, here of weights"),
    Row("greg-1",  Recipe(Epochs(),        PER_LAYER, GREG,     Rounds(1),              Rewind("rate"), L2(5e-4)),
        "GReg-1", "Wang et al. 2021: pretrained, growing penalty on the smallest magnitudes of each layer"),
    Row("greg-2",  Recipe(Epochs(),        PER_LAYER, GREG,     Rounds(1),         Rewind("rate"), L2(5e-4), Sorting()),
        "GReg-2", "Wang et al. 2021: a penalty on all weights first, so that magnitudes tell curvature; then GReg-1"),
    Row("dlth",    Recipe(Epochs(0),       RANDOM,    LINEAR,   Rounds(1),              Rewind("rate"), L2(5e-4)),
        "DLTH (RST)", "Bai et al. 2022: random mask at initialisation, growing penalty beside weight decay"),
    Row("dlth-iter", Recipe(Epochs(0),     RANDOM,    EVEN,     Rounds(5),              Rewind("rate"), L2(5e-4)),
        "RST-Iter", "Bai et al. 2022: the same in cycles; here what is pruned stays pruned, and masks are nested"),
    Row("dlth-iter-code", Recipe(Epochs(0), RANDOM,   EVEN, Rounds(5, hard="last"),     Rewind("rate"), L2(5e-4)),
        "RST-Iter, as its code", "Bai et al. 2022, public code: no hard prune before the last cycle"),
    Row("snip",    Recipe(Epochs(0),       SNIP,      None,     Rounds(1),              Rewind("initial")),
        "SNIP", "Lee et al. 2019: |g w| at initialisation"),
    Row("grasp",   Recipe(Epochs(0),       GRASP,     None,     Rounds(1),              Rewind("initial")),
        "GraSP", "Wang et al. 2020: w (H g) at initialisation, what the gradient flow needs"),
    Row("synflow", Recipe(Epochs(0),       SYNFLOW,   None,     Rounds(1),              Rewind("initial")),
        "SynFlow", "Tanaka et al. 2020: synaptic flow at initialisation, 100 steps, no data"),
    Row("random",  Recipe(Epochs(0),       RANDOM,    None,     Rounds(1),              Rewind("initial")),
        "Random, uniform", "a random mask at initialisation, all layers equally sparse: the control of all"),
    Row("random-erk", Recipe(Epochs(0),    RANDOM_ERK, None,    Rounds(1),              Rewind("initial")),
        "Random, ERK", "Evci et al. 2020: a random mask with Erdos-Renyi-Kernel layer densities"),
    Row("random-balanced", Recipe(Epochs(0), RANDOM_BALANCED, None, Rounds(1),          Rewind("initial")),
        "Random, balanced", "a random mask with the same number of weights kept in every layer"),
    Row("unilth",  Recipe(EarlyStopping(), PER_LAYER, SQUARE,   Rounds(5),              Rewind("rate")),
        "UniLTH", "the paper: no regularisation until the early stop, then growing penalty on the smallest magnitudes"),
    Row("unidlth", Recipe(EarlyStopping(), RANDOM,    SQUARE,   Rounds(5),              Rewind("rate")),
        "UniDLTH", "the paper: as UniLTH with a random mask, each round's inside the last"),
)
# fmt: on

PRUNING = ("rounds", "scope", "rewind", "score", "spare", "control")  # choices of recipes that prune
NAMES = tuple(row.name for row in ZOO)


def row(name: str) -> Row:
    """The row called ``name``; UserError with the close names where there is none."""
    for candidate in ZOO:
        if candidate.name == name:
            return candidate
    raise UserError(f"there is no recipe {name!r}{closest(name, NAMES)}")


def recipe(spec: RunSpec) -> Recipe:
    """The recipe of a spec: its row of the zoo with the spec's own choices put in; UserError where they do not fit."""
    chosen = row(spec.recipe).recipe

    def refuse(key: str, why: str) -> UserError:
        return UserError(f"the recipe {spec.recipe!r} {why}: leave {key} out")

    if spec.patience is not None:
        if not isinstance(chosen.stop, EarlyStopping):
            raise refuse("patience", "does not stop early")
        chosen = dataclasses.replace(chosen, stop=dataclasses.replace(chosen.stop, patience=spec.patience))
    if spec.stop is not None:
        if not isinstance(chosen.stop, EarlyStopping | SettledMask):
            raise refuse("stop", "has no stopping rule")
        chosen = dataclasses.replace(chosen, stop=Epochs(chosen.stop.most))
    for key in ("power", "ceiling"):
        value = getattr(spec, key)
        if value is not None:
            if not isinstance(chosen.penalty, GrowingPenalty):
                raise refuse(key, "has no growing penalty")
            chosen = dataclasses.replace(chosen, penalty=dataclasses.replace(chosen.penalty, **{key: value}))
    for key, kind in (("l2", L2), ("l1", L1)):
        strength = getattr(spec, key)
        if strength is not None:
            if not isinstance(chosen.penalty, kind):
                raise refuse(key, f"has no {kind.__name__} penalty")
            chosen = dataclasses.replace(chosen, penalty=kind(strength))
    if spec.tune_l2 is not None:
        chosen = dataclasses.replace(chosen, tune_decay=spec.tune_l2)
    given = [key for key in PRUNING if getattr(spec, key) is not None]
    if chosen.rounds.number == 0 and given:
        raise refuse(" and ".join(given), "does not prune")
    if spec.rounds is not None:
        chosen = dataclasses.replace(chosen, rounds=dataclasses.replace(chosen.rounds, number=spec.rounds))
    if (spec.score, spec.scope, spec.spare) != (None, None, None):
        mask = chosen.mask
        score = mask.score if spec.score is None else spec.score
        steps = SYNFLOW.steps if score == SYNFLOW.score else 1
        scope = mask.scope if spec.scope is None else cast(Scope, spec.scope)
        chosen = dataclasses.replace(chosen, mask=MaskRule(score, scope, steps, bool(spec.spare)))
    if spec.rewind is not None:
        name, _, step = spec.rewind.partition(":")
        if step and not (step.isdecimal() and len(step) < 10):  # Python refuses thousands of digits in its own words
            raise UserError(
                f"rewind must be 'initial', 'step:K' (K below 10^9), 'rate' or 'none', not {name}:{step:.20}"
            )
        chosen = dataclasses.replace(chosen, rewind=Rewind(cast(Target, name), int(step or 0)))
    return chosen
