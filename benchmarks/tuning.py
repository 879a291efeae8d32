"""Choose every method's settings for a campaign on validation accuracy, with as many tries for each method.

    python benchmarks/tuning.py CAMPAIGN --runs DIR [--data-dir DIR] [--sparsities 0.9 0.98] [--seeds 100 101]
                                [--workers 2] [--device auto] [--out FILE.json]

A comparison in which only one side was tuned says little, so each method of the campaign gets the tries below: six
values of its own settings (four of one-shot magnitude, which has no more; none of the dense network). Every try is
the campaign's run with these settings, for each sparsity and each seed; none of the seeds may be one of the
campaign's. What counts is the validation accuracy after the last epoch, in the mean over all of a try's runs, and then
the validation loss; the test accuracy is never looked at. Printed is the block [run.METHOD] for the campaign's file.
The same command again goes on with what is missing in ``--runs``.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import statistics
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from unilth.errors import UserError
from unilth.sims.campaign import Campaign, load
from unilth.sims.records import Record
from unilth.sims.results import Store
from unilth.sims.spec import RunSpec
from unilth.sims.sweep import sweep


def product(**values: tuple) -> tuple[dict[str, Any], ...]:
    """Every combination of the values, each as settings."""
    return tuple(dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values()))


TRIES: dict[str, tuple[dict[str, Any], ...]] = {
    "omp": product(scope=("global", "layer"), rewind=("rate", "none")),
    "lth": product(scope=("global", "layer"), rounds=(3, 5, 10)),
    "l2": product(l2=(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005)),
    "dlth": product(ceiling=(0.01, 0.1, 1.0), power=(1.0, 2.0)),
    "unilth": product(scope=("global", "layer"), patience=(2, 5, 10)),
    "unidlth": product(ceiling=(0.1, 1.0), patience=(2, 5, 10)),
}


def tries(campaign: Campaign, sparsities: Iterable[float], seeds: Iterable[int]) -> dict[RunSpec, tuple[str, int]]:
    """Every run there is to do, with its method and the number of its try."""
    one = {spec.recipe: spec for spec in campaign.specs}  # they differ in sparsity and seed, or `main` refuses them
    runs = {}
    for seed, sparsity, (method, settings) in itertools.product(seeds, sparsities, TRIES.items()):
        for number, choice in enumerate(settings if method in one else ()):
            given = choice | {"sparsity": sparsity, "seed": seed}
            runs[dataclasses.replace(one[method], **given)] = (method, number)
    return runs


def ranked(records: Mapping[RunSpec, Record], runs: Mapping[RunSpec, tuple[str, int]]) -> dict[str, list[dict]]:
    """The tries of each method, best first: mean validation accuracy in percent, then mean validation loss in nats."""
    rows: dict[str, list[dict]] = {}
    for method, number in dict.fromkeys(runs.values()):
        ends = [records[spec]["epochs"][-1] for spec, which in runs.items() if which == (method, number)]
        row = {
            "settings": TRIES[method][number],
            "validation_accuracy_percent": 100 * statistics.fmean(end["validation_accuracy"] for end in ends),
            "validation_loss": statistics.fmean(end["validation_loss"] for end in ends),
            "runs": len(ends),
        }
        rows.setdefault(method, []).append(row)
    for found in rows.values():
        found.sort(key=lambda row: (-row["validation_accuracy_percent"], row["validation_loss"]))
    return rows


def main() -> None:
    """Try, choose and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("campaign")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.9, 0.98])
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101])
    parser.add_argument("--workers", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    try:
        campaign = load(args.campaign)
        if {spec.seed for spec in campaign.specs} & set(args.seeds):
            parser.error("--seeds has one of the campaign's own: choose others")
        if len({(spec.network, spec.data) for spec in campaign.specs}) > 1:
            parser.error("the campaign has several networks or data sets: tune for one at a time")
        runs = tries(campaign, args.sparsities, args.seeds)
        if not runs:
            parser.error("no method of the campaign has settings to try")
        summary = sweep(
            dataclasses.replace(campaign, name="tuning", specs=tuple(runs)), args.runs, workers=args.workers,
            data_dir=args.data_dir, device=args.device,
            progress=lambda now: print(f"\r{now.skipped + now.done} of {now.total} runs", end="", file=sys.stderr),
        )  # fmt: skip
        if not summary.ok:
            parser.error(f"{len(summary.failed)} runs failed: {summary.failed[0][1]}")
        records = {RunSpec.from_dict(dict(record["spec"])): record for record in Store(args.runs).records()}
        rows = ranked(records, runs)
    except UserError as error:
        parser.error(str(error))
    for method, found in rows.items():
        print(f"\n[run.{method}]")
        for key, value in found[0]["settings"].items():
            print(f"{key} = {json.dumps(value)}")
        for row in found:
            settings = ", ".join(f"{key} {value}" for key, value in row["settings"].items())
            print(f"# {row['validation_accuracy_percent']:.2f}%, loss {row['validation_loss']:.4f}: {settings}")
    if args.out:
        first = next(iter(runs))
        found = {
            "campaign": campaign.name, "network": first.network, "data": first.data, "examples": first.examples,
            "sparsities": args.sparsities, "seeds": args.seeds, "unilth": records[first]["unilth"],
            "versions": records[first]["versions"], "device": records[first]["device"], "tries": rows,
        }  # fmt: skip
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
