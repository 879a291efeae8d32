"""``unilth reproduce``: prove, check, train, draw and report, small, on real data; what is finished is skipped."""

from __future__ import annotations

import json
import multiprocessing
import os
import shlex
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from unilth import __version__
from unilth.errors import UserError

if TYPE_CHECKING:
    from unilth.paper_figures.stages import Outcome, Stage
    from unilth.sims.endpoints.plan import Plan

# what decides neither a training run nor a measurement
AROUND = ("invariants", "campaigns", "campaign.py", "sweep.py", "table.py", "statistics.py")


@dataclass(frozen=True)
class Args:
    """Prove the theorems, check the mask rules and schedules, train a campaign of tickets on handwritten digits,
    measure how far the closed forms hold on a network, draw the figures and write report.html and report.md. The same
    command again skips what is finished and goes on where it was.

    Exit codes: 0 all well; 1 a theorem, near miss, invariant or run does not hold (the report is written); 2 bad input.
    """

    out: Path = Path("out")
    """Folder for everything that is made."""

    quick: bool = False
    """Train the small campaign digits-quick instead of digits and measure end points with very little of everything:
    a minute or two on two cores, and settles nothing about networks."""

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

    from rich.markup import escape

    from unilth.console import Console
    from unilth.paper_figures.stages import run_stages
    from unilth.sims.lock import locked

    console = Console(highlight=False, soft_wrap=True, emoji=False)
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
    console.print(f"[{colour}]{stage:<9}[/] {what} [dim]({took})[/]")


@dataclass(frozen=True)
class Work:
    """The six stages over one output folder."""

    out: Path
    campaign: str
    workers: int

    @property
    def runs(self) -> Path:
        """Each campaign has a folder of its own, so that a quick look does not mix with the real thing."""
        return self.out / ("runs" if self.campaign == "digits" else f"runs-{self.campaign.partition('-')[2]}")

    @property
    def records(self) -> Path:
        """Where the records of end points go: beside the runs, by the same rule."""
        return self.runs.with_name(self.runs.name.replace("runs", "endpoints", 1))

    def stages(self) -> Sequence[Sequence[Stage]]:
        """Proving and checking run at the same time: the one fills what the other leaves of the processor."""
        from unilth.paper_figures.stages import Stage

        return (
            (
                Stage("prove", self.theory, self.prove, lambda: [self.out / "ledger.json"]),
                Stage("check", self.simulations, self.check, lambda: [self.out / "invariants.json"]),
            ),
            (Stage("sweep", self.training, self.sweep, complete=self.swept),),
            (Stage("endpoints", self.measuring, self.endpoints, self.measured),),
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
            summary = sweep(load(self.campaign), self.runs, workers=self.workers, progress=show, say=show.say)
        failed = ", ".join(name for name, _ in summary.failed)
        finished = summary.skipped + summary.done
        what = f"{finished} of {summary.total} runs of {self.campaign} finished"
        return Outcome(what, "" if summary.ok else f"failed: {failed}")

    def swept(self) -> bool:
        from unilth.sims.campaign import load
        from unilth.sims.sweep import plan

        return self.runs.is_dir() and not plan(load(self.campaign), self.runs).left

    def endpoints(self) -> Outcome:
        """The ladder of models up to a network on digits, section 7 and the distances; parts finished are kept."""
        from unilth.commands.endpoints import shown_parts
        from unilth.paper_figures.stages import Outcome
        from unilth.sims.endpoints.records import write
        from unilth.sims.endpoints.run import study
        from unilth.sims.endpoints.verdicts import verdicts

        keep = self.records.with_name(f".{self.records.name}")
        with shown_parts() as tell:
            record = study(self.plan(), None, tell, self.workers, keep)
        write(record, self.records)
        shutil.rmtree(keep)
        judged = verdicts(record)
        counts = sorted(Counter(one.verdict for one in judged).items())
        what = ", ".join(f"{count} {verdict}" for verdict, count in counts)
        off = [one.id for row, one in zip(record["ladder"], judged, strict=False) if misses(row, one.verdict)]
        problem = f"the theory is exact on these rungs and they are off: {', '.join(off)}" if off else ""
        return Outcome(f"{len(judged)} predictions on a network: {what}", problem)

    def plan(self) -> Plan:
        from unilth.sims.endpoints.plan import QUICK, Plan

        return Plan() if self.campaign == "digits" else QUICK

    def measured(self) -> list[Path]:
        from unilth.sims.endpoints.records import file_name

        return [self.records / file_name(self.plan().network, self.plan().data)]

    def figures(self) -> Outcome:
        """Every figure; one that cannot be drawn does not keep the others from it."""
        from unilth.paper_figures.gallery import FIGURES
        from unilth.paper_figures.provenance import write
        from unilth.paper_figures.stages import Outcome

        problems = []
        for spec in FIGURES:
            try:
                write(spec, self.out / "figures", self.runs)
            except UserError as error:
                problems.append(f"{spec.name}: {error}")
        return Outcome(f"{len(FIGURES) - len(problems)} of {len(FIGURES)} figures drawn", "; ".join(problems))

    def drawn(self) -> list[Path]:
        from unilth.paper_figures.gallery import FIGURES
        from unilth.paper_figures.provenance import SUFFIXES

        return [self.out / "figures" / f"{spec.name}{suffix}" for spec in FIGURES for suffix in SUFFIXES]

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
        return self.digest("sims", "endpoints", *AROUND)

    def measuring(self) -> str:
        """What a record of end points depends on; not on how it is judged, which is done anew whenever it is read."""
        from unilth.paper_figures.manifest import digest_of

        judging = ("effects.py", "nearest.py", "page.py", "verdicts.py")
        code = self.digest("sims", *judging, *AROUND)
        return digest_of(code, self.theory(), json.dumps(asdict(self.plan())))

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
        code = self.digest("paper_figures"), self.digest("sims.endpoints")
        files = [*records, *sorted(self.records.glob("*.json"))]
        return digest_of(*code, self.theory(), load(self.campaign).text, names, files=files)

    def telling(self) -> str:
        from unilth.paper_figures import manifest
        from unilth.paper_figures.report import STAGES

        stages = manifest.read(self.out)["stages"]
        told = json.dumps({name: stages.get(name) for name in STAGES}, sort_keys=True)
        return manifest.digest_of(self.digest("paper_figures"), self.digest("sims.endpoints"), told, self.campaign)

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


def misses(row: dict[str, Any], verdict: str) -> bool:
    """Whether a rung on which theory is exact does not confirm it: then the code is wrong, not a network different."""
    return bool(row["exact"]) and verdict != "confirmed"


def free_name(folder: Path) -> Path:
    """A name beside the folder that nothing has yet."""
    number = 1
    while (aside := folder.with_name(f"{folder.name}-before-{number}")).exists():
        number += 1
    return aside
