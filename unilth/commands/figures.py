"""``unilth figures``: regenerate figures with their data and provenance, or check those that are there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Args:
    """Regenerate figures: NAME.pdf, NAME.png, NAME.csv (its numbers) and NAME.json (where they came from).

    The same inputs give the same bytes. Exit codes: 0 all well, 1 with --check where a file differs, 2 where a figure
    cannot be drawn.
    """

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Figures to draw; all that can be drawn if none is named (see --list)."""

    out: Path = Path("out/figures")
    """Folder for the files."""

    results: Path = Path("out/runs")
    """Folder of finished runs that `unilth sweep` wrote, for the figures that show experiments."""

    check: bool = False
    """Write nothing: regenerate and compare with what is in the folder."""

    list: bool = False
    """Say which figures there are and stop."""


def main(argv: list[str]) -> int:
    """Run ``unilth figures`` and return its exit code."""
    args = tyro.cli(Args, args=argv, prog="unilth figures", config=(tyro.conf.FlagCreatePairsOff,))
    from rich.markup import escape

    from unilth.console import Console
    from unilth.errors import UserError
    from unilth.paper_figures.gallery import FIGURES, choose

    console = Console(emoji=False)
    if args.list:
        for spec in FIGURES:
            console.print(f"[bold]{spec.name:<16}[/]{escape(spec.title)}", highlight=False, soft_wrap=True)
        return 0

    from unilth.paper_figures.provenance import differences, write

    if args.out.exists() and not args.out.is_dir():
        raise UserError(f"--out {str(args.out)!r} is not a folder; name a new or an existing folder")
    wrong = 0
    for spec in choose(args.names):
        # Without results a figure is skipped if nobody asked for it, neither by name nor by having it in the folder.
        wanted = spec.name in args.names or (args.check and (args.out / f"{spec.name}.json").exists())
        if spec.only_named and not wanted:
            continue
        if spec.reads_results and not wanted and not args.results.is_dir():
            console.print(
                f"{spec.name}: skipped, there are no finished runs in {escape(str(args.results))}",
                highlight=False,
                soft_wrap=True,
            )
            continue
        if args.check:
            found = differences(spec, args.out, args.results)
            wrong += len(found)
            lines = found or [f"{spec.name}: the same, byte for byte"]
        else:
            lines = [str(path) for path in write(spec, args.out, args.results)]
        for line in lines:
            console.print(escape(line), highlight=False, soft_wrap=True)
    return 1 if wrong else 0
