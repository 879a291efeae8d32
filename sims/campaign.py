"""A campaign: a claim in words and the grid of runs that settles it, read from a TOML file. Needs no torch.

::

    claim = "At equal sparsity and equal epochs UniLTH is at least as accurate as L2-regularised magnitude pruning."

    [grid]
    recipes = ["dense", "l2", "unilth"]
    networks = ["lenet-300-100"]
    data = ["digits"]
    sparsities = [0.5, 0.9]
    seeds = 5                       # 0, 1, 2, 3, 4; or a list

    [run]                           # any setting of RunSpec that the grid does not name
    epochs = 60

    [run.unilth]                    # settings of one recipe only
    patience = 5

The dense recipe prunes nothing, so it runs once per seed (sparsity 0), not once per sparsity.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from unilth.errors import UserError
from unilth.sims.spec import RunSpec, closest

LARGEST = 2**20  # bytes of a campaign file
MOST_RUNS = 100_000
UNPRUNED = "dense"  # the one recipe without a sparsity
GRID = ("recipes", "networks", "data", "sparsities", "seeds")
SETTINGS = tuple(
    field.name
    for field in dataclasses.fields(RunSpec)
    if field.name not in ("recipe", "network", "data", "sparsity", "seed")
)


@dataclass(frozen=True)
class Campaign:
    """The runs of one campaign, seeds outermost (so that every cell has a run early), and the text it was read from."""

    name: str
    claim: str
    specs: tuple[RunSpec, ...]
    text: str


def shipped() -> tuple[str, ...]:
    """The names of the campaigns that come with the package."""
    return tuple(sorted(entry.name[:-5] for entry in _folder().iterdir() if entry.name.endswith(".toml")))


def load(name: str | Path) -> Campaign:
    """Read a campaign by the path of its file or by the name of a shipped one; ``UserError`` if that is impossible."""
    path = Path(name)
    if path.suffix == ".toml" or len(path.parts) > 1 or path.is_file():
        return parse(_text(path), name=path.stem, where=str(path))
    if str(name) not in shipped():
        raise UserError(f"there is no campaign {str(name)!r}{closest(str(name), shipped())}; a file ends in .toml")
    return parse((_folder() / f"{name}.toml").read_text(encoding="utf-8"), name=str(name), where=f"{name}.toml")


def parse(text: str, *, name: str, where: str) -> Campaign:
    """The campaign of a TOML text; ``where`` is what errors call it."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"the campaign {where!r} is not TOML: {error}") from None
    try:
        claim, grid, settings, single = _checked(document)
        specs = _expand(grid, settings, single)
    except UserError as error:
        raise UserError(f"the campaign {where!r}: {error}") from None
    return Campaign(re.sub(r"[^A-Za-z0-9_.-]+", "_", name), claim, specs, text)


def _expand(grid: Mapping[str, list], settings: Mapping[str, Any], single: Mapping[str, dict]) -> tuple[RunSpec, ...]:
    count = math.prod(len(values) for values in grid.values())
    if count > MOST_RUNS:
        raise UserError(f"the grid has {count:,} runs, more than the {MOST_RUNS:,} allowed; make it smaller")
    specs: dict[RunSpec, None] = {}
    for seed, network, data, recipe in itertools.product(
        grid["seeds"], grid["networks"], grid["data"], grid["recipes"]
    ):
        for sparsity in grid["sparsities"] if recipe != UNPRUNED else [0.0]:
            choices = dict(settings) | single.get(recipe, {})
            specs[RunSpec(recipe, network=network, data=data, sparsity=sparsity, seed=seed, **choices)] = None
    return tuple(specs)


def _checked(document: Mapping[str, Any]) -> tuple[str, dict[str, list], dict[str, Any], dict[str, dict]]:
    """The claim, the grid, the settings of all runs and those of single recipes; ``UserError`` at the first mistake."""
    _known(document, ("claim", "grid", "run"), "the file")
    claim = document.get("claim")
    if not isinstance(claim, str) or not claim.strip():
        raise UserError('claim must say in words what the campaign settles: claim = "..."')
    table = _table(document.get("grid"), "[grid]")
    _known(table, GRID, "[grid]")
    if "recipes" not in table or "seeds" not in table:
        raise UserError("[grid] needs recipes and seeds")
    grid = {key: _values(key, table[key]) for key in GRID if key in table}
    for key, field in (("networks", "network"), ("data", "data")):
        grid.setdefault(key, [RunSpec.__dataclass_fields__[field].default])
    if "sparsities" not in grid:
        if any(recipe != UNPRUNED for recipe in grid["recipes"]):
            raise UserError("[grid] needs sparsities, for example sparsities = [0.5, 0.9]")
        grid["sparsities"] = [0.0]
    run = _table(document.get("run", {}), "[run]")
    single = {key: value for key, value in run.items() if isinstance(value, dict)}
    settings = {key: value for key, value in run.items() if key not in single}
    _known(settings, SETTINGS, "[run]")
    for recipe, values in single.items():
        if recipe not in grid["recipes"]:
            raise UserError(f"[run.{recipe}] is no recipe of the grid{closest(recipe, grid['recipes'])}")
        _known(values, SETTINGS, f"[run.{recipe}]")
    return claim.strip(), grid, settings, single


def _values(key: str, given: Any) -> list:
    """One axis of the grid as a list of checked, different values."""
    if key == "seeds" and type(given) is int:
        if not 0 < given <= MOST_RUNS:
            raise UserError(f"seeds must be a list or a number from 1 to {MOST_RUNS:,}, not {given}")
        return list(range(given))
    if not isinstance(given, list):
        raise UserError(f"{key} must be a list, not {given!r:.60}")
    if not given:
        raise UserError(f"{key} is empty: the grid would have no runs")
    wanted, kinds = {"seeds": ("whole numbers", (int,)), "sparsities": ("numbers", (int, float))}.get(
        key, ("texts", (str,))
    )
    for value in given:
        if type(value) not in kinds:
            raise UserError(f"{key} must be {wanted}, not {value!r:.60}")
        if key == "sparsities" and not 0 <= value < 1:
            raise UserError(f"sparsities must be in [0, 1), not {value!r}: 0.9 prunes nine weights of ten")
    if len(set(given)) < len(given):
        twice = next(value for position, value in enumerate(given) if value in given[:position])
        raise UserError(f"{key} names {twice!r} twice")
    return given


def _known(table: Mapping[str, Any], names: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in names:
            raise UserError(f"{where} has no key {key!r}{closest(key, names)}")


def _table(value: Any, name: str) -> dict[str, Any]:
    if value is None:
        raise UserError(f"the table {name} is missing")
    if not isinstance(value, dict):
        raise UserError(f"{name} must be a table, not {value!r:.60}")
    return value


def _text(path: Path) -> str:
    try:
        if path.is_dir():
            raise UserError(f"the campaign {str(path)!r} is a directory; name a TOML file")
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise UserError(
            f"the campaign {str(path)!r} cannot be read ({error.strerror}); name a TOML file or one of "
            f"{', '.join(shipped())}"
        ) from None
    if len(content) > LARGEST:
        raise UserError(f"the campaign {str(path)!r} has more than the {LARGEST:,} bytes allowed")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"the campaign {str(path)!r} is not UTF-8 text") from None


def _folder() -> Traversable:
    return resources.files("unilth.sims.campaigns")
