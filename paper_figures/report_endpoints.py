"""The report's section on end points: the verdicts on networks, from the records of this reproduction."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from unilth.errors import UserError
from unilth.paper_figures.report_document import (
    BAD,
    GOOD,
    OPEN,
    PART,
    Block,
    Commands,
    Details,
    Grid,
    Paragraph,
    Section,
    Text,
    cell,
)
from unilth.sims.endpoints.effects import CONFIRMED, CONTRADICTED
from unilth.sims.endpoints.effects import PART as IN_PART
from unilth.sims.endpoints.records import read
from unilth.sims.endpoints.verdicts import verdicts

HEADING = "End points on networks"
ENOUGH = 3  # seeds; with two an interval is thirteen standard errors wide on either side
TONES = {CONFIRMED: GOOD, IN_PART: PART, CONTRADICTED: BAD}


def records_in(folder: Path) -> list[dict[str, Any]] | str:
    """The records of end points in the folder, or the sentence that says why there are none."""
    try:
        return (read(folder) if folder.is_dir() else []) or "Not measured."
    except UserError as error:
        return str(error)


def section(folder: Path) -> Section:
    """One table of verdicts per record: the prediction, the verdict and the effects behind it."""
    records = records_in(folder)
    again = f"unilth endpoints --out {shlex.quote(folder.name)}"
    if isinstance(records, str):
        return Section("endpoints", HEADING, (Paragraph(records, OPEN), Commands((again,))))
    blocks: list[Block] = []
    for record in records:
        plan = record["plan"]
        if plan["seeds"] < ENOUGH:
            blocks.append(Paragraph("Measured with very little of everything: this settles nothing.", OPEN))
        part = f" ({plan['part']:,} examples)" if plan["part"] else ""
        rows, rules = [], []
        for one in verdicts(record):
            rows.append(
                (
                    cell(one.id, *map(str, one.effects)),
                    cell(Text(one.verdict, TONES.get(one.verdict, OPEN))),
                    cell(one.prediction),
                )
            )
            rules.append(Paragraph(f"{one.id}: {one.rule}."))
        blocks.append(
            Grid(
                ("Prediction and effect", "Verdict", "In words"),
                tuple(rows),
                caption=f"{plan['network']} on {plan['data']}{part}, {plan['seeds']} seeds. Brackets are 95% "
                "intervals, not corrected for their number.",
            )
        )
        blocks.append(Details("The rules of these verdicts", tuple(rules)))
    blocks.append(Details("Measure it again (in the folder of this report)", (Commands((again,)),)))
    return Section("endpoints", HEADING, tuple(blocks))
