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
    built: set[tuple[str, str, int | None]] = set()
    name, data = None, None
    specs = list(specs)
    for spec in specs:
        zoo.recipe(spec)
    for spec in sorted(specs, key=lambda spec: spec.data):  # so that one data set is held at a time
        if (spec.data, spec.network, spec.examples) in built:
            continue
        if data is None or spec.data != name:
            name, data = spec.data, load(spec.data, data_dir)
        if spec.examples is not None:
            data.part(spec.examples)
        networks.build(spec.network, data.shape, data.classes, stream(0, "initial"))
        built.add((spec.data, spec.network, spec.examples))
