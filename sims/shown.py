"""What `unilth find` shows of a run that was found before: there, of the right type and possible. Needs no torch."""

from __future__ import annotations

from typing import Any

from unilth.sims.records import Record
from unilth.sims.shortfalls import shortfalls

NUMBER: tuple[type, ...] = (int, float)
FIELDS: dict[str, tuple[type, ...]] = {
    "ticket_digest": (str,),
    "test.accuracy": NUMBER,
    "test.loss": (*NUMBER, type(None)),  # None where it was not finite
    "test.examples": (int,),
    "sparsity.counted": NUMBER,
    "sparsity.nominal": NUMBER,
    "sparsity.weights": (int,),
    "sparsity.pruned": (int,),
    "sparsity.layers": (dict,),
    "sparsity.emptied": (list,),
    "stopping_epoch": (int, type(None)),
    "best_epoch": (int, type(None)),
    "timing.seconds": NUMBER,
}
SHARES = ("test.accuracy", "sparsity.counted", "sparsity.nominal")


def unshowable(record: Record) -> str | None:
    """What of a record cannot be shown, as the end of a sentence; None where all of it can."""
    for path, kinds in FIELDS.items():
        value: Any = record
        for key in path.split("."):
            value = value.get(key, ...) if isinstance(value, dict) else ...
        if type(value) not in kinds:  # true is no number
            return f"has no {path}" if value is ... else f"has a {path} of a wrong type"
        if path in SHARES and not 0 <= value <= 1:
            return f"has a {path} of {value}, which is not from 0 to 1"
    sparsity = record["sparsity"]
    if any(type(share) not in NUMBER or not 0 <= share <= 1 for share in sparsity["layers"].values()):
        return "has sparsity.layers that are not all from 0 to 1"
    if any(not isinstance(name, str) for name in sparsity["emptied"]):
        return "has a sparsity.emptied that does not name layers"
    try:
        shortfalls(record)
    except (KeyError, TypeError, AttributeError, IndexError):
        return "has no recipe and phases as a run writes them"
    return None
