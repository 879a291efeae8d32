"""Can these runs start at all? Asked once, before a sweep begins, so that a misspelt name costs seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from unilth.errors import UserError
from unilth.sims import networks, own_score, zoo
from unilth.sims.data import Dataset, load
from unilth.sims.spec import RunSpec
from unilth.sims.streams import stream
from unilth.sims.training import steps_per_epoch

Known = tuple[str, int | None, str]  # a data set, the examples of it that were asked for, the digest of these data


Own = dict[str, dict[str, str]]  # "network" and "score": the user's own by name, with the SHA-256 of their files


def usable(specs: Iterable[RunSpec], *, data_dir: Path | None = None, known: Iterable[Known] = ()) -> Own:
    """Look up every recipe and its settings, load every data set once and build every network on it once.

    ``known`` are the data of finished runs; those of them that the specs need must be the same now. Returns what the
    user's own networks and scores are now, so that a run can be told from one of a file that was edited meanwhile.
    Raises ``UserError`` at the first that is unknown, does not fit or cannot be read.
    """
    built: set[tuple[str, str, int | None, int]] = set()
    name, data = None, None
    specs = list(specs)
    for spec in specs:
        zoo.recipe(spec)
    for spec in sorted(specs, key=lambda spec: spec.data):  # so that one data set is held at a time
        if data is None or spec.data != name:
            name, data = spec.data, load(spec.data, data_dir)
            _compare(data, known)
        _fits(spec, data)
        kind = (spec.data, spec.network, spec.examples, spec.batch)
        if kind in built:
            continue
        if spec.examples is not None:
            data.part(spec.examples)
        networks.build(spec.network, data.shape, data.classes, stream(0, "initial"), batch=spec.batch)
        built.add(kind)
    return own_files(specs)


def own_files(specs: Iterable[RunSpec]) -> Own:
    """The user's own networks and scores of these specs, as they are now."""
    own: Own = {"network": {}, "score": {}}
    for network, score in {(spec.network, str(zoo.recipe(spec).mask.score)) for spec in specs}:
        for part, at in (("network", networks.origin(network)), ("score", own_score.origin(score))):
            if at["kind"] == "imported":
                own[part][at["name"]] = at["sha256"]
    return own


def same_data(known: Iterable[Known], data_dir: Path, say: Callable[[str], None] | None = None) -> None:
    """UserError where the data in ``data_dir`` are others than finished runs had; said where they cannot be read."""
    known = list(known)
    for name in dict.fromkeys(name for name, *_ in known):
        try:
            data = load(name, data_dir)
        except UserError as error:
            if say:
                say(f"{error}: the data are not compared with those of the finished runs")
        else:
            _compare(data, known)


def _fits(spec: RunSpec, data: Dataset) -> None:
    """UserError for settings that these data do not allow."""
    if spec.augment == "standard" and data.augment is None:
        raise UserError(f"the data {spec.data!r} have no standard augmentation: leave augment out")
    recipe = zoo.recipe(spec)
    step = recipe.rewind.step
    free = spec.epochs - round(spec.tune * spec.epochs) if recipe.stop.most is None else spec.epochs
    most = free * steps_per_epoch(spec.examples or len(data.train[1]), spec.batch)  # rounds and early stops leave fewer
    if step > most:
        raise UserError(
            f"a rewind to step {step} needs more free training than {spec.epochs} epochs have ({most} steps at most): "
            "raise epochs or lower the step"
        )


def _compare(data: Dataset, known: Iterable[Known]) -> None:
    """UserError where the data are others than those that finished runs had: the two would share a table."""
    for name, examples, then in known:
        if name != data.name:
            continue
        now = (data if examples is None else data.part(examples)).digest()
        if now != then:
            raise UserError(
                f"the data {name!r} are others than when the finished runs were done (digest {now[:12]}, then "
                f"{then[:12]}): give another folder, or put the data back as they were"
            )
