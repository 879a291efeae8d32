"""The recipes of our zoo as ticket finders, declared, on a budget that suits the kit's tiny problems."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import nn

from unilth.sims import zoo
from unilth.sims.find import Budget, find
from unilth.sims.invariants.declarations import ticket_finder
from unilth.sims.invariants.problems import TRAIN
from unilth.sims.penalties import GrowingPenalty
from unilth.sims.stopping import EarlyStopping
from unilth.sims.tickets import Ticket

BUDGET = Budget(epochs=20, tune=0.2, batch=32, lr=0.1)
PRESSED_STEPS = 16 * (TRAIN // BUDGET.batch)
"""DLTH presses from the first epoch on, in all epochs that do not fine-tune."""

HANDLES = ("tied", "frozen", "bfloat16", "optimizer-state")
PATIENCE = 2


def _search(name: str, network: nn.Module, data: Any, sparsity: float, seed: int) -> Ticket:
    recipe = zoo.row(name).recipe
    if isinstance(recipe.stop, EarlyStopping):
        recipe = dataclasses.replace(recipe, stop=EarlyStopping(PATIENCE))
    return find(recipe, network, data, sparsity, seed=seed, budget=BUDGET)


@ticket_finder(keeps="largest", scope="global", nested=True, handles=HANDLES)
def omp(network: nn.Module, data: Any, sparsity: float, *, seed: int) -> Ticket:
    """One-shot magnitude."""
    return _search("omp", network, data, sparsity, seed)


@ticket_finder(rewinds=True, keeps="largest", scope="global", nested=True, handles=HANDLES)
def lth(network: nn.Module, data: Any, sparsity: float, *, seed: int) -> Ticket:
    """Iterative magnitude pruning with rewinding."""
    return _search("lth", network, data, sparsity, seed)


@ticket_finder(keeps="largest", scope="global", nested=True, handles=HANDLES)
def l2(network: nn.Module, data: Any, sparsity: float, *, seed: int) -> Ticket:
    """L2 regularisation, then magnitude."""
    return _search("l2", network, data, sparsity, seed)


@ticket_finder(
    keeps="random",
    scope="layer",
    nested=True,
    no_empty_layer=True,
    handles=HANDLES,
    penalty=GrowingPenalty(power=1).scaled(PRESSED_STEPS).value,
)
def dlth(network: nn.Module, data: Any, sparsity: float, *, seed: int) -> Ticket:
    """RST: a random mask at initialisation and a growing penalty."""
    return _search("dlth", network, data, sparsity, seed)


@ticket_finder(keeps="largest", scope="layer", nested=True, no_empty_layer=True, handles=HANDLES, stops_early=PATIENCE)
def unilth(network: nn.Module, data: Any, sparsity: float, *, seed: int) -> Ticket:
    """UniLTH: early stop, growing penalty on the smallest magnitudes, five rounds."""
    return _search("unilth", network, data, sparsity, seed)


@ticket_finder(keeps="random", scope="layer", nested=True, no_empty_layer=True, handles=HANDLES, stops_early=PATIENCE)
def unidlth(network: nn.Module, data: Any, sparsity: float, *, seed: int) -> Ticket:
    """UniDLTH: early stop, growing penalty on a random set, five rounds."""
    return _search("unidlth", network, data, sparsity, seed)


FINDERS = (omp, lth, l2, dlth, unilth, unidlth)
