"""Which regularised baseline ends nearest to UniLTH, and which of the two is better on test data? No torch here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from unilth.sims.endpoints.effects import CONFIRMED, CONTRADICTED, UNDECIDED, Effect, Verdict, effect

TITLES = {
    "unilth": "UniLTH",
    "unilth-again": "UniLTH, other batches",
    "stopped": "early-stopped, dense",
    "l2-weak": "L2 5e-4, dense",
    "l2-strong": "L2 5e-3, dense",
    "l2-pruned": "L2 then magnitude",
    "greg-1": "GReg-1",
    "dlth": "DLTH (RST)",
    "unidlth": "UniDLTH",
    "lth": "LTH",
}
BASELINES = ("l2-weak", "l2-strong", "l2-pruned", "greg-1", "dlth")  # regularised from the start or after training
PRUNED = ("l2-pruned", "greg-1", "dlth")
STOP_EARLY = ("unilth", "unilth-again", "stopped", "unidlth")
SAME = 0.05  # training losses within this share count as matched


def nearest(seeds: Sequence[dict[str, Any]], pruned: bool = False) -> Verdict:
    """The paper's claim, for the baseline whose predictions are nearest; of those as sparse as UniLTH if ``pruned``."""
    among = PRUNED if pruned else BASELINES
    rows = {name: at_loss(seeds, name) for name in among}
    fair = [name for name in among if all(map(is_matched, rows[name]))]
    which = "regularised baseline of the same sparsity" if pruned else "regularised baseline, dense or pruned,"
    id = "nearest of the same sparsity" if pruned else "nearest"
    prediction = (
        f"At equal training loss UniLTH ends better on test data than the {which} that ends nearest to it (the paper; "
        "the theorems say that either may win)."
    )
    rule = (
        f"over the baselines whose training loss is within {SAME:.0%} of UniLTH's on every seed; nearest by the mean "
        "over the same seeds of the ln of the symmetrised KL divergence between predictions; confirmed if UniLTH's "
        "test loss is the lower, contradicted if it is the higher; the interval decides"
    )
    claims = ("always-better",)
    if not fair:
        none = Effect("baselines with the same training loss", 0.0, None, None, len(seeds))
        return Verdict(id, prediction, rule, UNDECIDED, (none,), claims)
    first, *others = sorted(fair, key=lambda name: mean_log(rows[name], "kl"))
    effects = [kl_against(TITLES[name], rows[first], rows[name]) for name in others[:1]]
    told = f"The nearest in predictions is {TITLES[first]}"
    if effects and not effects[0].sign:
        told += f", which {TITLES[others[0]]} cannot be told from"
    closest = min(fair, key=lambda name: mean_log(rows[name], "weights"))
    told += "; in weights too." if closest == first else f"; in weights it is {TITLES[closest]}."
    effects.append(
        kl_against("UniLTH itself with batches in another order", rows[first], at_loss(seeds, "unilth-again"))
    )
    loss = effect(
        f"ln test loss, UniLTH against {TITLES[first]}",
        [math.log(row["unilth"]["test_loss"] / row["other"]["test_loss"]) for row in rows[first]],
    )
    accuracy = effect(
        f"test accuracy in percentage points, UniLTH minus {TITLES[first]}",
        [100 * (row["unilth"]["test_accuracy"] - row["other"]["test_accuracy"]) for row in rows[first]],
    )
    verdict = {-1: CONFIRMED, 0: UNDECIDED, 1: CONTRADICTED}[loss.sign]
    return Verdict(id, f"{prediction} {told}", rule, verdict, (*effects, loss, accuracy), claims)


def at_loss(seeds: Sequence[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """One row per seed: UniLTH and another end point at equal training loss."""
    return [next(row for row in seed["matched"] if row["name"] == name) for seed in seeds]


def stops(seeds: Sequence[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """How free training ended on every seed, for one of `STOP_EARLY`; nothing where a seed does not tell, as in records
    before this was recorded."""
    found = [row.get("early_stopping") for seed in seeds for row in seed["ends"] if row["name"] == name]
    told = [one for one in found if one]
    return told if len(told) == len(seeds) else []


def is_matched(row: dict[str, Any]) -> bool:
    """Whether the two training losses are the same within `SAME`."""
    return abs(math.log(row["unilth"]["train_loss"] / row["other"]["train_loss"])) <= math.log1p(SAME)


def mean_log(rows: Sequence[dict[str, Any]], what: str) -> float:
    return sum(math.log(row[what]) for row in rows) / len(rows)


def kl_against(title: str, rows: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> Effect:
    """ln of the ratio of divergences from UniLTH, paired by seed."""
    logs = [math.log(a["kl"] / b["kl"]) for a, b in zip(rows, others, strict=True)]
    return effect(f"ln KL divergence from UniLTH, the nearest against {title}", logs)
