"""Choose every method's settings for a campaign on validation accuracy, from eight tries each.

    python benchmarks/tuning.py CAMPAIGN --runs DIR [--data-dir DIR] [--sparsities 0.9 0.98] [--seeds 100 101]
                                [--l2 0.0005 0.002] [--workers 2] [--device auto] [--out FILE.json]

A comparison in which only one side was tuned says little, so the methods below get eight tries each: two values of
where a method compares weights (or, for random masks, how many each layer keeps), two of one choice of its own, and
each of these without and with weight decay in the fine-tuning; the dense network has only the last. Every try is the
campaign's run with these settings, for each sparsity and each seed; none of the seeds may be one of the campaign's.
What counts is the validation accuracy after the last epoch, in the mean over all of a try's runs, and then the
validation loss; the test accuracy is never looked at. A try of which a run failed, as it diverged, is ranked last.
Printed is the block [run.METHOD] for the campaign's file, and which of its methods have no tries here. The same
command again goes on with what is missing in ``--runs``, a folder for this alone. ``--l2`` gives other strengths for
L2 where the best one lies elsewhere.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import statistics
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from comparison import check_out, finished, options, write

from unilth.errors import UserError
from unilth.sims.campaign import UNPRUNED, Campaign, load
from unilth.sims.records import Record
from unilth.sims.spec import RunSpec


def product(**values: tuple) -> tuple[dict[str, Any], ...]:
    """Every combination of the values, each as settings."""
    return tuple(dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values()))


# What every method may choose beside two things of its own: weight decay in the fine-tuning, none or some. Only L2 and
# DLTH have it in their rows, and it can be worth more than what methods differ by (results/tuning/README.md).
DECAYS = (0.0, 0.001)


def l2_tries(*strengths: float) -> tuple[dict[str, Any], ...]:
    """L2 with each of these strengths."""
    return product(scope=("global", "layer"), l2=strengths, tune_l2=DECAYS)


Tries = Mapping[str, Sequence[dict[str, Any]]]  # the settings of each method's tries

TRIES: Tries = {
    UNPRUNED: product(tune_l2=DECAYS),
    "omp": product(scope=("global", "layer"), rewind=("rate", "none"), tune_l2=DECAYS),
    "lth": product(scope=("global", "layer"), rounds=(3, 10), tune_l2=DECAYS),
    "l2": l2_tries(0.0005, 0.002),  # between 2e-4 and 5e-3, which were never best (results/tuning/l2-first-look.txt)
    "dlth": product(scope=("layer", "balanced"), ceiling=(0.1, 1.0), tune_l2=DECAYS),
    "unilth": product(scope=("global", "layer"), ceiling=(0.1, 1.0), tune_l2=DECAYS),
    "unidlth": product(scope=("layer", "balanced"), ceiling=(0.1, 1.0), tune_l2=DECAYS),
}


def bases(campaign: Campaign) -> dict[str, RunSpec]:
    """One run of each method; its others differ in sparsity and seed, or `main` refuses the campaign.

    With what the campaign sets for all, without what it sets for single methods: a campaign that is tuned has the tries
    that it had before.
    """
    run = tomllib.loads(campaign.text).get("run", {})
    common = {key: value for key, value in run.items() if not isinstance(value, dict)}
    return {
        spec.recipe: RunSpec(spec.recipe, spec.network, spec.data, spec.sparsity, spec.seed, **common)
        for spec in campaign.specs
    }


def tries(
    campaign: Campaign, sparsities: Iterable[float], seeds: Iterable[int], given: Tries
) -> dict[RunSpec, tuple[str, int]]:
    """Every run there is to do, with its method and the number of its try."""
    one = bases(campaign)
    runs = {}
    for seed, sparsity, (method, settings) in itertools.product(seeds, sparsities, given.items()):
        for number, choice in enumerate(settings if method in one else ()):
            changed = choice | {"sparsity": 0.0 if method == UNPRUNED else sparsity, "seed": seed}
            runs[dataclasses.replace(one[method], **changed)] = (method, number)
    return runs


def ranked(
    records: Mapping[RunSpec, Record], runs: Mapping[RunSpec, tuple[str, int]], given: Tries
) -> dict[str, list[dict]]:
    """The tries of each method, best first: mean validation accuracy in percent, then mean validation loss in nats.

    Both are None for a try of which a run is missing.
    """
    rows: dict[str, list[dict]] = {}
    for method, number in dict.fromkeys(runs.values()):
        mine = [records.get(spec) for spec, which in runs.items() if which == (method, number)]
        ends = [record["epochs"][-1] for record in mine if record is not None]
        whole = len(ends) == len(mine)
        accuracy = 100 * statistics.fmean(end["validation_accuracy"] for end in ends) if whole else None
        loss = statistics.fmean(end["validation_loss"] for end in ends) if whole else None
        row = {"settings": given[method][number], "validation_accuracy_percent": accuracy, "validation_loss": loss}
        rows.setdefault(method, []).append(row | {"runs": len(ends)})
    for found in rows.values():
        found.sort(key=order)
    return rows


def order(row: Mapping[str, Any]) -> tuple[float, float]:
    """What a try is ranked by, smallest first; means of as many right answers are equal, whatever their last bits."""
    accuracy, loss = row["validation_accuracy_percent"], row["validation_loss"]
    return (math.inf, math.inf) if accuracy is None else (-round(accuracy, 9), loss)


def main() -> None:
    """Try, choose and print."""
    parser = options(__doc__)
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.9, 0.98])
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101])
    parser.add_argument("--l2", type=float, nargs=2, metavar="STRENGTH")
    args = parser.parse_args()
    seeds, sparsities = list(dict.fromkeys(args.seeds)), list(dict.fromkeys(args.sparsities))
    try:
        check_out(args.out)
        campaign = load(args.campaign)
        if {spec.seed for spec in campaign.specs} & set(seeds):
            parser.error("--seeds has one of the campaign's own: choose others")
        if len({(spec.network, spec.data) for spec in campaign.specs}) > 1:
            parser.error("the campaign has several networks or data sets: tune for one at a time")
        given = TRIES if args.l2 is None else {**TRIES, "l2": l2_tries(*args.l2)}
        runs = tries(campaign, sparsities, seeds, given)
        if not runs:
            parser.error("no method of the campaign has settings to try")
        records, made, _ = finished(campaign, "tuning", runs, args)
        rows = ranked(records, runs, given)
        untried = [method for method in bases(campaign) if method not in rows]
        show(rows, untried)
        if args.out:
            base = {method: settings_of(spec) for method, spec in bases(campaign).items() if method in rows}
            found = {"campaign": campaign.name, "sparsities": sparsities, "seeds": seeds, **made}
            write(args.out, found | {"runs": base, "tries": rows, "untried": untried})
    except UserError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        parser.exit(130, "\nstopped; the same command goes on\n")


def settings_of(spec: RunSpec) -> dict[str, Any]:
    """What the runs of a method are apart from their sparsity and seed, before a try."""
    given = dataclasses.asdict(spec)
    return {key: value for key, value in given.items() if value is not None and key not in ("sparsity", "seed")}


def show(rows: Mapping[str, list[dict]], untried: Iterable[str]) -> None:
    """Print the best settings as a campaign's file has them, and every try."""
    for method, found in rows.items():
        print(f"\n[run.{method}]")
        for key, value in found[0]["settings"].items():
            print(f"{key} = {json.dumps(value)}")
        for row in found:
            accuracy, loss = row["validation_accuracy_percent"], row["validation_loss"]
            reached = "not all of its runs ended well" if accuracy is None else f"{accuracy:.2f}%, loss {loss:.4f}"
            print(f"# {reached}: {', '.join(f'{key} {value}' for key, value in row['settings'].items())}")
    if names := ", ".join(untried):
        print(f"\n# without any try: {names}")


if __name__ == "__main__":
    main()
