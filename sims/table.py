"""The comparison of finished runs: recipes by sparsities, mean and 95% interval over seeds, differences paired by seed.

Where the directory keeps its campaign, the table has that campaign's runs and says of every cell how many of them are
there; otherwise it has every run and cannot say what is missing. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from unilth.errors import UserError
from unilth.sims.campaign import UNPRUNED, load
from unilth.sims.recorded import Source, opened
from unilth.sims.records import DamagedRecord, Record
from unilth.sims.results import run_name
from unilth.sims.shortfalls import tallied
from unilth.sims.spec import RunSpec, closest
from unilth.sims.statistics import FLIPS, MOST_PAIRS, Cell, Difference, describe, holm, paired, smallest_p

METRIC = "test.accuracy"
LARGEST = 1e100  # a number above it is no measurement, and its square is no number
LEVEL = 0.05  # below which readers will call a corrected p significant
AXES = ("recipe", "network", "data", "sparsity", "seed")
# what may be the setting of one recipe alone
CHOICES = (
    "patience", "power", "ceiling", "l2", "l1", "rounds", "scope", "rewind", "score", "spare", "tune_l2", "stop",
)  # fmt: skip

Values = dict[tuple[str, float], dict[int, float]]  # (recipe, sparsity) -> seed -> value


@dataclass(frozen=True)
class Entry:
    """One cell: its runs, how many the campaign has (None: not known), the difference to the baseline, Holm's p."""

    cell: Cell
    expected: int | None
    difference: Difference | None = None
    adjusted: float | None = None


@dataclass(frozen=True)
class Comparison:
    """One network on one data set; ``entries`` has the (recipe, sparsity) that the campaign has and no others."""

    network: str
    data: str
    metric: str
    baseline: str | None
    recipes: tuple[str, ...]
    sparsities: tuple[float, ...]
    entries: Mapping[tuple[str, float], Entry]
    notes: tuple[str, ...]


def compare(root: Path | str, *, metric: str = METRIC, baseline: str | None = None) -> tuple[Comparison, ...]:
    """The comparisons of the runs in ``root``, one for each network and data set.

    ``metric`` is the dotted path of a number in the records. With a ``baseline`` recipe every cell is compared with the
    baseline at the same sparsity (with the dense network, if that is the baseline), over the seeds that both have, and
    the p-values of all comparisons are corrected together. Raises ``UserError`` for a directory without runs, a damaged
    record, runs that cannot be told apart, an unknown metric or baseline.
    """
    store = opened(root)
    runs, expected, notes = _gather(store)
    if not any(record for record in runs.values()):
        raise UserError(f"{str(store.root)!r} holds no finished run; name the directory that a sweep wrote to")
    _refuse_mixtures(runs)
    values = {
        spec: _number(record, metric, f"{run_name(spec)} in {str(store.root)!r}")
        for spec, record in runs.items()
        if record is not None
    }
    if not any(value is not None for value in values.values()):
        known = sorted(set().union(*(_numbers(record) for record in runs.values() if record is not None)))
        raise UserError(f"no run has a number {metric!r}{closest(metric, known)}")
    without = sum(value is None for value in values.values())
    if without:
        have, count = ("has", "its cell counts it") if without == 1 else ("have", "their cells count them")
        notes.append(f"{counted(without, 'finished run')} {have} no number {metric}; {count} as missing")
    notes += _differing(runs)
    notes += tallied(record for record in runs.values() if record is not None)
    recipes = tuple(dict.fromkeys(spec.recipe for spec in runs))
    if baseline is not None and baseline not in recipes:
        raise UserError(f"no run has the baseline {baseline!r}{closest(baseline, recipes)}")
    made = [
        _one(network, data, {s: values.get(s) for s in runs if (s.network, s.data) == (network, data)}, metric,
             baseline, expected)
        for network, data in dict.fromkeys((spec.network, spec.data) for spec in runs)
    ]  # fmt: skip
    if baseline is not None:
        notes += _alone(made, baseline)
    return _corrected(made, notes)


def _gather(store: Source) -> tuple[dict[RunSpec, Record | None], bool, list[str]]:
    """Every run of the campaigns kept there (its record or None), whether there is a campaign at all, and notes."""
    records = {record["spec_digest"]: record for record in store.records()}
    campaigns = [load(path) for path in sorted((store.root / "campaigns").glob("*.toml"))]
    if not campaigns:
        return {RunSpec.from_dict(record["spec"]): record for record in records.values()}, False, []
    specs = dict.fromkeys(spec for campaign in campaigns for spec in campaign.specs)
    # what the sweep wrote, or else a record in a folder of another name, such as `unilth find` leaves
    runs = {spec: store.finished(spec) or records.get(spec.digest()) for spec in specs}
    other = len(records) - sum(record is not None for record in runs.values())
    belong, are = ("belongs", "is") if other == 1 else ("belong", "are")
    left_out = f"{counted(other, 'run')} that {belong} to no campaign of this directory {are} left out"
    return runs, True, [left_out] if other else []


def _refuse_mixtures(runs: Iterable[RunSpec]) -> None:
    """Two runs with one recipe, network, data, sparsity and seed cannot stand in one cell."""
    seen: dict[tuple, RunSpec] = {}
    for spec in runs:
        cell = tuple(getattr(spec, axis) for axis in AXES)
        if cell in seen:
            first = seen[cell]
            name = next(f.name for f in fields(RunSpec) if getattr(first, f.name) != getattr(spec, f.name))
            raise UserError(
                f"{run_name(first)} and {run_name(spec)} differ in {name} ({getattr(first, name)}, "
                f"{getattr(spec, name)}) and would share a cell; give each campaign a directory of its own"
            )
        seen[cell] = spec


def _differing(runs: Mapping[RunSpec, Record | None]) -> list[str]:
    """Notes on what is not the same in all runs: settings, versions, devices."""
    names = [field.name for field in fields(RunSpec) if field.name not in AXES]
    all_values = {name: {getattr(spec, name) for spec in runs} for name in names}
    several = {name: values for name, values in all_values.items() if len(values) > 1}
    chosen = [name for name in CHOICES if name in several and _of_recipes(name, runs)]
    notes = [f"settings of single recipes: {_settings(chosen, runs)}"] if chosen else []
    notes += [
        f"the runs differ in {name}: {', '.join(sorted(map(str, values)))}"
        for name, values in several.items()
        if name not in chosen
    ]
    digests: dict[str, dict[tuple[int | None, str], None]] = {}
    for spec, record in runs.items():
        if record is not None and "data_digest" in record:
            digests.setdefault(spec.data, {})[spec.examples, _text(record, "data_digest")[:12]] = None
    for data, pairs in digests.items():
        if len(pairs) > len({examples for examples, _ in pairs}):  # a part of the data has a digest of its own
            listed = ", ".join(sorted({digest for _, digest in pairs}))
            notes.append(f"the runs on {data} differ in their data (data_digest): {listed}")
    notes += _edited(runs)
    for key in ("unilth", "device", "versions.torch"):
        found = {_text(record, key) for record in runs.values() if record is not None}
        if len(found) > 1:
            notes.append(f"the runs differ in {key}: {', '.join(sorted(found))}")
    return notes


def _of_recipes(name: str, runs: Iterable[RunSpec]) -> bool:
    """Whether the setting called ``name`` is the same in all runs of each recipe."""
    return len({(spec.recipe, getattr(spec, name)) for spec in runs}) == len({spec.recipe for spec in runs})


def _settings(names: Iterable[str], runs: Iterable[RunSpec]) -> str:
    """``l2 (l2 0.002), unilth (patience 2, scope global)``: what a campaign chose for single recipes."""
    texts = []
    for recipe, spec in {spec.recipe: spec for spec in runs}.items():
        given = [f"{name} {getattr(spec, name)}" for name in names if getattr(spec, name) is not None]
        texts += [f"{recipe} ({', '.join(given)})"] if given else []
    return ", ".join(texts)


def _edited(runs: Mapping[RunSpec, Record | None]) -> list[str]:
    """Notes on the user's own networks and scores of which the runs had several versions."""
    digests: dict[tuple[str, str], set[str]] = {}
    for spec, record in runs.items():
        for part in ("network", "score"):
            if record is not None and isinstance(record.get(part), dict):
                name = spec.network if part == "network" else str(_value(record, "score.name"))
                digests.setdefault((part, name), set()).add(_text(record, f"{part}.sha256")[:12])
    return [
        f"the runs with the {part} {name} differ in its file ({part}.sha256): {', '.join(sorted(found))}"
        for (part, name), found in digests.items()
        if len(found) > 1
    ]


def _one(
    network: str, data: str, runs: Mapping[RunSpec, float | None], metric: str, baseline: str | None, expected: bool
) -> Comparison:
    values: Values = {}
    planned: dict[tuple[str, float], int] = {}
    for spec, value in runs.items():
        place = (spec.recipe, spec.sparsity)
        planned[place] = planned.get(place, 0) + 1
        values.setdefault(place, {})
        if value is not None:
            values[place][spec.seed] = value
    entries = {}
    for place, cell in values.items():
        seeds = sorted(cell)
        against = _baseline_cell(values, baseline, place[1]) if baseline and place[0] != baseline else None
        entries[place] = Entry(
            describe([cell[seed] for seed in seeds]),
            planned[place] if expected else None,
            paired(cell, against) if against is not None else None,
        )
    recipes = tuple(dict.fromkeys(recipe for recipe, _ in entries))
    sparsities = tuple(sorted({sparsity for _, sparsity in entries}))
    return Comparison(network, data, metric, baseline, recipes, sparsities, entries, ())


def _baseline_cell(values: Values, baseline: str, sparsity: float) -> dict[int, float] | None:
    own = [place for place in values if place[0] == baseline]
    if baseline == UNPRUNED and len(own) == 1:  # it prunes nothing, and everything is compared with its one cell
        return values[own[0]]
    return values.get((baseline, sparsity))


def _alone(made: Iterable[Comparison], baseline: str) -> list[str]:
    """A note on cells that have no counterpart; the dense network's never has one among recipes that prune."""
    cells = [(recipe, entry) for comparison in made for (recipe, _), entry in comparison.entries.items()]
    alone = sum(entry.difference is None for recipe, entry in cells if recipe not in (baseline, UNPRUNED))
    if not alone and all(entry.difference is None for _, entry in cells):
        return [f"there is nothing to compare with {baseline}"]
    have, their, are = ("has", "its", "is") if alone == 1 else ("have", "their", "are")
    note = f"{counted(alone, 'cell')} {have} no run of {baseline} at {their} sparsity and {are} not compared with it"
    return [note] if alone else []


def _corrected(made: list[Comparison], notes: list[str]) -> tuple[Comparison, ...]:
    """Holm's correction over every comparison that was made, and the notes that every table carries."""
    places = [
        (number, place)
        for number, comparison in enumerate(made)
        for place, entry in comparison.entries.items()
        if entry.difference is not None and entry.difference.p is not None
    ]
    differences = [made[number].entries[place].difference for number, place in places]
    raw = [difference.p for difference in differences if difference is not None and difference.p is not None]
    corrected = dict(zip(places, holm(raw), strict=True))
    if raw:
        counts = [difference.n for difference in differences if difference is not None]
        pairs = min(counts, key=smallest_p)
        least = smallest_p(pairs)
        how = "p from exact sign-flip permutation of the seed pairs"
        if max(counts) > MOST_PAIRS:
            how = (
                f"p from sign-flip permutation of the seed pairs, exact up to {MOST_PAIRS} pairs and beyond that from "
                f"{FLIPS:,} random flips of a fixed seed"
            )
        note = (
            f"{how}, corrected for {counted(len(raw), 'comparison')} (Holm); "
            f"with {counted(pairs, 'pair')} no p before the correction is below {least:.3g}"
        )
        if len(raw) * least > LEVEL:
            note += f", so none can be below {LEVEL} after it: judge by the intervals, or run more seeds"
        notes = [*notes, note]
    return tuple(
        replace(
            comparison,
            notes=tuple(notes),
            entries={
                place: replace(entry, adjusted=corrected.get((number, place)))
                for place, entry in comparison.entries.items()
            },
        )
        for number, comparison in enumerate(made)
    )


def _value(record: Record, path: str) -> Any:
    value: Any = record
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def is_share(metric: str) -> bool:
    """Whether a metric is a share in [0, 1], shown in percent."""
    return metric.split(".")[-1] in ("accuracy", "counted", "nominal")


def counted(number: int, noun: str) -> str:
    """``1 pair`` or ``5 pairs``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _text(record: Record, path: str) -> str:
    return str(_value(record, path))[:60]


def _number(record: Record, path: str, where: str) -> float | None:
    """The number, None where the record has none; ``DamagedRecord`` for one that no run can have."""
    value = _value(record, path)
    if type(value) not in (int, float):
        return None
    lowest, highest = (0, 1) if is_share(path) else (-LARGEST, LARGEST)
    if not lowest <= value <= highest:
        raise DamagedRecord(
            f"the record of {where} has a {path} of {value!r:.20}, which is not from {lowest:g} to {highest:g}: "
            "restore it, or remove it and run the sweep again"
        )
    return float(value)


def _numbers(record: Mapping[str, Any], prefix: str = "") -> set[str]:
    """The dotted paths of all numbers in a record that are not inside lists."""
    found = set()
    for key, value in record.items():
        if isinstance(value, dict):
            found |= _numbers(value, f"{prefix}{key}.")
        elif type(value) in (int, float):
            found.add(prefix + key)
    return {path for path in found if not path.startswith(("spec.", "files.", "recipe."))}
