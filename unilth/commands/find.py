"""`unilth find`: train one ticket with a recipe of the zoo and save it."""

from __future__ import annotations

import dataclasses
import inspect
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from unilth.console import Console
from unilth.errors import UserError
from unilth.interrupts import raise_again
from unilth.printable import printable
from unilth.sims.campaign import UNPRUNED
from unilth.sims.shortfalls import shortfalls
from unilth.sims.spec import RunSpec


@dataclass(frozen=True)
class Args:
    """Train one ticket and save it. A run that was interrupted goes on from its last epoch after Ctrl-C, and from its
    last checkpoint, one every 30 seconds, after a kill.

    The options from --patience on replace a choice of the recipe.
    """

    recipe: tyro.conf.Positional[str]
    """a recipe of the zoo"""
    out: Annotated[str, tyro.conf.arg(metavar="DIR")]
    """folder for ticket.safetensors, ticket.json and record.json"""
    network: str = RunSpec.network
    """a network that comes with unilth, or your own: package.module:callable or path/to/file.py:callable"""
    data: str = RunSpec.data
    """a data set; all but digits need --data-dir"""
    sparsity: float | None = None
    """fraction of the prunable weights to prune, in [0, 1); default 0.9, and 0 for the recipe dense"""
    seed: int = RunSpec.seed
    """decides initial weights, order of the data and random masks"""
    epochs: int = RunSpec.epochs
    """epochs in all: free training, penalty and fine-tuning"""
    batch: int = RunSpec.batch
    """examples per optimizer step"""
    lr: float = RunSpec.lr
    """learning rate"""
    momentum: float = RunSpec.momentum
    """momentum of SGD"""
    tune: float = RunSpec.tune
    """share of the epochs that fine-tunes the pruned network"""
    device: str = "auto"
    """auto (a GPU where there is one), cpu, cuda, cuda:N or mps (an Apple GPU; never tried); the same bits
    again only on the CPU"""
    threads: int = RunSpec.threads
    """threads for torch; another number ends in other bits"""
    patience: int | None = None
    """epochs without a lower validation loss before the early stop"""
    power: float | None = None
    """power of the growing penalty: 1, 2, 3 or another positive number"""
    ceiling: float | None = None
    """where the growing penalty ends"""
    l2: float | None = None
    """strength of the L2 penalty"""
    rounds: int | None = None
    """rounds of pruning"""
    scope: str | None = None
    """global (all layers together), layer (all equally sparse), erk or balanced"""
    rewind: str | None = None
    """initial, step:K, rate or none"""
    l1: float | None = None
    """strength of the L1 penalty"""
    score: str | None = None
    """what the mask rule compares: a score that comes with unilth, or your own: package.module:callable or
    path/to/file.py:callable"""
    spare: bool | None = None
    """whether the first convolution and the last linear layer stay dense"""
    control: str | None = None
    """shuffled (the mask, within layers) or reinitialised (the weights): what a ticket is to be better than"""
    precision: str | None = None
    """float32 (default) or bfloat16 (autocast: for GPUs and processors that have it, very slow elsewhere)"""
    augment: str | None = None
    """none, or standard (default where a data set has one)"""
    examples: int | None = None
    """train on so many examples of the training data (drawn once and for all), not on all; the test data stay whole"""
    tune_l2: float | None = None
    """strength of the L2 penalty while fine-tuning, 0 for none; default what the recipe has in its other phases"""
    stop: str | None = None
    """last: without the recipe's stopping rule, free training to its last epoch, for an ablation"""
    data_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = field(default=None)
    """where data sets lie that do not ship with a dependency"""


def main(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    args = tyro.cli(Args, args=argv, prog="unilth find", description=_description(argv))
    values = dataclasses.asdict(args)
    if not args.out:  # as a path it would be the working directory
        raise UserError("--out is empty: give a folder, . for this one")
    out, data_dir, device = Path(values.pop("out")), values.pop("data_dir"), values.pop("device")
    if values["sparsity"] is None:
        values["sparsity"] = 0.0 if args.recipe == UNPRUNED else RunSpec.sparsity
    elif values["sparsity"] and args.recipe == UNPRUNED:
        raise UserError(f"the recipe {UNPRUNED!r} does not prune: leave --sparsity out")
    spec = RunSpec(**values)
    from unilth.sims.one_run import find_into  # after the arguments are known to be good: torch is slow to import

    shown = Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} epochs"),
        TimeRemainingColumn(),
        console=shown,
        transient=True,
        disable=not shown.is_terminal,  # in a log it would leave blank lines
    ) as bar:
        task = bar.add_task(spec.recipe, total=spec.epochs)

        def show(done: int, total: int, what: str) -> None:
            raise_again()  # the first epoch is done, and with it the last import
            bar.update(task, completed=done, description=what)

        record, fresh = find_into(
            spec,
            out,
            data_dir,
            show,
            device=device,
            say=lambda sentence: shown.print(sentence, soft_wrap=True),
        )
    console = Console(markup=False, emoji=False)
    console.print(_table(record))
    for sentence in shortfalls(record):
        shown.print(f"note: {sentence}; more epochs leave room for it", soft_wrap=True)
    for name in record["sparsity"]["emptied"]:
        shown.print(
            f"warning: every weight of {printable(name)} is pruned, so that nothing passes through this layer",
            soft_wrap=True,
        )
    console.print(f"{'saved in' if fresh else 'was found before and is in'} {out}", soft_wrap=True, highlight=False)
    return 0


def _description(argv: list[str]) -> str:
    """What the command does; where help is asked for, with the names from the tables, which import torch."""
    about = inspect.cleandoc(str(Args.__doc__))
    if not {"-h", "--help"} & set(argv):
        return about
    from unilth.sims import zoo
    from unilth.sims.data import DATA
    from unilth.sims.networks import NETWORKS
    from unilth.sims.saliency import SCORES

    width = max(map(len, zoo.NAMES))
    recipes = [f"  {row.name:<{width}}  {row.title}" for row in zoo.ZOO]
    known: dict[str, Iterable[str]] = {"networks": NETWORKS, "data": DATA, "scores": SCORES}
    lists = [
        f"\n{what}:\n" + textwrap.fill(", ".join(names), 100, initial_indent="  ", subsequent_indent="  ")
        for what, names in known.items()
    ]
    return "\n".join([about, "", "recipes:", *recipes, *lists])


def _table(record: dict) -> Table:
    spec, sparsity, test = record["spec"], record["sparsity"], record["test"]
    table = Table(
        show_header=False,
        title=printable(f"{spec['recipe']} on {spec['data']}, {spec['network']}, seed {spec['seed']}"),
    )
    early, best = record["stopping_epoch"], record["best_epoch"]
    best = "" if best is None else f", best was epoch {best}"
    rows = {
        "test accuracy": f"{test['accuracy']:.4f} of {test['examples']} examples",
        "test loss": "not finite" if test["loss"] is None else f"{test['loss']:.4f} nats",
        "sparsity": f"{sparsity['counted']:.6f} counted, {sparsity['nominal']:g} nominal",
        "kept weights": f"{sparsity['weights'] - sparsity['pruned']} of {sparsity['weights']}",
        **{f"  {name}": f"{share:.4f} pruned" for name, share in sparsity["layers"].items()},
        "early stop": "-" if early is None else f"after {early} epochs{best}",
        "time": f"{record['timing']['seconds']:.1f} s",
        "ticket digest": record["ticket_digest"][:16],
    }
    for name, value in rows.items():
        table.add_row(printable(name), printable(value))
    return table
