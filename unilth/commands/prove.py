"""`unilth prove`: run the theorems as tests and print the ledger."""

from __future__ import annotations

import difflib
import functools
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from unilth.console import Console
from unilth.errors import UserError
from unilth.theory import certificates, pages, rendering
from unilth.theory.evidence import Level, Theorem
from unilth.theory.ledger import Ledger, prove, write_json, write_text
from unilth.theory.record import records
from unilth.theory.theorems import THEOREMS


@dataclass(frozen=True)
class Args:
    """Settle theorems and claims. Exit code 0: all hold and every near miss is rejected; 1: something does not hold.

    One number or id (`unilth prove T7.5`) is shown in full. Theorems that the chosen ones depend on are run as well.
    """

    ids: tyro.conf.Positional[tuple[str, ...]] = ()
    """theorems by catalogue number (T7.5) or id; all if none is given"""
    section: str | None = None
    """only one section of the catalogue, for example 7"""
    level: str | None = None
    """show only theorems whose level is symbolic, certified, exhaustive, property or simulated"""
    list: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """list the theorems without running them"""
    json: Path | None = None
    """write the ledger as JSON (schema 1)"""
    markdown: Path | None = None
    """write the ledger as a Markdown page"""
    html: Path | None = None
    """write the ledger as an HTML page"""
    docs: Path | None = None
    """write the chapters of docs/theory into this folder (all theorems must be run)"""
    certificates: Path | None = None
    """write what the searches found into this folder, for --recheck"""
    recheck: Path | None = None
    """verify the certificates of this folder without searching, and nothing else"""
    mutations: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """also change every constant by 1e-6 and drop every hypothesis, one at a time: each check must refute each"""
    workers: int | None = None
    """worker processes (default: one per processor, at most 8)"""


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    args = tyro.cli(Args, args=argv, prog="unilth prove", description=Args.__doc__)
    if args.workers is not None and args.workers < 1:
        raise UserError(f"--workers is {args.workers}; give a positive number")
    if args.level is not None and args.level not in [level.value for level in Level]:
        raise UserError(f"--level is {args.level!r}; give one of {', '.join(level.value for level in Level)}")
    instead = "--list" if args.list else "--recheck" if args.recheck is not None else ""
    for name in ("json", "markdown", "html", "docs", "certificates", "level", "mutations"):
        if instead and getattr(args, name):
            raise UserError(f"--{name} needs the theorems to be run, and {instead} runs none; leave one of them out")
    for name in ("json", "markdown", "html"):
        path = getattr(args, name)
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise UserError(f"--{name} {path} cannot be written; name a file in an existing directory")
    for name in ("docs", "certificates"):
        folder = getattr(args, name)
        if folder is not None and folder.exists() and not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise UserError(f"--{name} {folder} is not a folder that can be written; name a new or existing folder")
    if args.docs is not None and (args.ids or args.section is not None):
        raise UserError(f"--docs {args.docs} writes pages of all theorems; leave out the ids and --section")
    chosen = select(args.ids, args.section)
    console = Console()
    if args.list:
        console.print(listing(chosen))
        return 0
    try:
        if args.recheck is not None:
            return recheck(console, args.recheck, chosen, args.workers, named=bool(args.ids or args.section))
        return settle(console, args, chosen)
    except KeyboardInterrupt:
        print("unilth: interrupted; nothing was written that is not whole", file=sys.stderr)
        return 130


def settle(console: Console, args: Args, chosen: Sequence[Theorem]) -> int:
    """Prove the chosen theorems, show the ledger, and write what was asked for."""
    say = functools.partial(console.print, markup=False, emoji=False)
    for folder in (args.docs, args.certificates):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)  # a folder that cannot be written is told before the work
    ledger = watched(chosen, args.workers, args.mutations)
    if args.level is not None:
        shown = tuple(entry for entry in ledger.entries if entry.level.value == args.level)
        console.print(rendering.overview(Ledger(shown, (), ledger.seconds)))
    elif len(args.ids) == 1 and args.section is None:  # one number may stand for several theorems
        for theorem, entry in zip(chosen, ledger.entries, strict=True):
            console.print(rendering.in_full(theorem, entry))
    else:
        console.print(rendering.overview(ledger))
    if args.json is not None:
        write_json(ledger, args.json)
    if args.markdown is not None:
        write_text(args.markdown, rendering.markdown(ledger, chosen))
    if args.html is not None:
        write_text(args.html, rendering.html(ledger, chosen))
    if args.docs is not None and ledger.ok:
        for name in pages.write(args.docs, records(ledger)):
            say(f"no {args.docs}/figures/{name}.png to show; `unilth figures {name}` draws it")
    elif args.docs is not None:
        say(f"{args.docs}: no pages written, because not everything holds")
    if args.certificates is not None:
        certificates.write(args.certificates, {entry.id: entry.certificate for entry in ledger.entries})
    return 0 if ledger.ok else 1


def select(ids: Sequence[str], section: str | None) -> list[Theorem]:
    """The theorems named by id or catalogue number, in the catalogue's order; UserError names what is close."""
    chosen = list(THEOREMS)
    if ids:
        for name in ids:
            if not any(name in (theorem.id, theorem.catalogue) for theorem in THEOREMS):
                # a number of the catalogue may belong to several theorems; one is enough of a hint
                known = dict.fromkeys(word for theorem in THEOREMS for word in (theorem.catalogue, theorem.id))
                alike = [word for word in known if word.lower() == name.lower()]
                close = alike or difflib.get_close_matches(name, known, n=3, cutoff=0.4)
                hint = f"did you mean {' or '.join(close)}?" if close else "`unilth prove --list` lists them"
                raise UserError(f"there is no theorem {name!r}; {hint}")
        chosen = [theorem for theorem in THEOREMS if theorem.id in ids or theorem.catalogue in ids]
    if section is not None:
        number = section.removeprefix("T")
        chosen = [theorem for theorem in chosen if theorem.catalogue.removeprefix("T").split(".")[0] == number]
        if not chosen:
            of = f"none of {', '.join(ids)}" if ids else "no theorem"
            raise UserError(f"--section {section} has {of}; give a section of the catalogue, 1 to 10")
    return chosen


def listing(theorems: Sequence[Theorem]) -> Table:
    """Catalogue number, id, title and kind of bound; ids whole, because they are there to be copied."""
    table = Table()
    for column in ("", "id", "title", "bound"):
        table.add_column(
            column, no_wrap=column != "title", min_width=max(len(t.id) for t in theorems) * (column == "id")
        )
    for theorem in theorems:
        table.add_row(theorem.catalogue, theorem.id, theorem.title, theorem.bound)
    return table


def watched(theorems: Sequence[Theorem], workers: int | None, mutations: bool) -> Ledger:
    """Prove with a progress bar on standard error."""
    shown = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as bar:
        task = bar.add_task("proving", total=len(theorems))
        names = {theorem.id for theorem in theorems}
        return prove(
            theorems,
            workers=workers,
            mutations=mutations,
            done=lambda e: bar.update(task, advance=int(e.id in names), description=f"proving (last {e.catalogue})"),
        )


def recheck(console: Console, folder: Path, chosen: Sequence[Theorem], workers: int | None, *, named: bool) -> int:
    """Verify recorded certificates without searching.

    Theorems that were `named` are all checked, and must be in the folder; otherwise those that searched when it was
    written. What was not checked is listed.
    """
    recorded = certificates.read(folder)
    unknown = sorted(set(recorded) - {theorem.id for theorem in THEOREMS})
    if unknown:
        raise UserError(
            f"{str(folder)!r} holds certificates of unknown theorems ({', '.join(unknown)}); write it again"
        )
    absent = [theorem.catalogue for theorem in chosen if theorem.id not in recorded]
    if named and absent:
        raise UserError(f"{str(folder)!r} was written without {', '.join(absent)}; write it again with --certificates")
    todo = [theorem for theorem in chosen if recorded.get(theorem.id) or named]
    # one process: starting another costs more than the few seconds that all certificates take
    ledger = prove(todo, claims=(), workers=workers or 1, recorded=recorded)
    console.print(rendering.rechecked(ledger))
    idle = [theorem.catalogue for theorem in chosen if recorded.get(theorem.id) == [] and theorem not in todo]
    console.print(
        f"{len(ledger.entries)} theorems rechecked in {ledger.seconds:.1f} s; recorded as searching nothing, so not "
        f"run: {', '.join(idle) or 'none'}; not in this folder: {', '.join(absent) or 'none'}"
    )
    return 0 if all(entry.status in ("proved", "supported") for entry in ledger.entries) else 1
