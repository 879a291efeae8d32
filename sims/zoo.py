"""The zoo: every method is one row, the same five choices filled in differently.

Where the paper of this project is silent (patience, power, ceiling, rounds, scope, rewinding) the rows UniLTH and
UniDLTH hold our defaults, and a `RunSpec` can replace each of them.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple, cast

from unilth.errors import UserError
from unilth.sims.masks import Scope
from unilth.sims.penalties import L2, GrowingPenalty
from unilth.sims.recipe import MaskRule, Recipe, Rewind, Rounds, Target
from unilth.sims.spec import RunSpec, closest
from unilth.sims.stopping import EarlyStopping, Epochs


class Row(NamedTuple):
    """One method: its name on the command line, its recipe, and where it comes from."""

    name: str
    recipe: Recipe
    title: str
    source: str


OVERALL, PER_LAYER = MaskRule("magnitude", "global"), MaskRule("magnitude", "layer")
RANDOM = MaskRule("random", "layer")
LINEAR, SQUARE = GrowingPenalty(power=1), GrowingPenalty(power=2)

# fmt: off
ZOO: tuple[Row, ...] = (
    #                     stop             mask       penalty   rounds                  rewind
    Row("dense",   Recipe(Epochs(),        OVERALL,   None,     Rounds(0),              Rewind("rate")),
        "Dense", "no pruning: the network that the others are compared with"),
    Row("omp",     Recipe(Epochs(),        OVERALL,   None,     Rounds(1),              Rewind("rate")),
        "One-shot magnitude", "Han et al. 2015: train, prune once by magnitude, fine-tune"),
    Row("lth",     Recipe(Epochs(),        OVERALL,   None,     Rounds(5, free="each"), Rewind("initial")),
        "LTH", "Frankle and Carbin 2019: iterative magnitude pruning, survivors rewound to their initial values"),
    Row("l2",      Recipe(Epochs(),        OVERALL,   L2(5e-4), Rounds(1),              Rewind("rate")),
        "L2 then magnitude", "one-shot magnitude with L2 regularisation throughout (5e-4, as Wang et al. 2021)"),
    Row("dlth",    Recipe(Epochs(0),       RANDOM,    LINEAR,   Rounds(1),              Rewind("rate"), L2(5e-4)),
        "DLTH (RST)", "Bai et al. 2022: random mask at initialisation, growing penalty beside weight decay"),
    Row("unilth",  Recipe(EarlyStopping(), PER_LAYER, SQUARE,   Rounds(5),              Rewind("rate")),
        "UniLTH", "the paper: no regularisation until the early stop, then growing penalty on the smallest magnitudes"),
    Row("unidlth", Recipe(EarlyStopping(), RANDOM,    SQUARE,   Rounds(5),              Rewind("rate")),
        "UniDLTH", "the paper: as UniLTH with a random mask, each round's inside the last"),
)
# fmt: on

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
    for key in ("power", "ceiling"):
        value = getattr(spec, key)
        if value is not None:
            if not isinstance(chosen.penalty, GrowingPenalty):
                raise refuse(key, "has no growing penalty")
            chosen = dataclasses.replace(chosen, penalty=dataclasses.replace(chosen.penalty, **{key: value}))
    if spec.l2 is not None:
        if not isinstance(chosen.penalty, L2):
            raise refuse("l2", "has no L2 penalty")
        chosen = dataclasses.replace(chosen, penalty=L2(spec.l2))
    if chosen.rounds.number == 0 and (spec.rounds, spec.scope, spec.rewind) != (None, None, None):
        raise refuse("rounds, scope and rewind", "does not prune")
    if spec.rounds is not None:
        chosen = dataclasses.replace(chosen, rounds=dataclasses.replace(chosen.rounds, number=spec.rounds))
    if spec.scope is not None:
        chosen = dataclasses.replace(chosen, mask=dataclasses.replace(chosen.mask, scope=cast(Scope, spec.scope)))
    if spec.rewind is not None:
        name, _, step = spec.rewind.partition(":")
        if step and not step.isdecimal():
            raise UserError(f"rewind must be 'initial', 'step:K', 'rate' or 'none', not {spec.rewind!r}")
        chosen = dataclasses.replace(chosen, rewind=Rewind(cast(Target, name), int(step or 0)))
    return chosen
