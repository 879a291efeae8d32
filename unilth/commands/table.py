"""`unilth table`: the comparison of finished runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table

from unilth.console import Console
from unilth.errors import UserError
from unilth.sims.recorded import keep, opened
from unilth.sims.table import METRIC, compare
from unilth.sims.table_text import comma_separated, grids, latex, markdown, notes
from unilth.sims.whole import put

LOG_WIDTH = 240  # columns; a file has no width of its own to fit in


@dataclass(frozen=True)
class Args:
    """Compare the finished runs in a directory: recipes by sparsities, mean and 95% interval over seeds."""

    directory: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DIR")]
    """where `unilth sweep` wrote its runs, or where --keep put them"""
    baseline: str | None = None
    """recipe that the others are compared with, seed by seed"""
    metric: str = METRIC
    """dotted path of a number in the records: test.accuracy, test.loss, best_epoch, timing.seconds, ..."""
    csv: Annotated[str | None, tyro.conf.arg(metavar="PATH")] = None
    """also write every number, unrounded"""
    markdown: Annotated[str | None, tyro.conf.arg(metavar="PATH")] = None
    """also write the tables in Markdown"""
    latex: Annotated[str | None, tyro.conf.arg(metavar="PATH")] = None
    """also write the tables in LaTeX"""
    keep: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    """also write the campaigns and all records, without the tickets, into one small folder that `unilth table` reads"""


def main(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    args = tyro.cli(Args, args=argv, prog="unilth table", description=Args.__doc__)
    for name in ("directory", "csv", "markdown", "latex", "keep"):
        if getattr(args, name) == "":  # as a path it would be the working directory
            option = "DIR" if name == "directory" else f"--{name}"
            raise UserError(f"{option} is empty: give a {'folder' if name in ('directory', 'keep') else 'file'}")
    comparisons = compare(args.directory, metric=args.metric, baseline=args.baseline)
    if args.keep is not None:  # first: the texts may lie beside the records
        keep(opened(args.directory), Path(args.keep))
    for path, text in ((args.csv, comma_separated), (args.markdown, markdown), (args.latex, latex)):
        if path is not None:
            put(Path(path), text(comparisons).encode())
    width = None if Console().is_terminal else LOG_WIDTH
    console = Console(width=width, highlight=False, markup=False, emoji=False)  # records name things as they like
    for comparison in comparisons:
        for title, (head, *rows) in grids(comparison):
            table = Table(title=title, title_justify="left", title_style="bold")
            for number, name in enumerate(head):
                table.add_column(name, justify="right" if number else "left", no_wrap=not number)
            for row in rows:
                table.add_row(*row)
            console.print(table)
        for note in notes(comparison):
            console.print(f"- {note}")
    return 0
