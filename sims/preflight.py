"""Can these runs start at all? Asked once, before a sweep begins, so that a misspelt name costs seconds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from unilth.sims import networks, zoo
from unilth.sims.data import load
from unilth.sims.spec import RunSpec
from unilth.sims.streams import stream


def usable(specs: Iterable[RunSpec], *, data_dir: Path | None = None) -> None:
    """Look up every recipe and its settings, load every data set once and build every network on it once.

    Raises ``UserError`` at the first that is unknown, does not fit or cannot be read.
    """
    built: set[tuple[str, str]] = set()
    for spec in specs:
        zoo.recipe(spec)
        if (spec.data, spec.network) not in built:
            data = load(spec.data, data_dir)
            networks.build(spec.network, data.shape, data.classes, stream(0, "initial"))
            built.add((spec.data, spec.network))
