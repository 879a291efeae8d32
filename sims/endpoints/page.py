"""The page of verdicts, Markdown, from records and nothing else. No torch here."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from unilth.sims.endpoints.effects import effect
from unilth.sims.endpoints.nearest import BASELINES, STOP_EARLY, TITLES, at_loss, is_matched, stops
from unilth.sims.endpoints.plan import PARTS
from unilth.sims.endpoints.verdicts import on_networks, verdicts

IN_WORDS = {
    "ladder": "the ladder",
    "curvature": "curvatures",
    "section7": "the predictions of section 7",
    "distances": "distances between end points",
    "winners": "regressions",
}
WANTED = (("lenet-300-100", "digits"), ("conv-small", "digits"), ("resnet20", "cifar10"))
LEAD = """# End points: where the closed forms hold

Written from the records in `results/endpoints` by `unilth endpoints --page docs/endpoints.md --out results/endpoints`;
every verdict follows from recorded numbers by the rule beside it. Brackets are 95% intervals over seeds or splits.

- The ladder uses the square loss on one-hot targets, so that its exact rungs are quadratics.
- Batch norm is in evaluation mode wherever a curvature, a Gauss-Newton product or the ladder needs a function of the
  weights alone: its statistics are frozen, at the start to those of the ladder's own examples, at an end point to those
  that training left. Along straight lines they are measured again at every point, on the training inputs.
- Lanczos keeps about two vectors of the size of the parameters per eigenpair (20 at least), and nothing larger.
  Where an eigenvalue comes several times, as in regression with one output per class, it finds some of the copies only.
- The predictions of section 7 and the end points use the cross-entropy and SGD with momentum.
- All end points of a seed share one start. UniLTH's is measured twice, the second time with the batches in another
  order: that is how far two end points are apart where the method is the same.
- Where the budget of epochs ended free training before early stopping fired, the numbers say nothing about early
  stopping. They are shown; the verdicts that rest on them are undecided.
- L2, GReg-1 and DLTH keep their weight decay to the end, UniLTH, UniDLTH and LTH have none while they fine-tune: some
  of a difference in test loss can come from there. In the recorded tables that were tuned it is a choice of all.
- An interval is Student's for a mean, so with 3 or 5 seeds it leans on values that are about normal. Nothing is
  corrected for the number of verdicts: of twenty intervals behind which there is nothing, one excludes 0.
- The ladder and the calibration come from one start and have no interval. Only the loss that the top eigenvectors can
  gain is looked at. Where the theory is not exact, 0.05 and 0.2 are conventions and no more.
- A peak of the loss is looked for right after pruning and at the ends of epochs, not within them.
- In the forgetting of the stopping time the distance before the ramp is over all weights, of which the mask keeps a
  tenth: "less than a tenth left" is met sooner than it would be over the kept weights. Whether it grows is the same.
"""
WHOLE = (
    "ResNet-20 on all of CIFAR-10 (`unilth endpoints --network resnet20 --data cifar10 --data-dir DIR --device cuda`)"
)
SPEED = (
    "how long its top 50 eigenpairs take on a GPU (`python benchmarks/endpoints_curvature.py --device cuda --data-dir "
    "DIR`; to be under 5 minutes on an H200)"
)


def page(records: Sequence[dict[str, Any]]) -> str:
    """One section per network and data that is wanted or recorded; what has no record says "not measured"."""
    by_name = {(record["plan"]["network"], record["plan"]["data"]): record for record in records}
    parts = [LEAD, missing(records)]
    for network, data in dict.fromkeys((*WANTED, *by_name)):
        parts.append(f"## {network} on {data}\n")
        record = by_name.get((network, data))
        parts.append("Not measured.\n" if record is None else section(record))
    parts.append("## What this says about the claims\n")
    rows = on_networks(records)
    lines = ["| claim | on networks |", "| --- | --- |", *(f"| `{name}` | {'; '.join(rows[name])} |" for name in rows)]
    parts.append("\n".join(lines) + "\n" if rows else "Not measured.\n")
    return "\n".join(parts)


def missing(records: Sequence[dict[str, Any]]) -> str:
    """What is wanted and not in any record."""
    resnet = [record for record in records if (record["plan"]["network"], record["plan"]["data"]) == WANTED[-1]]
    wanted = [] if any(map(elsewhere, records)) else ["anything on a GPU"]
    wanted += [] if any(record["plan"]["part"] is None for record in resnet) else [WHOLE]
    return f"Not measured: {'; '.join([*wanted, SPEED])}.\n"


def elsewhere(record: dict[str, Any]) -> str:
    """The device that is not the CPU, or nothing; older records, which do not say, are all the CPU's."""
    device = str(record.get("device", "cpu"))
    return "" if device == "cpu" else device


def section(record: dict[str, Any]) -> str:
    """The plan, what was not measured, the errors of every rung, curvature, distances and verdicts of one record."""
    plan = record["plan"]
    trained = "all training examples" if plan["part"] is None else f"{plan['part']:,} training examples"
    splits = f", {plan['splits']} splits" if record["winners"] else ""
    tested = f", the first {plan['test_part']:,} test examples" if plan.get("test_part") else ""
    lines = [
        f"Measured on {elsewhere(record) or 'the CPU'} with {plan['seeds']} seeds on {trained}{tested}{splits} "
        f"and the first {plan['examples']} training examples on the ladder, in "
        f"{record['timing']['cpu_seconds']:.0f} s of processor time.\n",
    ]
    if note := record.get("data", {}).get("source", {}).get("note"):
        lines.append(f"The data: {note}.\n")
    if plan["part"]:
        lines.append(
            f"So few examples of {plan['data']} and epochs ({plan['mask_epochs']} without a penalty, ramps of at most "
            f"{plan['ramps'][-1]}) say nothing about all of it, nor about a network that has converged.\n"
        )
    left_out = [IN_WORDS[part] for part in PARTS if not record[part]]
    if left_out:
        lines.append(f"Not measured: {', '.join(left_out)}.\n")
    lines += ladder(record["ladder"]) if record["ladder"] else []
    lines += sharpness(record["curvature"]) if record["curvature"] else []
    if pairs := record["distances"]:
        lines += ["", f"End points of {plan['epochs']} epochs. {stopping(pairs)}\n"]
        lines += [*ends(pairs), "", *apart(pairs), "", *at_equal_loss(pairs)]
    for one in verdicts(record):
        effects = "; ".join(map(str, one.effects))
        lines.append(f"\n### {one.id}\n\n{one.prediction}\n\n{effects}.\n\n**{one.verdict}** ({one.rule}).")
    return "\n".join(lines) + "\n"


def ladder(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Errors of every rung."""
    lines = [
        "| rung | parameters | stopping | ridge around the start, 1/t | 0.579/t | ridge around 0, 1/t |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        cells = [worst(row, "stopped", "", 0.0)]
        cells += [worst(row, "ridge", "start", c) for c in (1.0, 0.5789)]
        cells.append(worst(row, "ridge", "zero", 1.0))
        lines.append(f"| {row['rung']} | {row['parameters']} | {' | '.join(cells)} |")
    most = max(len(row["eigenvalues"]) for row in rows)
    told = f"Worst error over stopping times, shares of the way along at most the top {most} eigenvectors at the start."
    return [*lines, f"\n{told}\n"]


def sharpness(curvature: dict[str, Any]) -> list[str]:
    """Top eigenvalue and trace at both ends of free training."""
    lines = ["| curvature, square loss | top eigenvalue | trace ± standard error |", "| --- | ---: | ---: |"]
    for name, found in curvature.items():
        error = f"{found['trace']:.3g} ± {found['trace_error']:.2g}"
        lines.append(f"| {name.replace('_', '-')} | {found['top'][0]:.4g} | {error} |")
    return lines


def worst(row: dict[str, Any], rule: str, centre: str, c: float) -> str:
    """The largest error of one column, or a dash."""
    errors = [
        end["start"]["error"]
        for end in row["rows"]
        if end["rule"] == rule and end["centre"] == centre and abs(end["calibration"] - c) < 1e-3
    ]
    return f"{max(errors):.2g}" if errors else "the same"


def stopping(seeds: Sequence[dict[str, Any]]) -> str:
    """In how many runs early stopping fired, and how long free training took."""
    told, silent = [], []
    for name in STOP_EARLY:
        if rows := stops(seeds, name):
            epochs = [row["epochs"] for row in rows]
            took = f"free training took {min(epochs)} to {max(epochs)} of at most {rows[0]['most']} epochs"
            told.append(f"in {sum(row['fired'] for row in rows)} of {len(rows)} runs of {TITLES[name]} ({took})")
        else:
            silent.append(TITLES[name])
    lines = [f"Early stopping fired {'; '.join(told)}."] if told else []
    lines += [f"Whether early stopping fired is not recorded for {'; '.join(silent)}."] if silent else []
    return " ".join(lines)


def ends(seeds: Sequence[dict[str, Any]]) -> list[str]:
    """Losses, accuracy and sharpness of every end point."""
    lines = [
        "| end point | training loss | test loss | test accuracy, % | top eigenvalue | trace | within the mask |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in [row["name"] for row in seeds[0]["ends"]]:
        rows = [next(row for row in seed["ends"] if row["name"] == name) for seed in seeds]
        kept = [row["sharpness"].get("kept") for row in rows]
        cells = [
            mean([row["train_loss"] for row in rows]),
            mean([row["test_loss"] for row in rows]),
            mean([100 * row["test_accuracy"] for row in rows]),
            spread([row["sharpness"]["all"]["top"] for row in rows]),
            spread([row["sharpness"]["all"]["trace"] for row in rows]),
            "-"
            if None in kept
            else f"{spread([k['top'] for k in kept if k])}; {spread([k['trace'] for k in kept if k])}",
        ]
        lines.append(f"| {TITLES[name]} | {' | '.join(cells)} |")
    lines.append(
        "\nMeans over seeds ± half the 95% interval; losses in nats. Medians over seeds (least to most) of the top "
        "eigenvalue and the trace of the Hessian of the cross-entropy on the ladder's examples, over all parameters "
        "and with the pruned weights held at 0: they differ by factors, and one seed can be far off."
    )
    return lines


def apart(seeds: Sequence[dict[str, Any]]) -> list[str]:
    """Distances of UniLTH's end point from the others."""
    lines = [
        "| UniLTH and | weights | after matching units | KL, nats | disagree, % | barrier, nats | after matching |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in [row["name"] for row in seeds[0]["ends"]][1:]:
        rows = [next(row for row in seed["pairs"] if (row["a"], row["b"]) == ("unilth", name)) for seed in seeds]
        found = [row["aligned"] for row in rows]
        aligned = [one for one in found if one]
        matched, lower = "not a chain of linear layers", "-"
        if len(aligned) == len(rows):
            share = 100 * sum(one["moved"] for one in aligned) / sum(one["units"] for one in aligned)
            matched = f"{mean([one['weights'] for one in aligned])} ({share:.0f}% moved)"
            lower = mean([one["barrier"] for one in aligned])
        cells = [mean([row["weights"] for row in rows]), matched, mean([row["kl"] for row in rows])]
        cells += [mean([100 * row["disagree"] for row in rows]), mean([row["barrier"] for row in rows]), lower]
        lines.append(f"| {TITLES[name]} | {' | '.join(cells)} |")
    lines.append(
        "\nWeights: norm of the difference over the mean norm. Barrier: how far the training loss on the straight line "
        "rises above the line between its ends. All pairs, and every layer, are in the record."
    )
    return lines


def at_equal_loss(seeds: Sequence[dict[str, Any]]) -> list[str]:
    """Regularised baselines against UniLTH at equal training loss."""
    lines = [
        "| at equal training loss, UniLTH and | KL, nats | weights | ln test loss, UniLTH against it | losses equal |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name in BASELINES:
        rows = at_loss(seeds, name)
        ratio = effect("", [math.log(row["unilth"]["test_loss"] / row["other"]["test_loss"]) for row in rows])
        equal = sum(map(is_matched, rows))
        cells = [mean([row["kl"] for row in rows]), mean([row["weights"] for row in rows])]
        cells += [str(ratio).partition(": ")[2].partition(", n =")[0], f"{equal} of {len(rows)} seeds"]
        lines.append(f"| {TITLES[name]} | {' | '.join(cells)} |")
    lines.append(
        "\nThe one of the two that ends at the lower training loss is taken where it came by the other's, on the "
        "straight line between two epochs."
    )
    return lines


def mean(values: Sequence[float]) -> str:
    """Mean ± half the 95% interval."""
    found = effect("", values)
    half = "" if found.high is None else f" ± {found.high - found.mean:.2g}"
    return f"{found.mean:.3g}{half}"


def spread(values: Sequence[float]) -> str:
    """Median (least to most): what is honest about a few positive numbers that differ by factors."""
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"
