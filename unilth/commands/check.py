"""`unilth check`: is my mask rule, penalty schedule or ticket finder correct?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from unilth.errors import UserError

if TYPE_CHECKING:
    from unilth.sims.invariants.report import Report, Row


@dataclass(frozen=True)
class Args:
    """Check a mask rule, a penalty schedule, a ticket finder or a saved ticket against the invariants that it claims.

    Exit code 0: all hold; 1: something is violated, or was expected to fail and passes; 2: the target cannot be used.
    """

    target: Annotated[str, tyro.conf.Positional]
    """package.module:name, path/to/file.py:name, or a saved ticket (ticket.safetensors)."""
    only: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Report this invariant only; may be repeated."""
    case: str | None = None
    """Replay one case, as JSON; needs one --only."""
    seed: int = 0
    """Fixes every case that is drawn."""
    budget: Literal["quick", "standard", "thorough"] = "standard"
    """How many cases, which networks."""
    expect_fail: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """ID:REASON, an invariant that is known not to hold, and why; may be repeated."""
    json: Path | None = None
    """Write the report as JSON to this file."""
    markdown: Path | None = None
    """Write the report as a Markdown table to this file."""


def main(argv: list[str]) -> int:
    """Parse, check, print; 0 if all holds, else 1."""
    args = tyro.cli(Args, args=argv, prog="unilth check")
    from unilth.console import Console
    from unilth.sims.invariants.report import show
    from unilth.sims.whole import put, refuse

    places = [path and path.absolute() for path in (args.json, args.markdown)]  # the target may change the folder
    for option, given, path in zip(("--json", "--markdown"), (args.json, args.markdown), places, strict=True):
        if str(given) == "-":  # standard output elsewhere, where here the table is printed
            raise UserError(f"{option} needs the name of a file and - is none: name one, for example report.json")
        if path is not None and path.is_dir():
            raise UserError(f"the report needs a file and {given} is a folder: name a file in it")
        if path is not None and not path.parent.is_dir():
            raise UserError(f"the report cannot be written to {given}: there is no folder {path.parent}")
        if path is not None:
            try:
                refuse(path)
            except OSError as error:
                raise UserError(f"the report cannot be written to {given}: {error.strerror or error}") from None
    if places[0] and places[1] and _same(places[0], places[1]):
        raise UserError(f"--json and --markdown both name {args.json}: one would overwrite the other")
    report, interrupted = _watched(args)
    failed: list[OSError] = []
    try:
        with _noted(failed):
            show(report, Console(emoji=False))  # first, so that a file that cannot be written loses nothing
    finally:  # nor does whatever else fails
        for path, text in zip(places, (report.to_json, report.to_markdown), strict=True):
            if path is not None:
                with _noted(failed):
                    put(path, text().encode(errors="backslashreplace"))
    _complain(failed)
    return 130 if interrupted else 0 if report.ok else 1


@contextmanager
def _noted(failed: list[OSError]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        failed.append(error)


def _complain(failed: list[OSError]) -> None:
    """Raise what says which outputs failed. A reader that went away is no more than that, unless another one failed."""
    real = [error for error in failed if not isinstance(error, BrokenPipeError)]
    if len(real) > 1:
        places = " nor to ".join(f"{error.filename or 'standard output'} ({error.strerror or error})" for error in real)
        raise UserError(f"the report cannot be written to {places}")
    for error in (*real, *failed):
        raise error


def _watched(args: Args) -> tuple[Report, bool]:
    """Check with a progress bar on standard error; the report, and whether Ctrl-C cut it short."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from unilth.console import Console
    from unilth.sims.invariants.runner import Interrupted, check
    from unilth.streams import put_back

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with put_back() as aside:  # the target may close or redirect both streams
        shown = Console(file=aside)
        with Progress(
            *columns, console=shown, transient=True, disable=not shown.is_terminal,
            redirect_stdout=False, redirect_stderr=False,  # what the target prints stays where it is
        ) as bar:  # fmt: skip
            task = bar.add_task("checking", total=None)

            def done(row: Row, number: int, of: int) -> None:
                bar.update(task, completed=number, total=of, description=f"checking (last {row.id})")

            try:
                report = check(
                    args.target,
                    budget=args.budget,
                    seed=args.seed,
                    only=args.only or None,
                    case=args.case,
                    expected_failures=_reasons(args.expect_fail),
                    done=done,
                )
            except Interrupted as ended:
                return ended.report, True
    return report, False


def _same(first: Path, second: Path) -> bool:
    """Whether two names are one file, by links too; a pipe or /dev/stdout has room for both."""
    from unilth.sims.whole import in_place

    if in_place(first) and in_place(second):
        return False
    return first.resolve() == second.resolve() or (first.exists() and second.exists() and first.samefile(second))


def _reasons(texts: tuple[str, ...]) -> dict[str, str]:
    pairs = [_reason(text) for text in texts]
    ids = [id for id, _ in pairs]
    twice = next((id for id in ids if ids.count(id) > 1), None)
    if twice is not None:
        raise UserError(f"--expect-fail names {twice!r} twice: give it one reason")
    return dict(pairs)


def _reason(text: str) -> tuple[str, str]:
    id, colon, reason = text.partition(":")
    if not colon or not reason.strip():
        raise UserError(
            f"--expect-fail {text!r} must be ID:REASON, for example 'mask-ties-count:all ties go, by design'"
        )
    return id, reason.strip()
