"""``unilth reproduce``: prove, check, train, draw and report, small, on real data; what is finished is skipped."""

from __future__ import annotations

import json
import multiprocessing
import os
import shlex
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from unilth import __version__
from unilth.errors import UserError

if TYPE_CHECKING:
    from unilth.paper_figures.stages import Outcome, Stage


@dataclass(frozen=True)
class Args:
    """Prove the theorems, check the mask rules and schedules, train a campaign of tickets on handwritten digits, draw
    the figures and write report.html and report.md. The same command again skips what is finished and goes on where
    it was.

    Exit codes: 0 all well; 1 a theorem, near miss, invariant or run does not hold (the report is written); 2 bad input.
    """

    out: Path = Path("out")
    """Folder for everything that is made."""

    quick: bool = False
    """Train the small campaign digits-quick instead of digits: under a minute, and settles nothing about accuracy."""

    workers: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Processes that prove or train at the same time; default one a core."""


def main(argv: list[str]) -> int:
    """Run ``unilth reproduce`` and return its exit code."""
    args = tyro.cli(Args, args=argv, prog="unilth reproduce", config=(tyro.conf.FlagCreatePairsOff,))
    if args.workers is not None and args.workers < 1:
        raise UserError(f"--workers is {args.workers}; give at least 1")
    if args.out.exists() and not args.out.is_dir():
        raise UserError(f"--out {str(args.out)!r} is not a folder; name a new or an existing folder")
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryFile(dir=args.out):
            pass
    except OSError as error:
        raise UserError(f"--out {str(args.out)!r} cannot be written ({error.strerror}); name another folder") from None

    from rich.console import Console
    from rich.markup import escape

    from unilth.paper_figures.stages import run_stages
    from unilth.sims.lock import locked

    console = Console(highlight=False, soft_wrap=True)
    work = Work(args.out, "digits-quick" if args.quick else "digits", args.workers or len(os.sched_getaffinity(0)))
    again = ["unilth", "reproduce", *(["--quick"] if args.quick else []), "--out", str(args.out)]
    facts = {"command": shlex.join(again), "campaign": work.campaign, "runs": work.runs.name, "workers": work.workers}
    with locked(args.out, name="the output folder"):
        good = run_stages(args.out, work.stages(), facts, lambda *event: say(console, *event))
    console.print(
        f"[bold]{'all well' if good else 'something does not hold'}[/]: {escape(str(args.out / 'report.html'))}"
    )
    return 0 if good else 1


def say(console: Any, stage: str, event: str, entry: dict[str, Any]) -> None:
    """One line for what happened to a stage."""
    from rich.markup import escape

    from unilth.paper_figures.report_read import seconds

    if event == "started":
        console.print(f"[bold]{stage}[/] ...")
        return
    what = escape("; ".join(str(entry[key]) for key in ("what", "problem") if entry.get(key)))
    colour = "green" if entry.get("status") == "done" else "bold red"
    took = "skipped, nothing changed" if event == "skipped" else seconds(entry.get("seconds"))
    console.print(f"[{colour}]{stage:<8}[/] {what} [dim]({took})[/]")


@dataclass(frozen=True)
class Work:
    """The five stages over one output folder."""

    out: Path
    campaign: str
    workers: int

    @property
    def runs(self) -> Path:
        """Each campaign has a folder of its own, so that a quick look does not mix with the real thing."""
        return self.out / ("runs" if self.campaign == "digits" else f"runs-{self.campaign.partition('-')[2]}")

    def stages(self) -> Sequence[Sequence[Stage]]:
        """Proving and checking run at the same time: the one fills what the other leaves of the processor."""
        from unilth.paper_figures.stages import Stage

        return (
            (
                Stage("prove", self.theory, self.prove, lambda: [self.out / "ledger.json"]),
                Stage("check", self.simulations, self.check, lambda: [self.out / "invariants.json"]),
            ),
            (Stage("sweep", self.training, self.sweep, complete=self.swept),),
            (Stage("figures", self.drawing, self.figures, self.drawn),),
            (Stage("report", self.telling, self.report, lambda: [self.out / "report.html", self.out / "report.md"]),),
        )

    def prove(self) -> Outcome:
        """Every theorem, near miss and claim, into ledger.json."""
        from unilth.paper_figures.stages import Outcome
        from unilth.theory.ledger import prove, write_json

        ledger = prove(workers=self.workers)
        write_json(ledger, self.out / "ledger.json")
        counts = ledger.counts
        what = (
            f"{counts['proved']} of {counts['theorems']} theorems proved, {counts['near_misses_rejected']} near misses "
            f"rejected, {counts['claims_confirmed']} of {counts['claims']} claims confirmed"
        )
        fine = ("proved", "supported")
        bad = [entry.id for entry in ledger.entries if entry.status not in fine or entry.near_miss != "rejected"]
        bad += [f"claim {row.claim.id}" for row in ledger.claims if not row.ok]
        return Outcome(what, "" if ledger.ok else f"these do not hold: {', '.join(bad)}")

    def check(self) -> Outcome:
        """Our rules and schedules against the invariants, and the broken twins, into invariants.json."""
        from unilth.paper_figures.stages import Outcome

        found = self.selfchecked()
        self.save("invariants.json", found)
        matrix = found["kill_matrix"]
        bad = [row["target"] for row in found["targets"] if not row["ok"]]
        bad += [name for name, ids in matrix["declared"].items() if sorted(matrix["killed"][name]) != sorted(ids)]
        what = f"{len(found['targets'])} targets checked, {len(matrix['declared'])} broken twins tried"
        return Outcome(what, "" if found["ok"] else f"not as they should be: {', '.join(bad)}")

    def selfchecked(self) -> dict[str, Any]:
        """The kit turned on itself, in a process of its own: this one only waits, and never imports torch."""
        # Hypothesis keeps a folder in the working directory, which is the user's, not ours.
        os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", os.path.join(tempfile.gettempdir(), "unilth-hypothesis"))
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            return pool.submit(selfcheck_here).result()

    def sweep(self) -> Outcome:
        """The campaign's runs; those that other code has made are moved out of the way first."""
        from unilth.commands.sweep import shown_progress
        from unilth.paper_figures.stages import Outcome
        from unilth.sims.campaign import load
        from unilth.sims.sweep import sweep

        mark, code = self.runs / "code.sha256", self.code()
        if mark.is_file() and mark.read_text(encoding="utf-8").strip() != code:
            self.runs.rename(free_name(self.runs))
        self.runs.mkdir(exist_ok=True)
        mark.write_text(code + "\n", encoding="utf-8")
        with shown_progress() as show:
            summary = sweep(load(self.campaign), self.runs, workers=self.workers, progress=show)
        failed = ", ".join(name for name, _ in summary.failed)
        finished = summary.skipped + summary.done
        what = f"{finished} of {summary.total} runs of {self.campaign} finished"
        return Outcome(what, "" if summary.ok else f"failed: {failed}")

    def swept(self) -> bool:
        from unilth.sims.campaign import load
        from unilth.sims.sweep import plan

        return self.runs.is_dir() and not plan(load(self.campaign), self.runs).left

    def figures(self) -> Outcome:
        """Every figure; one that cannot be drawn does not keep the others from it."""
        from unilth.paper_figures.gallery import FIGURES
        from unilth.paper_figures.provenance import write
        from unilth.paper_figures.stages import Outcome

        problems, wanted = [], [spec for spec in FIGURES if not spec.only_named]
        for spec in wanted:
            try:
                write(spec, self.out / "figures", self.runs)
            except UserError as error:
                problems.append(f"{spec.name}: {error}")
        return Outcome(f"{len(wanted) - len(problems)} of {len(wanted)} figures drawn", "; ".join(problems))

    def drawn(self) -> list[Path]:
        from unilth.paper_figures.gallery import FIGURES
        from unilth.paper_figures.provenance import SUFFIXES

        return [
            self.out / "figures" / f"{spec.name}{suffix}"
            for spec in FIGURES
            if not spec.only_named
            for suffix in SUFFIXES
        ]

    def report(self) -> Outcome:
        from unilth.paper_figures.report import write
        from unilth.paper_figures.stages import Outcome

        return Outcome(" and ".join(path.name for path in write(self.out)))

    def save(self, name: str, content: dict[str, Any]) -> None:
        """Write one JSON file whole or not at all."""
        partial = self.out / f".{name}.part"
        partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        partial.replace(self.out / name)

    def theory(self) -> str:
        """What the ledger depends on."""
        return self.digest("theory")

    def simulations(self) -> str:
        """What the outcome of the invariants depends on."""
        return self.digest("sims")

    def code(self) -> str:
        """What a training run depends on besides its spec."""
        return self.digest("sims", "invariants", "campaigns", "campaign.py", "sweep.py", "table.py", "statistics.py")

    def training(self) -> str:
        from unilth.paper_figures.manifest import digest_of
        from unilth.sims.campaign import load

        return digest_of(self.code(), load(self.campaign).text)

    def drawing(self) -> str:
        from unilth.paper_figures.manifest import digest_of
        from unilth.sims.campaign import load
        from unilth.sims.results import RECORD

        records = sorted(self.runs.glob(f"*/{RECORD}"))
        names = ",".join(path.parent.name for path in records)
        return digest_of(self.digest("paper_figures"), self.theory(), load(self.campaign).text, names, files=records)

    def telling(self) -> str:
        from unilth.paper_figures import manifest

        stages = manifest.read(self.out)["stages"]
        told = json.dumps({name: stages.get(name) for name in ("prove", "check", "sweep", "figures")}, sort_keys=True)
        return manifest.digest_of(self.digest("paper_figures"), told, self.campaign)

    def digest(self, package: str, *without: str) -> str:
        """One digest of a package's sources, of our version and of the libraries'."""
        import importlib

        from unilth.paper_figures.manifest import digest_of, sources, versions

        folder = Path(str(importlib.import_module(f"unilth.{package}").__file__)).parent
        return digest_of(__version__, json.dumps(versions()), files=sources(folder, without=without))


def selfcheck_here() -> dict[str, Any]:
    """Import and run the kit's check of itself."""
    from unilth.sims.invariants.selfcheck import selfcheck

    return selfcheck()


def free_name(folder: Path) -> Path:
    """A name beside the folder that nothing has yet."""
    number = 1
    while (aside := folder.with_name(f"{folder.name}-before-{number}")).exists():
        number += 1
    return aside
