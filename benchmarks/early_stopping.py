"""What early stopping is worth to a ticket: three ends of free training, everything else alike.

    python benchmarks/early_stopping.py CAMPAIGN --runs DIR [--data-dir DIR] [--recipes unilth unidlth] [--workers 2]
                                        [--device auto] [--out FILE.json]

The paper says that early stopping lets training stop at a better point, from which the penalty then grows. Each run of
the campaign whose recipe stops early is done with three ends of its free training (before the penalty), all with equal
epochs in all:

- *patience*: as the campaign has it. The weights of the best epoch (lowest validation loss) are restored, and epochs
  that are left go to the penalty.
- *best*: free training has all its epochs, then the weights of its best epoch are restored.
- *last*: free training has all its epochs and goes on from its last (``stop = "last"``): no early stopping.

*best* and *last* have the same free training (on a CPU bit for bit) and as many epochs in every phase, so that they
differ by the point alone from which the penalty grows: one that is earlier, and trained less. *patience* leaves the
penalty more epochs, and may have missed a later best epoch. Test accuracies and losses of the tickets are compared with
*last*, paired by seed, over the seeds of which all three ends are there, with sign-flip p-values corrected (Holm) for
all comparisons that are printed. The same command again goes on with what is missing in ``--runs``, a folder for this
alone. Exit code 1 where a run failed.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from comparison import check_out, finished, options, write

from unilth.errors import UserError
from unilth.sims import zoo
from unilth.sims.campaign import Campaign, load
from unilth.sims.records import Record
from unilth.sims.spec import RunSpec
from unilth.sims.statistics import Cell, Difference, describe, holm, paired
from unilth.sims.stopping import EarlyStopping
from unilth.sims.table import LEVEL

ENDS = ("patience", "best", "last")
THERE = ("validation_loss_there", "validation_accuracy_percent_there")  # in the epoch that training goes on from
CAME = {"test_accuracy_percent": 2, "test_loss": 3}  # what came of it, and with how many decimals it is printed
Runs = Mapping[RunSpec, tuple[RunSpec, str]]  # what is run: the campaign's run that it is made of, its end


def ends(campaign: Campaign, recipes: Iterable[str] | None) -> dict[RunSpec, tuple[RunSpec, str]]:
    """Every run there is to do; UserError where the campaign has none that stop early, or several networks or data."""
    if len({(spec.network, spec.data) for spec in campaign.specs}) > 1:
        raise UserError("the campaign has several networks or data sets: make a campaign of one of them")
    there = {spec.recipe for spec in campaign.specs if isinstance(zoo.recipe(spec).stop, EarlyStopping)}
    for name in recipes or ():
        if name not in there:
            raise UserError(
                f"no run of {name!r} in the campaign stops early on the validation loss, only {sorted(there) or 'none'}"
            )
    runs = {}
    for spec in campaign.specs:
        if spec.recipe in there and spec.recipe in (recipes or there):
            if (spec.patience or 0) >= spec.epochs:
                raise UserError(
                    f"a patience of {spec.patience} never runs out in {spec.epochs} epochs: give a shorter one"
                )
            longest = dataclasses.replace(spec, patience=spec.epochs)  # cannot run out
            for end, one in zip(ENDS, (spec, longest, without(spec)), strict=True):
                runs[one] = (spec, end)
    if not runs:
        raise UserError("the campaign has no run that stops early on the validation loss")
    return runs


def without(spec: RunSpec) -> RunSpec:
    """The same run without early stopping."""
    return dataclasses.replace(spec, patience=None, stop="last")


def measured(record: Record) -> dict[str, Any]:
    """What is kept of a run: its free epochs, how good the one was that it goes on from, and what came of it."""
    free = next(iter(record["phases"]), {"phase": "none"})
    best = free.get("best_epoch")
    if free["phase"] != "free" or not 1 <= (best or free["epochs"]) <= free["epochs"] <= len(record["epochs"]):
        raise UserError("free training had no epoch: give the campaign more epochs")
    there, test = record["epochs"][(best or free["epochs"]) - 1], record["test"]
    if None in (there["validation_loss"], test["loss"]):
        raise UserError("a loss is not finite: lower the campaign's lr")
    return {
        "free_epochs": free["epochs"],
        "best_epoch": best,
        "validation_loss_there": float(there["validation_loss"]),
        "validation_accuracy_percent_there": 100 * float(there["validation_accuracy"]),
        "fired": record["stopping_epoch"] is not None,
        "test_accuracy_percent": 100 * test["accuracy"],
        "test_loss": float(test["loss"]),
    }


def collected(records: Mapping[RunSpec, Record], runs: Runs) -> list[dict[str, Any]]:
    """One row for each recipe, sparsity, end and seed, in the campaign's order."""
    return [
        {"recipe": spec.recipe, "sparsity": spec.sparsity, "seed": spec.seed, "end": end} | measured(records[one])
        for one, (spec, end) in runs.items()
        if one in records
    ]


def compared(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A cell for each recipe, sparsity and end: what came of it, and how that differs from *last*, with Holm's p.

    All over the seeds of which the three ends are there: a run that diverged takes its pairs with it.
    """
    cells: dict[tuple[str, float], dict[str, dict[int, Mapping[str, Any]]]] = {}
    for row in rows:
        cell = cells.setdefault((row["recipe"], row["sparsity"]), {end: {} for end in ENDS})
        cell[row["end"]][row["seed"]] = row
    found: list[dict[str, Any]] = []
    for (recipe, sparsity), whole in cells.items():
        seeds = sorted(set.intersection(*map(set, whole.values())))
        for end in ENDS:
            mine = [whole[end][seed] for seed in seeds]
            one = {"recipe": recipe, "sparsity": sparsity, "end": end, "difference": {}, "p": {}}
            one["free"] = [row["free_epochs"] for row in mine]
            one["from"] = [row["best_epoch"] or row["free_epochs"] for row in mine]
            one["there"] = [[row[key] for row in mine] for key in THERE]
            one["came"] = {key: describe([row[key] for row in mine]) for key in CAME}
            for key in CAME if end != "last" else ():
                last = {seed: whole["last"][seed][key] for seed in seeds}
                one["difference"][key] = paired({seed: whole[end][seed][key] for seed in seeds}, last)
            found.append(one)
    made = [
        (cell["p"], key, difference.p)
        for cell in found
        for key, difference in cell["difference"].items()
        if difference.p is not None
    ]
    for (adjusted, key, _), p in zip(made, holm([p for _, _, p in made]), strict=True):
        adjusted[key] = p
    return found


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Markdown of `compared`; in bold where a corrected p is below 0.05."""
    names = ("recipe", "sparsity", "end", "epochs before the penalty", "goes on from epoch", "validation loss there",
             "accuracy there, %", "ticket's accuracy, %", "minus last", "ticket's loss", "minus last")  # fmt: skip
    lines = [f"| {' | '.join(names)} |", f"| --- | ---: | --- |{' ---: |' * 8}"]
    for cell in compared(rows):
        texts = [cell["recipe"], f"{cell['sparsity']:g}", cell["end"], span(cell["free"]), span(cell["from"])]
        for values, digits in zip(cell["there"], (3, 2), strict=True):
            texts.append(f"{statistics.fmean(values):.{digits}f}" if values else "–")
        for key, digits in CAME.items():
            texts.append(spread(cell["came"][key], digits))
            texts.append(said(cell["difference"].get(key), cell["p"].get(key), digits))
        lines.append(f"| {' | '.join(texts)} |")
    return "\n".join(lines)


def spread(cell: Cell, digits: int) -> str:
    """``85.71 ± 0.12``: a mean and half of its 95% interval, where there is one."""
    half = "" if cell.half is None else f" ± {cell.half:.{digits}f}"
    return "–" if cell.mean is None else f"{cell.mean:.{digits}f}{half}"


def span(epochs: Iterable[int]) -> str:
    """``9 to 14``, or one number where all are alike."""
    found = sorted(set(epochs))
    return "–" if not found else str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"


def said(difference: Difference | None, p: float | None, digits: int) -> str:
    """``+0.12 ± 0.20, p 0.3``."""
    if difference is None or difference.mean is None or p is None:
        return ""
    half = "" if difference.half is None else f" ± {difference.half:.{digits}f}"
    text = f"{difference.mean:+.{digits}f}{half}, p {p:.2g}"
    return f"**{text}**" if p < LEVEL else text


def main() -> None:
    """Run what is missing, compare and print."""
    parser = options(__doc__)
    parser.add_argument("--recipes", nargs="+")
    args = parser.parse_args()
    try:
        check_out(args.out)
        campaign = load(args.campaign)
        runs = ends(campaign, args.recipes)
        records, made, failed = finished(campaign, "early-stopping", runs, args)
        rows = collected(records, runs)
        print(table(rows))
        if args.out:
            write(args.out, {"campaign": campaign.name, "text": campaign.text, **made, "failed": failed, "runs": rows})
    except UserError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        parser.exit(130, "\nstopped; the same command goes on\n")
    if failed:
        parser.exit(1, f"{len(failed)} of {len(runs)} runs failed\n")


if __name__ == "__main__":
    main()
