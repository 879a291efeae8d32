"""`unilth sweep`: run a campaign, a grid of tickets, in worker processes."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from unilth.console import Console
from unilth.errors import UserError
from unilth.sims.campaign import Campaign, load
from unilth.sims.cluster import Cluster, sweep_on_slurm
from unilth.sims.sweep import Summary, plan, sweep
from unilth.sims.tally import Progress


@dataclass(frozen=True)
class Args:
    """Run a campaign in worker processes. What is finished is skipped: the same command again goes on where it was.

    A run is finished if its record is whole and its ticket's files have the sizes that the record states; what is in
    these files is checked by `unilth check`.
    """

    campaign: tyro.conf.Positional[str]
    """path of a TOML file, or the name of a campaign that comes with unilth: digits, digits-quick, zoo-digits, mnist,
    fashion-mnist, conv-small-digits, cifar10-resnet20-part, cifar10-resnet20-short, cifar100-resnet20-short,
    cifar10-resnet20, cifar10-deep, cifar100-resnet20, cifar100-deep"""
    out: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """directory for the runs; default out/ and the campaign's name"""
    workers: int | None = None
    """processes that train at the same time; default one a core, on GPUs no more than 8 each, on a cluster one in each
    array task"""
    device: str = "auto"
    """auto (the GPUs where there are any), cpu, cuda, cuda:N or mps (an Apple GPU; never tried); the
    workers share the GPUs in turn"""
    engine: Literal["local", "slurm"] = "local"
    """where the runs are done: in processes here, or as array jobs of a SLURM cluster (needs the extra `cluster`)"""
    slurm: Cluster = field(default_factory=Cluster)
    dry_run: tyro.conf.FlagCreatePairsOff[bool] = False
    """say what would be run and change nothing"""
    data_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """where data sets lie that do not ship with a dependency"""


def main(argv: list[str]) -> int:
    """Run the command; exit code 0 if every run is finished, 1 if some failed."""
    args = tyro.cli(Args, args=argv, prog="unilth sweep", description=Args.__doc__)
    campaign = load(args.campaign)
    if args.out == "":  # as a path it would be the working directory
        raise UserError("--out is empty: give a folder, . for this one")
    out = Path(args.out) if args.out is not None else Path("out") / campaign.name
    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    console.print(Text.assemble((campaign.name, "bold"), f": {campaign.claim}"))
    if args.dry_run:
        return _say_plan(console, campaign, out, args.data_dir)
    if args.engine == "local" and args.slurm != Cluster():
        raise UserError("--slurm options are for --engine slurm: add it or leave them out")
    with shown_progress() as show:
        if args.engine == "slurm":
            workers = 1 if args.workers is None else args.workers
            summary = sweep_on_slurm(
                campaign, out, args.slurm,
                workers=workers, progress=show, say=show.say, data_dir=args.data_dir, device=args.device,
            )  # fmt: skip
        else:
            summary = sweep(
                campaign, out, workers=args.workers, progress=show, say=show.say, data_dir=args.data_dir,
                device=args.device,
            )  # fmt: skip
    say_summary(console, summary, out)
    return 0 if summary.ok else 1


@contextmanager
def shown_progress() -> Iterator[_Show]:
    """A progress bar on standard error; in a log, a line now and then."""
    console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
    counts, now = "{task.completed:.0f}/{task.total:.0f} runs", TextColumn("{task.description}", markup=False)
    columns = (BarColumn(), TextColumn(counts), now)
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield _Show(bar, console)


class _Show:
    """Called with every `Progress` of a sweep."""

    def __init__(self, bar: Bar, console: Console) -> None:
        self.bar, self.console = bar, console
        self.task: TaskID | None = None
        self.tenths = 0

    def say(self, sentence: str) -> None:
        """A line above the bar."""
        self.console.print(sentence, soft_wrap=True)

    def __call__(self, progress: Progress) -> None:
        over = progress.skipped + progress.done + progress.failed
        text = f"{time_left(progress)}  {', '.join(progress.current)}"
        if self.task is None:
            self.task = self.bar.add_task("", total=progress.total)
        self.bar.update(self.task, completed=over, description=text)
        tenths = 10 * over // progress.total
        if self.bar.disable and tenths > self.tenths:
            self.tenths = tenths
            self.console.print(f"{over}/{progress.total} runs, {time_left(progress)}", soft_wrap=True)


def time_left(progress: Progress) -> str:
    """The estimate in words, saying what it does not know."""
    if progress.skipped + progress.done + progress.failed == progress.total:
        return "all finished"
    if progress.seconds_left is None:
        return "time left not known before a run is finished"
    seconds = round(progress.seconds_left)
    hours, minutes = seconds // 3600, seconds // 60 % 60
    text = (
        f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds % 60:02} s" if minutes else f"{seconds} s"
    )
    unknown = f" ({progress.untimed} runs of kinds not timed yet)" if progress.untimed else ""
    return f"about {text} left{unknown}"


def say_summary(console: Console, summary: Summary, out: Path) -> None:
    """What was done, what failed and why, in lines."""
    console.print(
        f"{summary.total} runs: {summary.skipped} were finished before, {summary.done} done now in "
        f"{summary.seconds:.1f} s ({summary.workers} at a time), {len(summary.failed)} failed; they are in {out}"
    )
    for name in summary.repeated:
        console.print(f"repeated, its record was damaged (kept in {out / 'damaged'}): {name}")
    for name, reason in summary.failed:
        console.print(f"failed: {name}: {reason}")


def _say_plan(console: Console, campaign: Campaign, out: Path, data_dir: Path | None) -> int:
    from unilth.sims.preflight import usable  # slow to import

    todo = plan(campaign, out)
    usable(campaign.specs, data_dir=data_dir, known=todo.known)
    console.print(
        f"{len(campaign.specs)} runs: {len(todo.finished)} finished, {len(todo.left)} to do"
        f"{f', {len(todo.damaged)} of them because their record is damaged' if todo.damaged else ''}; in {out}"
    )
    left = Counter(spec.recipe for spec in todo.left)
    for recipe, count in Counter(spec.recipe for spec in campaign.specs).items():
        console.print(f"  {recipe}: {left[recipe]} of {count} to do")
    return 0
