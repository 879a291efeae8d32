"""The kit's pages in docs/, written from the catalogue and the twins: `python -m unilth.sims.invariants.pages docs`."""

from __future__ import annotations

import sys
from pathlib import Path

from unilth.sims.invariants.catalogue import CATALOGUE, catalogue
from unilth.sims.invariants.selfcheck import TWINS

KINDS = {
    "mask-rule": "Mask rules",
    "penalty-schedule": "Penalty schedules",
    "ticket-finder": "Ticket finders",
    "saved-ticket": "Saved tickets",
}
WRITTEN = "<!-- Written by `python -m unilth.sims.invariants.pages docs`; a test compares it with the code. -->"


def invariants_page() -> str:
    """docs/invariants.md: every invariant with statement, reason, claims, prerequisites and theorem."""
    lines = [
        "# The invariants",
        "",
        WRITTEN,
        "",
        f"{len(CATALOGUE)} invariants. Each says what must hold, and which published mistake it",
    ]
    lines += ["would have caught. An invariant that rests on others is *blocked* while one of those does not hold.", ""]
    for kind, title in KINDS.items():
        lines += [f"## {title}", "", "| invariant | statement | why | rests on | theorem |", "|---|---|---|---|---|"]
        for row in catalogue(kind):
            rests = ", ".join(id for id in row.needs)
            lines.append(f"| `{row.id}` | {row.statement} | {row.why} | {rests} | {row.theorem or ''} |")
        lines.append("")
    return "\n".join([*lines, *ORACLE])


ORACLE = (
    "## Theory as oracle",
    "",
    "Our own engine is also held to the closed forms (`oracle.py`, `tests/sims/invariants/test_oracle.py`):",
    "",
    "| what | theorem |",
    "|---|---|",
    "| a finite penalty ramp on a quadratic ends where the exact flow does, to first order in the step | T7.1 |",
    "| a held penalty ends at ridge regression in the Schur complement | T6.1 |",
    "| a slow ramp to a growing ceiling approaches the Schur-complement point, within the theorem's bound | T6.1 |",
    "| early stopping follows gradient descent's closed form step by step, and restores its best step | T1.1 |",
    "",
)
"""What is tested beside the catalogue."""


def kill_matrix_page() -> str:
    """docs/kill_matrix.md: every broken twin, its mistake, and what catches it."""
    lines = [
        "# The kill matrix",
        "",
        WRITTEN,
        "",
        f"{len(TWINS)} broken twins, each correct but for one real mistake. The tests hold every twin to",
    ]
    lines += ["be caught by exactly the invariants named here, and every invariant to catch a twin.", ""]
    for kind, title in KINDS.items():
        twins = [twin for twin in TWINS if twin.target.__unilth_claims__.kind == kind]  # type: ignore[attr-defined]
        if not twins:
            continue
        lines += [f"## {title}", "", "| twin | mistake | caught by |", "|---|---|---|"]
        for twin in twins:
            where = " (on a second device)" if twin.second_device else ""
            lines.append(f"| `{twin.name}` | {twin.mistake} | {', '.join(f'`{id}`' for id in twin.kills)}{where} |")
        lines.append("")
    lines += [
        "Saved tickets are broken in `tests/sims/invariants/test_saved_tickets.py`, one file for each invariant.",
        "",
    ]
    return "\n".join(lines)


PAGES = {"invariants.md": invariants_page, "kill_matrix.md": kill_matrix_page}


def write(folder: Path) -> None:
    """Write both pages into a folder."""
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
