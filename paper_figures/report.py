"""The report of a reproduction: report.html and its Markdown twin, from nothing but the files in the folder."""

from __future__ import annotations

import re
from pathlib import Path

from unilth import __version__
from unilth.paper_figures import manifest, report_endpoints, report_kit, report_runs, report_theory
from unilth.paper_figures.report_document import BAD, GOOD, OPEN, Block, Commands, Document, Grid, Section, Text, cell
from unilth.paper_figures.report_html import html
from unilth.paper_figures.report_markdown import markdown
from unilth.paper_figures.report_read import Part, mapping, part, seconds, words
from unilth.sims.endpoints.verdicts import on_networks

STAGES = ("prove", "check", "sweep", "endpoints", "figures")
LEAD = (
    "The claims of “A Unified View of Finding and Transforming Winning Lottery Tickets”, settled on this machine: "
    "theorems proved by tests that can fail, mask rules and penalty schedules checked against invariants, tickets "
    "trained on real data, figures drawn from what is recorded here."
)


def write(out: Path) -> tuple[Path, Path]:
    """Write report.html and report.md into `out` from the JSON files, runs and figures there."""
    document = compose(out)
    paths = out / "report.html", out / "report.md"
    for path, text in zip(paths, (html(document), markdown(document)), strict=True):
        partial = path.with_name(f".{path.name}.part")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    return paths


def compose(out: Path) -> Document:
    """The document; a part that is absent is said to be not run."""
    ledger, kit, made = part(out / "ledger.json"), part(out / "invariants.json"), part(out / manifest.NAME)
    content = made.content or {}
    named = words(content.get("runs"))
    results = out / (named if re.fullmatch(r"runs[a-z-]*", named) else "runs")  # never a path out of this folder
    table = report_runs.table_of(results)
    headlines = (*report_theory.headlines(ledger), *report_kit.headlines(kit), *report_runs.headlines(table))
    return Document(
        "unilth: what was reproduced",
        LEAD,
        (
            ran(made),
            report_theory.theorems(ledger),
            report_theory.claims(ledger, networks(out / "endpoints")),
            report_kit.section(kit),
            report_runs.section(table, results, words(content.get("campaign"), "digits")),
            report_endpoints.section(out / results.name.replace("runs", "endpoints", 1)),
            report_runs.figures(out / "figures", "figures"),
        ),
        f"Written by unilth {__version__} from the files beside this report. It needs no network.",
        headlines,
    )


def networks(folder: Path) -> dict[str, list[str]]:
    """Verdicts on networks by claim from the records of end points in the folder; none where one cannot be used."""
    records = report_endpoints.records_in(folder)
    return {} if isinstance(records, str) else on_networks(records)


def ran(made: Part) -> Section:
    """What was run, where, with which versions, and how long each stage took."""
    if made.content is None:
        return report_theory.absent("run", "What was run", made, "unilth reproduce")
    stages = mapping(made.content.get("stages"))
    rows = []
    for name in STAGES:
        entry = mapping(stages.get(name))
        status = words(entry.get("status"), "not run")
        tone = {"done": GOOD, "failed": BAD}.get(status, OPEN)
        rows.append(
            (
                cell(name, words(entry.get("what")), Text(words(entry.get("problem")), BAD)),
                cell(Text(status, tone)),
                cell(seconds(entry.get("seconds"))),
                cell(*(half.replace("Z", " UTC") for half in words(entry.get("finished")).split("T"))),
            )
        )
    machine, versions = mapping(made.content.get("machine")), mapping(made.content.get("versions"))
    facts = [(cell(name), cell(words(machine[name]))) for name in sorted(machine)]
    facts.append((cell("versions"), cell(", ".join(f"{name} {words(versions[name])}" for name in sorted(versions)))))
    blocks: list[Block] = [
        Grid(("Stage", "Result", "Time", "Finished"), tuple(rows), frozenset({2, 3})),
        Grid(("Where", ""), tuple(facts)),
        Commands((words(made.content.get("command"), "unilth reproduce"),)),
    ]
    return Section("run", "What was run", tuple(blocks))
