"""What the programs that compare runs of a campaign share: their options, the runs themselves, what they write."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from unilth.commands.sweep import shown_progress
from unilth.errors import UserError
from unilth.sims.campaign import Campaign
from unilth.sims.records import REMEDY, Record
from unilth.sims.results import Store, run_name
from unilth.sims.shown import unshowable
from unilth.sims.spec import RunSpec
from unilth.sims.sweep import sweep

MADE = ("unilth", "device", "versions", "data_digest")
READ = ("validation_loss", "validation_accuracy")


def options(text: str | None) -> argparse.ArgumentParser:
    """A parser with the options that they share."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("campaign")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    return parser


def check_out(out: Path | None) -> None:
    """UserError, before any run, where ``out`` cannot be a file."""
    if out and (out.is_dir() or not out.absolute().parent.is_dir()):
        raise UserError(f"--out {str(out)!r} cannot be written: name a file in a folder that is there")


def finished(
    campaign: Campaign, name: str, runs: Iterable[RunSpec], args: argparse.Namespace
) -> tuple[dict[RunSpec, Record], dict[str, Any], list[str]]:
    """Do what is missing of ``runs``: the records there are then, what made them, and the names of those that failed.

    UserError where a record cannot be used, none is there, or they are of several versions, devices or data.
    """
    specs = tuple(runs)
    with shown_progress() as shown:
        summary = sweep(
            dataclasses.replace(campaign, name=name, specs=specs), args.runs, workers=args.workers,
            data_dir=args.data_dir, device=args.device, progress=shown, say=shown.say,
        )  # fmt: skip
    for failed, reason in summary.failed:
        print(f"{failed} failed: {reason}", file=sys.stderr)
    stored = [(spec, Store(args.runs).finished(spec)) for spec in specs]
    records = {spec: record for spec, record in stored if record is not None}
    for spec, record in records.items():
        problem = unshowable(record) or _unread(record)
        if problem:
            raise UserError(f"the record of {run_name(spec)} {problem}; {REMEDY}")
    if not records:
        raise UserError("every run failed")
    return records, made_by(records.values()), [failed for failed, _ in summary.failed]


def _unread(record: Record) -> str | None:
    """What is missing of the epochs, as the end of a sentence."""
    rows = record.get("epochs")
    whole = (
        isinstance(rows, list) and bool(rows) and all(isinstance(row, dict) and set(READ) <= set(row) for row in rows)
    )
    return None if whole else "has no epochs as a run writes them"


def made_by(records: Iterable[Record]) -> dict[str, Any]:
    """What made the runs, and of which data; UserError where it was not the same for all."""
    found = [{key: record.get(key) for key in MADE} for record in records]
    if any(one != found[0] for one in found):
        raise UserError("the runs there are of several versions, devices or data: give --runs another folder")
    return found[0]


def write(out: Path, found: Any) -> None:
    """JSON into the file ``out``; UserError where that is impossible."""
    try:
        out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"--out {str(out)!r} cannot be written ({error.strerror}); the runs are kept") from None
