"""What a run's recipe says and its budget of epochs left no room for. Read from its record; needs no torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from unilth.sims.records import Record


def ran_out(epochs: int, best: int | None, patience: int) -> bool:
    """Whether so many epochs of free training were enough for the patience, counted from the best one (None: none)."""
    return epochs - (best or 0) >= patience


def stopped(record: Record) -> int | None:
    """The epochs after which a stopping rule ended free training; None where it did not fire, or is not asked for."""
    patience = record["recipe"]["stop"].get("patience")
    first: dict[str, Any] = record["phases"][0] if record["phases"] else {"phase": ""}
    if _settles(record):
        return int(first["epochs"]) if first.get("settled") else None
    if patience is None or first["phase"] != "free" or not ran_out(first["epochs"], first["best_epoch"], patience):
        return None
    return int(first["epochs"])


def shortfalls(record: Record) -> list[str]:
    """One sentence for each part of the recipe that did not take place."""
    recipe, rows = record["recipe"], record["phases"]
    rounds, free = recipe["rounds"]["number"], [row for row in rows if row["phase"] == "free"]
    patience, found = recipe["stop"].get("patience"), []
    if patience is not None and stopped(record) is None:
        epochs = free[0]["epochs"] if free else 0
        found.append(f"early stopping (patience {patience}) did not fire: free training ended with its {epochs} epochs")
    if _settles(record) and free and free[0].get("settled") is False:
        found.append(f"the mask did not settle: free training ended with its {free[0]['epochs']} epochs")
    empty = sum(row["epochs"] == 0 for row in free)
    if empty and recipe["stop"].get("number") != 0:
        found.append(f"{empty} of {len(free)} phases of free training had no epoch")
    if recipe.get("sorting") and not any(row["phase"] == "sort" and row["epochs"] for row in rows):
        found.append("the weights were not sorted before the mask was drawn")
    pressed = {row["round"] for row in rows if row["phase"] == "press" and row["epochs"]}
    if "ceiling" in (recipe["penalty"] or {}) and len(pressed) < rounds:
        found.append(f"the penalty pressed in {len(pressed)} of {rounds} rounds")
    return found


def _settles(record: Record) -> bool:
    """Whether free training is to end where the mask has settled; earlier records do not tell if it did."""
    return "tolerance" in record["recipe"]["stop"]


def tallied(records: Iterable[Record]) -> list[str]:
    """The sentences of many runs, each with its recipe and with how many of the recipe's runs it holds for.

    A record that does not list its recipe and phases as ours do is passed over: others write records too.
    """
    runs: dict[str, int] = {}
    said: dict[tuple[str, str], int] = {}
    for record in records:
        recipe: Any = record["spec"]["recipe"]
        runs[recipe] = runs.get(recipe, 0) + 1
        try:
            sentences = shortfalls(record)
        except (KeyError, TypeError, AttributeError):
            continue
        for sentence in sentences:
            said[recipe, sentence] = said.get((recipe, sentence), 0) + 1
    return [
        f"{recipe}: {sentence} ({count} of {runs[recipe]} run{'s' if runs[recipe] > 1 else ''})"
        for (recipe, sentence), count in said.items()
    ]
