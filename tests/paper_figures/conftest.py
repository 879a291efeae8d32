"""Records as a sweep leaves them, without training anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from unilth.sims.campaign import parse
from unilth.sims.results import Store
from unilth.sims.spec import RunSpec
from unilth.sims.sweep import keep_campaign

CAMPAIGN = """
claim = "For tests."
[grid]
recipes = ["dense", "lth", "unilth"]
sparsities = [0.5, 0.9]
seeds = 3
[run]
epochs = 2
"""

MakeRuns = Callable[..., Path]


def accuracy_of(spec: RunSpec) -> float:
    """Something that differs between recipes, sparsities and seeds."""
    return 0.9 + 0.01 * spec.seed - 0.1 * spec.sparsity + (0.02 if spec.recipe == "unilth" else 0.0)


@pytest.fixture
def make_runs(tmp_path: Path) -> MakeRuns:
    """``make_runs(name, campaign=..., skip=..., accuracy=...)`` -> the results folder."""

    def make(
        name: str = "runs",
        campaign: str = CAMPAIGN,
        skip: Callable[[RunSpec], bool] = lambda spec: False,
        accuracy: Callable[[RunSpec], object] = accuracy_of,
        seconds: float = 1.0,
    ) -> Path:
        store = Store(tmp_path / name)
        store.create()
        loaded = parse(campaign, name="digits", where="test")
        keep_campaign(store, loaded)
        for spec in loaded.specs:
            if not skip(spec):
                store.write(spec, {"test": {"accuracy": accuracy(spec)}, "timing": {"seconds": seconds}})
        return store.root

    return make


@pytest.fixture
def campaign_text() -> str:
    return CAMPAIGN
