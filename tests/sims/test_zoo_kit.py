"""Rows of the zoo that the kit does not ship as finders pass it too, each with what it may claim."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from torch import nn

from unilth.sims import zoo
from unilth.sims.find import Budget, find
from unilth.sims.invariants import check, ticket_finder
from unilth.sims.invariants.ours_finders import BUDGET, FINDERS, HANDLES
from unilth.sims.tickets import Ticket

LAYERS = {"scope": "layer", "no_empty_layer": True}
AT_START = {"rewinds": True, "nested": True}
CLAIMS: dict[str, dict[str, Any]] = {
    "omp-layer": {"keeps": "largest", "nested": True, **LAYERS},
    "lamp": {"keeps": "other", "scope": "global", "nested": True, "no_empty_layer": True},
    "lth-step": {"keeps": "largest", "scope": "global", "nested": True},
    "lth-rate": {"keeps": "largest", "scope": "global", "nested": True},
    "l1": {"keeps": "largest", "scope": "global", "nested": True},
    "early-bird": {"keeps": "largest", "scope": "global", "nested": True},
    "greg-1": {"keeps": "largest", "nested": True, **LAYERS},
    "greg-2": {"keeps": "largest", "nested": True, **LAYERS},
    "dlth-iter": {"keeps": "random", "nested": True, **LAYERS},
    "dlth-iter-code": {"keeps": "other", **LAYERS},  # random and nested only where the pressing was strong
    "snip": {"keeps": "other", "scope": "global", **AT_START},
    "grasp": {"keeps": "other", "scope": "global", **AT_START},
    "synflow": {"keeps": "other", "scope": "global", "no_empty_layer": True, **AT_START},
    "random": {"keeps": "random", **LAYERS, **AT_START},
    "random-erk": {"keeps": "random", "scope": "other", **AT_START},
    "random-balanced": {"keeps": "random", "scope": "other", "no_empty_layer": True, **AT_START},
}


def finder(name: str, budget: Budget = BUDGET, **claims: Any) -> Any:
    """The row as the kit sees a finder of anybody's."""

    def row(network: nn.Module, data: Any, sparsity: float, *, seed: int) -> Ticket:
        return find(name, network, data, sparsity, seed=seed, budget=budget)

    row.__name__ = name.replace("-", "_")
    return ticket_finder(handles=HANDLES, **CLAIMS[name] | claims)(row)


def test_every_row_that_prunes_is_checked_somewhere():
    shipped = {each.__name__ for each in FINDERS}
    assert shipped | CLAIMS.keys() == set(zoo.NAMES) - {"dense"}


@pytest.mark.slow
@pytest.mark.parametrize("name", CLAIMS)
def test_the_row_passes_the_kit(name):
    report = check(finder(name), budget="quick")
    assert report.ok, [(each.id, each.got) for each in report.invariants if each.status == "violated"]
    assert report.counts["passed"] >= 19


@pytest.mark.slow
def test_the_published_code_of_rst_iter_is_not_random_when_it_presses_too_little():
    """It tells the last cycle's weights by their magnitude, so after a short cycle it prunes the small ones."""
    short = dataclasses.replace(BUDGET, epochs=4, lr=0.05)
    told = finder("dlth-iter-code", short, keeps="random")
    report = check(told, budget="quick", only="finder-random-is-random")
    assert [each.status for each in report.invariants] == ["violated"]
    ours = check(finder("dlth-iter", short), budget="quick", only="finder-random-is-random")
    assert [each.status for each in ours.invariants] == ["passed"]
