"""`unilth endpoints`: measure how far the closed forms hold on a network, and write the page of verdicts."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Args:
    """Measure a ladder of models from a quadratic to NETWORK, section 7's predictions and who wins on real regression.

    Writes NETWORK-DATA.json into the folder; with --page only reads the records there.
    """

    out: Path
    """folder of the records"""
    network: str = "lenet-300-100"
    """a network that `unilth find` knows"""
    data: str = "digits"
    """a data set that `unilth find` knows"""
    seeds: int | None = None
    """seeds of the section 7 experiments, at least 2 (3 if not given)"""
    quick: bool = False
    """the same code with very little of everything: settles nothing"""
    page: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """measure nothing: write the page of verdicts from the records in the folder"""
    data_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """where data sets lie that do not ship with a dependency"""


def main(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    args = tyro.cli(Args, args=argv, prog="unilth endpoints", config=(tyro.conf.FlagCreatePairsOff,))
    from rich.console import Console
    from rich.table import Table

    from unilth.errors import UserError
    from unilth.sims.endpoints import page, run, verdicts

    shown = Console(file=sys.stderr, highlight=False, soft_wrap=True, markup=False)
    if args.page is not None:
        if not args.out.is_dir():
            raise UserError(f"--out {str(args.out)!r} is not a folder of records: measure into it first")
        args.page.write_text(page.page(run.read(args.out)), encoding="utf-8")
        return 0
    base = run.QUICK if args.quick else run.Plan()
    seeds = base.seeds if args.seeds is None else args.seeds
    plan = dataclasses.replace(base, network=args.network, data=args.data, seeds=seeds)
    record = run.study(plan, args.data_dir, lambda what: shown.print(what))
    path = run.write(record, args.out)
    table = Table("prediction", "verdict", "effect")
    for one in verdicts.verdicts(record):
        table.add_row(one.id, one.verdict, "\n".join(map(str, one.effects)))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    shown.print(f"saved in {path}")
    return 0
