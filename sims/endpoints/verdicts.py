"""Verdicts on the predictions, by stated rules from recorded numbers only.

Effects over seeds and splits come with 95% t-intervals of the mean. An interval that contains no effect settles
nothing: the verdict is then "undecided". What is only predicted to be no worse needs an interval that excludes worse.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from unilth.sims.endpoints.effects import CONFIRMED, CONTRADICTED, PART, UNDECIDED, Effect, Verdict, effect
from unilth.sims.endpoints.nearest import TITLES, nearest, stops

EXACT, CLOSE, NEAR = 1e-6, 0.05, 0.2
WORSE = 0.05  # an end that is at most so much worse counts as no worse
IN_SHORT = {
    "ladder": "stopping and ridge go as far along eigenvectors as predicted",
    "forgetting": "a slow ramp forgets when training stopped",
    "masks": "magnitudes between the first and the last epoch give the best mask",
    "peak": "a ramp lowers the peak of the loss and not its end",
    "nearest": "UniLTH is better on test data than the nearest regularised baseline",
    "nearest of the same sparsity": "UniLTH is better on test data than the nearest regularised baseline as sparse",
    "UniLTH against LTH": "UniLTH ends better on test data than LTH",
    "UniDLTH against DLTH": "UniDLTH ends better on test data than DLTH",
}


def verdicts(record: dict[str, Any]) -> tuple[Verdict, ...]:
    """All verdicts of a record, in the order of the page; none on a part that was not measured."""
    found: list[Verdict] = [rung(row) for row in record["ladder"]]
    found += map(calibration, record["ladder"][-1:])
    if seeds := record["section7"]:
        ramps = [seed["ramps"] for seed in seeds]
        found += [forgetting([seed["forgetting"] for seed in seeds]), masks([seed["masks"] for seed in seeds])]
        found += [peak(ramps), shapes(ramps)]
    if pairs := record["distances"]:
        on_unilth = (nearest(pairs), nearest(pairs, pruned=True), rival(pairs, "unilth", "lth"))
        found += [if_stopped(one, pairs, "unilth") for one in on_unilth]
        found.append(if_stopped(rival(pairs, "unidlth", "dlth"), pairs, "unidlth"))
    names = dict.fromkeys(row["data"] for row in record["winners"])
    return (*found, *(winner(record["winners"], name) for name in names))


def rung(row: dict[str, Any]) -> Verdict:
    """Shares of the way along eigenvectors at the start; the penalty centred at the start."""
    theory = [end for end in row["rows"] if end["centre"] != "zero"]
    effects = tuple(
        Effect(f"{label}, worst of {len(errors)} end points", max(errors), None, None, 1)
        for label, errors in (
            ("stopping", [end["start"]["error"] for end in theory if end["rule"] == "stopped"]),
            ("ridge", [end["start"]["error"] for end in theory if end["rule"] == "ridge"]),
        )
    )
    worst = max(one.mean for one in effects)
    if row["exact"]:
        rule = f"confirmed if every error is at most {EXACT:g}, otherwise contradicted"
        verdict = CONFIRMED if worst <= EXACT else CONTRADICTED
    else:
        rule = f"confirmed if every error is at most {CLOSE:g}, in part if at most {NEAR:g}, otherwise contradicted"
        verdict = CONFIRMED if worst <= CLOSE else PART if worst <= NEAR else CONTRADICTED
    return Verdict(
        f"ladder: {row['rung']}",
        "Stopping after k steps goes 1-(1-εs)^k of the way along an eigenvector with eigenvalue s, an L2 penalty a "
        "around the start s/(s+a) (T1.1, T1.3). The error is the root mean square over the top "
        f"{len(row['eigenvalues'])} eigenvectors, weighted by attainable loss.",
        rule,
        verdict,
        effects,
        () if row["exact"] or row["rung"] == "linear network" else ("generalised-ridge", "close-to-ridge"),
    )


def calibration(row: dict[str, Any]) -> Verdict:
    """Distance of the outputs from the stopped network's: penalty 0.579/t against 1/t."""
    ridge = [end for end in row["rows"] if end["rule"] == "ridge" and end["centre"] == "start"]
    by_time = {t: [end["outputs_apart"] for end in ridge if end["time"] == t] for t in {end["time"] for end in ridge}}
    logs = [math.log(second / first) for first, second in by_time.values()]
    better = sum(value < 0 for value in logs)
    return Verdict(
        "calibration",
        "The penalty matching a stopping time t is nearer 0.579/t than 1/t (T1.6, T3.6).",
        "confirmed if 0.579/t gives outputs nearer to the stopped network's at every time, contradicted if at none, "
        "otherwise in part; several times of one run are no sample, so there is no interval",
        CONFIRMED if better == len(logs) else PART if better else CONTRADICTED,
        (Effect(f"ln of the ratio of distances, mean of {len(logs)} times", float(np.mean(logs)), None, None, 1),),
    )


def forgetting(seeds: list[list[dict[str, float]]]) -> Verdict:
    """T7.2."""
    shares = [[math.log(row["apart"] / row["start_apart"]) for row in rows] for rows in seeds]
    trend = effect("ln distance left, longest minus shortest ramp", [one[-1] - one[0] for one in shares])
    left = effect("ln distance left after the longest ramp", [one[-1] for one in shares])
    fell = trend.sign < 0
    verdict = UNDECIDED if trend.sign == 0 else CONTRADICTED
    if fell:
        verdict = CONFIRMED if left.high is not None and left.high < math.log(0.1) else PART
    return Verdict(
        "forgetting",
        "With a fixed mask a slow ramp forgets when free training stopped: end points of two stops draw together as "
        "the ramp gets longer, down to nothing (T7.2). Left is the distance over the kept weights after the ramp "
        "against the one over all weights before it.",
        "in part if the distance left falls from the shortest to the longest ramp, confirmed if less than a tenth is "
        "left as well, contradicted if it grows; intervals decide",
        verdict,
        (trend, left),
        ("unidlth-beats-dlth", "protects-the-ticket"),
    )


def masks(seeds: list[dict[str, Any]]) -> Verdict:
    """T7.5; the epoch is chosen on the other seeds, so that choosing the least loss does not flatter it."""
    logs = np.log([one["losses"] for one in seeds])
    last, first, chosen = [], [], []
    for number in range(len(logs)):
        others = np.delete(logs, number, 0).mean(0)
        epoch = 1 + int(others[1:-1].argmin())
        chosen.append(epoch)
        last.append(float(logs[number, epoch] - logs[number, -1]))
        first.append(float(logs[number, epoch] - logs[number, 0]))
    oracle = [float(math.log(one["oracle"]) - math.log(one["losses"][-1])) for one in seeds]
    against_last = effect("ln loss, early-stopped mask against the converged", last)
    against_first = effect("ln loss, early-stopped mask against the initial", first)
    signs = (against_last.sign, against_first.sign)
    verdict = CONFIRMED if signs == (-1, -1) else CONTRADICTED if 1 in signs else UNDECIDED
    return Verdict(
        "masks",
        "Magnitudes at some epoch between the first and the last give a better mask for the converged weights than "
        "either extreme (T7.5).",
        "confirmed if the loss after pruning is below that of both extremes, contradicted if it is above that of one; "
        "intervals decide; the epoch is the best of the other seeds",
        verdict,
        (against_last, against_first, effect("ln loss, OBD mask against the converged", oracle)),
        ("mask-guarantee", "unilth-beats-lth"),
    )


def peak(seeds: list[dict[str, Any]]) -> Verdict:
    """T7.10 (i) and (ii)."""
    peaks = effect("ln peak loss, ramp against instant", [log_ratio(one, "x", "instant", "peak") for one in seeds])
    ends = effect("ln end loss, ramp against instant", [log_ratio(one, "x", "instant", "end") for one in seeds])
    verdict = CONTRADICTED if peaks.sign > 0 else UNDECIDED
    if peaks.sign < 0 and ends.sign < 0:
        verdict = PART
    elif peaks.sign < 0 and ends.low is not None and ends.low > math.log1p(-WORSE):
        verdict = CONFIRMED
    return Verdict(
        "peak",
        "A ramp lowers the peak of the loss, not its end: with the same mask and time, pruning at once ends no worse "
        "(T7.10).",
        f"confirmed if the ramp's peak is lower and its end at most {WORSE:.0%} lower; in part if both are lower; "
        "contradicted if the peak is higher; intervals decide",
        verdict,
        (peaks, ends),
        ("better-than-finetuning", "extrusion"),
    )


def shapes(seeds: list[dict[str, Any]]) -> Verdict:
    """T7.10 (iii)."""
    found = tuple(
        effect(f"ln peak loss, {label} against x", [log_ratio(one, name, "x", "peak") for one in seeds])
        for name, label in (("x2", "x²"), ("x3", "x³"), ("hyperbolic", "hyperbolic"))
    )
    signs = {one.sign for one in found}
    verdict = UNDECIDED
    if -1 in signs:
        verdict = CONFIRMED if signs == {-1} else PART
    elif 1 in signs:
        verdict = CONTRADICTED
    return Verdict(
        "shapes",
        "A ramp that starts slowly (x², x³, hyperbolic) has a lower peak of the loss than a linear one in equal time "
        "(T7.10).",
        "confirmed if all three are lower, in part if some are, contradicted if none is lower and one is higher; "
        "intervals decide",
        verdict,
        found,
    )


def rival(seeds: list[dict[str, Any]], one: str, other: str) -> Verdict:
    """The paper's claim on two methods, at the ends of equal numbers of epochs."""
    ends = [{row["name"]: row for row in seed["ends"]} for seed in seeds]
    loss = effect(
        f"ln test loss, {TITLES[one]} against {TITLES[other]}",
        [math.log(end[one]["test_loss"] / end[other]["test_loss"]) for end in ends],
    )
    accuracy = effect(
        f"test accuracy in percentage points, {TITLES[one]} minus {TITLES[other]}",
        [100 * (end[one]["test_accuracy"] - end[other]["test_accuracy"]) for end in ends],
    )
    name = f"{TITLES[one]} against {TITLES[other].partition(' ')[0]}"
    return Verdict(
        name,
        f"After as many epochs {TITLES[one]} ends better on test data than {TITLES[other]} (the paper; the theorems "
        "say that it need not: T7.2, T7.6).",
        "confirmed if its test loss is the lower, contradicted if it is the higher; the interval decides",
        {-1: CONFIRMED, 0: UNDECIDED, 1: CONTRADICTED}[loss.sign],
        (loss, accuracy),
        (f"{one}-beats-{other}",),
    )


def if_stopped(found: Verdict, seeds: Sequence[dict[str, Any]], name: str) -> Verdict:
    """The verdict where early stopping fired in all runs of an end; otherwise the budget of epochs ended free training,
    and whichever is better says nothing on early stopping."""
    told = stops(seeds, name)
    fired = sum(one["fired"] for one in told)
    verdict = found.verdict
    if not told:
        verdict = f"{UNDECIDED}: whether early stopping fired is not recorded"
    elif fired < len(told):
        verdict = f"{UNDECIDED}: early stopping fired in {fired} of {len(told)} runs"
    rule = f"{found.rule}; undecided unless early stopping fired in all runs of {TITLES[name]}"
    return dataclasses.replace(found, verdict=verdict, rule=rule)


def winner(rows: list[dict[str, Any]], name: str) -> Verdict:
    """T5.2: the region that the estimated profile lies in, and who won."""
    mine = [row for row in rows if row["data"] == name]
    margin = effect("ln test error, stopping against ridge", [math.log(row["stopping"] / row["ridge"]) for row in mine])
    inside = [row for row in mine if row["region"] != "neither"]
    right = sum((row["stopping"] < row["ridge"]) == (row["region"] == "stopping") for row in inside)
    share = Effect("share of splits inside a region", len(inside) / len(mine), None, None, len(mine))
    order = tuple(
        effect(f"Kendall's tau of {label} with the eigenvalue", [row[key] for row in mine])
        for label, key in (("|β|", "ordered_signal"), ("ln(1+SNR)/s", "ordered_times"))
    )
    verdict = UNDECIDED
    if inside:
        verdict = CONFIRMED if right == len(inside) else PART if 2 * right > len(inside) else CONTRADICTED
    return Verdict(
        f"winner: {name}",
        "Ridge wins where |β| never increases with the eigenvalue, stopping where ln(1+SNR)/s never decreases (T5.2); "
        "elsewhere nothing is predicted.",
        "over the splits whose estimated profile lies in a region: confirmed if the winner on test data is always the "
        "predicted one, in part if mostly, otherwise contradicted; undecided if no split lies in one; splits share "
        "data, so the interval is only a guide",
        verdict,
        (share, *order, margin),
    )


def log_ratio(one: dict[str, Any], above: str, below: str, what: str) -> float:
    return math.log(one[above][what] / one[below][what])


def on_networks(records: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """For the claims table: claim id -> "what was predicted: verdict (network on data)", from recorded results only."""
    found: dict[str, list[str]] = {}
    for record in records:
        plan = record["plan"]
        part = f"{plan['part']:,} examples of " if plan["part"] else ""
        where = f"{plan['network']} on {part}{plan['data']}"
        for one in verdicts(record):
            for claim in one.claims:
                found.setdefault(claim, []).append(f"{IN_SHORT[one.id.partition(':')[0]]}: {one.verdict} ({where})")
    return found
