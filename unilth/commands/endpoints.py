"""`unilth endpoints`: measure how far the closed forms hold on a network, and write the page of verdicts."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from unilth.errors import UserError

CHOICES = ("seeds", "examples", "pairs", "epochs", "part", "test_part", "only")  # of a plan, where they are given


@dataclass(frozen=True)
class Args:
    """Measure a ladder of models from a quadratic to NETWORK, section 7's predictions, how far end points are apart and
    who wins on real regression.

    Writes NETWORK-DATA.json into the folder; the same command goes on where it was interrupted. With --page only reads
    the records there.
    """

    out: Path
    """folder of the records"""
    network: str = "lenet-300-100"
    """a network that `unilth find` knows"""
    data: str = "digits"
    """a data set that `unilth find` knows"""
    seeds: int | None = None
    """seeds of section 7 and of the distances, at least 2 (5 if not given)"""
    examples: int | None = None
    """training examples that the ladder and every curvature look at (100 if not given)"""
    pairs: int | None = None
    """eigenpairs (8 if not given)"""
    epochs: int | None = None
    """epochs of every end point whose distances are measured (60 if not given)"""
    part: int | None = None
    """train on so many of the data's examples (all of them if not given)"""
    test_part: int | None = None
    """test on the first so many of the test examples (all of them if not given)"""
    only: tuple[Literal["ladder", "curvature", "section7", "distances", "winners"], ...] | None = None
    """measure these parts (all of them if not given)"""
    device: str = "auto"
    """auto (a GPU where there is one), cpu, cuda or cuda:N; the same bits again only on the CPU"""
    quick: bool = False
    """the same code with very little of everything: settles nothing"""
    workers: int | None = None
    """processes that measure at the same time; default one a core, or one a GPU"""
    page: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """measure nothing: write the page of verdicts from the records in the folder"""
    data_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """where data sets lie that do not ship with a dependency"""


def main(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    args = tyro.cli(Args, args=argv, prog="unilth endpoints", config=(tyro.conf.FlagCreatePairsOff,))
    if args.page is not None:
        return write_page(args.out, args.page)
    if args.workers is not None and args.workers < 1:
        raise UserError(f"--workers is {args.workers}; give at least 1")
    from rich.table import Table

    from unilth.console import Console
    from unilth.sims.endpoints.plan import QUICK, Plan
    from unilth.sims.endpoints.records import file_name, write
    from unilth.sims.endpoints.verdicts import verdicts

    given = {name: getattr(args, name) for name in CHOICES}
    plan = dataclasses.replace(
        QUICK if args.quick else Plan(),
        network=args.network,
        data=args.data,
        **{name: value for name, value in given.items() if value is not None},
    )
    from unilth.sims.endpoints import run  # torch is slow to import: what is refused is refused before

    default = run.default_workers(args.device)
    check_folder(args.out)
    keep = args.out / f".{Path(file_name(plan.network, plan.data)).stem}"
    with shown_parts() as tell:
        record = run.study(plan, args.data_dir, tell, args.workers or default, keep, args.device)
    path = write(record, args.out)
    shutil.rmtree(keep)
    table = Table("prediction", "verdict", "effect")
    for one in verdicts(record):
        table.add_row(one.id, one.verdict, "\n".join(map(str, one.effects)))
    Console(width=None if sys.stdout.isatty() else 160, markup=False, emoji=False).print(table)
    Console(file=sys.stderr, highlight=False, soft_wrap=True, markup=False, emoji=False).print(f"saved in {path}")
    return 0


def check_folder(out: Path) -> None:
    """Make the folder and try to write there, before minutes of measuring: UserError where that fails."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {str(out)!r} is not a folder; name a new or an existing folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise UserError(f"--out {str(out)!r} cannot be written ({error.strerror}); name another folder") from None


def write_page(out: Path, path: Path) -> int:
    """The page of verdicts from the records in the folder."""
    from unilth.sims.endpoints.page import page
    from unilth.sims.endpoints.records import read

    records = read(out) if out.is_dir() else []
    if not records:
        raise UserError(f"--out {str(out)!r} is no folder with a record of end points: measure into it first")
    path.write_text(page(records), encoding="utf-8")
    return 0


@contextmanager
def shown_parts() -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar over the parts of a study on standard error; in a log, a line per part."""
    from rich.progress import BarColumn, Progress, TextColumn

    from unilth.console import Console

    console = Console(file=sys.stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)
    counts, now = "{task.completed:.0f}/{task.total:.0f} parts", TextColumn("{task.description}", markup=False)
    columns = (BarColumn(), TextColumn(counts), now)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("measuring", total=None)

        def tell(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)
            if bar.disable:
                console.print(f"{done}/{total} parts: {what}")

        yield tell
