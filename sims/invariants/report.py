"""What a check found: one row for each invariant, as objects, JSON, a terminal table or Markdown."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from unilth.sims.invariants.invariant import STATUSES, Case

INTERRUPTED = "interrupted before it was judged"
GOOD = ("passed", "expected", "not-applicable")
COLOURS = {
    "passed": "green", "violated": "bold red", "expected": "yellow", "unexpected-pass": "bold red",
    "not-applicable": "dim", "blocked": "yellow", "error": "bold red",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One invariant's outcome.

    Attributes:
        status: passed, violated, expected (an announced violation), unexpected-pass, not-applicable, blocked (something
            that it builds on does not hold) or error (the kit itself failed; not the target's fault).
        cases: how many cases were tried; ``seconds``: how long that took.
        got, expected, case, replay: of the smallest violating case; None where nothing is violated.
        note: why it does not apply, what blocks it, or the reason for the expected failure.
    """

    id: str
    statement: str
    status: str
    cases: int
    seconds: float
    got: str | None = None
    expected: str | None = None
    case: Case | None = None
    replay: str | None = None
    note: str | None = None
    why: str = ""
    theorem: str | None = None


@dataclass(frozen=True)
class Report:
    """The outcome of :func:`unilth.sims.invariants.check`."""

    target: str
    kind: str
    budget: str
    seed: int
    invariants: tuple[Row, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many invariants have each status; they add up to the invariants reported."""
        return {status: sum(row.status == status for row in self.invariants) for status in STATUSES}

    @property
    def ok(self) -> bool:
        """Whether nothing is violated, no expected failure passes, and the kit neither failed nor was stopped."""
        return not self.unjudged and all(row.status in GOOD for row in self.invariants if row.status != "blocked")

    @property
    def unjudged(self) -> int:
        """How many invariants an interruption (Ctrl-C) left; their status is blocked."""
        return sum(row.note == INTERRUPTED for row in self.invariants)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data, in the form of ``report.schema.json``."""
        return {
            "schema": 1,
            "target": self.target,
            "kind": self.kind,
            "ok": self.ok,
            "budget": self.budget,
            "seed": self.seed,
            "invariants": [asdict(row) for row in self.invariants],
            "counts": self.counts,
        }

    def to_json(self) -> str:
        """The report as JSON text."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """The report as a Markdown table, for an appendix."""
        lines = [
            f"`{self.target}` ({self.kind}): {self.summary()}",
            "",
            "| invariant | statement | status | cases |",
            "|---|---|---|---|",
        ]
        for row in self.invariants:
            status = row.status
            if status == "expected":
                status += f" ({row.note})".replace("|", "\\|")
            lines.append(f"| {row.id} | {row.statement} | {status} | {row.cases} |".replace("\n", " "))
        for row in self.violations:
            lines += ["", f"**{row.id}**: got {row.got}; expected {row.expected}.", "", f"    {row.replay}"]
        return "\n".join(lines) + "\n"

    @property
    def violations(self) -> tuple[Row, ...]:
        """The rows that make the report not ok."""
        return tuple(row for row in self.invariants if row.status in ("violated", "unexpected-pass", "error"))

    def summary(self) -> str:
        """The counts that are not zero, in words."""
        return ", ".join(f"{count} {status}" for status, count in self.counts.items() if count)

    def __str__(self) -> str:
        head = f"{self.target}: {'ok' if self.ok else 'NOT ok'} ({self.summary()})"
        return "\n".join(
            [
                head,
                *(f"  {row.id}: got {row.got}; expected {row.expected}\n    {row.replay}" for row in self.violations),
            ]
        )


def show(report: Report, console: Any) -> None:
    """Print the report on a rich console: the table, then each violation with its smallest case and replay line."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=escape(f"{report.target}  ({report.kind}, budget {report.budget}, seed {report.seed})"),
        title_justify="left",
    )
    for column, justify in (("invariant", "left"), ("status", "left"), ("cases", "right"), ("statement", "left")):
        table.add_column(column, justify=justify, no_wrap=column in ("invariant", "status"))  # type: ignore[arg-type]
    for row in report.invariants:
        status = f"[{COLOURS[row.status]}]{row.status}[/]"
        statement = escape(row.statement) + (f" [dim]({escape(row.note)})[/]" if row.note else "")
        table.add_row(row.id, status, str(row.cases), statement)
    console.print(table)
    for row in report.violations:
        console.print(f"\n[bold red]{row.status}[/] [bold]{row.id}[/]: {escape(row.statement)}", soft_wrap=True)
        lines = (
            ("got", row.got),
            ("expected", row.expected),
            ("case", row.case and json.dumps(row.case)),
            ("why", row.why),
        )
        for label, text in lines:
            if text:
                console.print(f"  {label:<9}{escape(text)}", soft_wrap=True, highlight=False)
        if row.replay:
            console.print(f"  replay   {escape(row.replay)}", soft_wrap=True, highlight=False)
    blocked = report.counts["blocked"] - report.unjudged
    if report.unjudged:
        console.print(f"\n[yellow]interrupted[/]: {report.unjudged} of {len(report.invariants)} were not judged")
    if blocked:
        console.print(f"\n[yellow]{blocked} blocked[/]: not judged, as what they need does not hold")
    console.print(f"\n{'[green]ok[/]' if report.ok else '[bold red]NOT ok[/]'}: {report.summary()}")
