"""The ledger for people: tables for the terminal, Markdown and HTML. The JSON is the ledger's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from rich.console import Group, RenderableType
from rich.markup import escape as plain
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from unilth.theory import pages
from unilth.theory.evidence import Evidence, Theorem
from unilth.theory.ledger import Entry, Ledger
from unilth.theory.record import MARKS, record

COLOURS = {"proved": "green", "supported": "yellow", "undecided": "magenta", "failed": "bold red"}


def brackets(constants: Mapping[str, tuple[str, str]]) -> str:
    """`K in [1.68, 1.69]`, one per name."""
    return ", ".join(f"{name} in [{lower}, {upper}]" for name, (lower, upper) in constants.items())


def overview(ledger: Ledger) -> RenderableType:
    """One line per theorem and per claim, then the counts."""
    table = Table(title="Theorems", title_justify="left")
    for column in ("", "title", "status", "level", "near miss", "s"):
        table.add_column(column, justify="right" if column == "s" else "left", no_wrap=column != "title")
    for entry in ledger.entries:
        status = Text(entry.status, style=COLOURS[entry.status])
        table.add_row(entry.catalogue, entry.title, status, entry.level.value, entry.near_miss, f"{entry.seconds:.2f}")
    parts: list[RenderableType] = [table]
    if ledger.claims:
        claims = Table(title="Claims of the paper", title_justify="left")
        for column in ("claim", "precise form", "verdict", "theorems", "recomputed"):
            claims.add_column(column)
        for row in ledger.claims:
            c = row.claim
            ok = Text("yes", style="green") if row.ok else Text("no", style="bold red")
            claims.add_row(plain(c.claim), plain(c.form), c.verdict, " ".join(c.theorems), ok)
        parts.append(claims)
    for entry in ledger.entries:
        parts += [Text(f"{entry.catalogue} {entry.id}: {reason}", style="red") for reason in entry.reasons]
    parts.append(Text(summary(ledger)))
    return Group(*parts)


def summary(ledger: Ledger) -> str:
    """The counts in two sentences."""
    counts = ledger.counts
    levels = ", ".join(f"{count} {level}" for level, count in counts["levels"].items() if count)
    statuses = ", ".join(f"{counts[status]} {status}" for status in COLOURS)
    rejected = counts["near_misses_rejected"]
    return (
        f"{counts['theorems']} theorems: {statuses} ({levels}); near misses rejected: {rejected}, "
        f"claims confirmed: {counts['claims_confirmed']} of {counts['claims']}; {ledger.seconds:.1f} s"
    )


def rechecked(ledger: Ledger) -> RenderableType:
    """One line per theorem whose certificates were verified."""
    table = Table(title="Certificates", title_justify="left")
    for column in ("", "title", "certificates", "verdict", "s"):
        table.add_column(column)
    for entry in ledger.entries:
        table.add_row(
            entry.catalogue, entry.title, str(len(entry.certificate.entries)),
            Text(entry.status, style=COLOURS[entry.status]), f"{entry.seconds:.2f}",
        )  # fmt: skip
    reasons = [
        Text(f"{entry.catalogue} {entry.id}: {reason}", style="red")
        for entry in ledger.entries
        for reason in entry.reasons
    ]
    return Group(table, *reasons)


def _lines(theorem: Theorem, entry: Entry) -> list[tuple[str, str]]:
    """Everything about one theorem as heading and text, in the fixed order."""
    assumptions = "\n".join(f"({name}) {text}" for name, text in theorem.assumptions.items()) or "none"
    rows = [
        ("Statement", theorem.statement),
        ("Assumptions", assumptions),
        ("Source", theorem.source),
        ("Bound", theorem.bound),
        ("Proof", theorem.proof),
    ]
    if theorem.depends_on:
        rows.append(("Depends on", ", ".join(theorem.depends_on)))
    rows += [("Evidence", "\n".join(_evidence(part) for part in entry.evidence) or "none")]
    if entry.constants:
        rows.append(("Constants", "\n".join(f"{n} in [{a}, {b}]" for n, (a, b) in entry.constants.items())))
    refuted = [part for part in entry.near_miss_evidence if part.holds is False]
    because = f": {refuted[0].what}: {refuted[0].detail or refuted[0].scope}" if refuted else ""
    rows += [
        ("Near miss", f"{theorem.near_miss}: {entry.near_miss}{because}"),
        ("Witness", entry.witness),
        ("Status", f"{entry.status}, {entry.level.value}" + "".join(f"\n{reason}" for reason in entry.reasons)),
        ("Time", f"{entry.seconds:.2f} s"),
    ]
    return rows


def _evidence(part: Evidence) -> str:
    detail = f" ({part.detail})" if part.detail else ""
    return f"[{part.level.value}] {part.what}: {MARKS[part.holds]}; {part.scope}{detail}"


def in_full(theorem: Theorem, entry: Entry) -> RenderableType:
    """One theorem in full."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for heading, text in [("Theorem", theorem.title), *_lines(theorem, entry)]:
        table.add_row(heading, Text(text))
    return Panel(table, title=f"{plain(theorem.catalogue)}  {plain(theorem.id)}", title_align="left")


def markdown(ledger: Ledger, theorems: Sequence[Theorem]) -> str:
    """The ledger as one Markdown page: a table, the claims, then every theorem in full."""

    def link(theorem: Theorem) -> str:
        return f"#{theorem.id}"

    rows = [(e.catalogue, pages.prose(e.title), e.status, e.level.value, e.near_miss) for e in ledger.entries]
    lines = ["# Theorems", "", summary(ledger), ""]
    lines += pages.table(("", "title", "status", "level", "near miss"), rows)
    if ledger.claims:
        lines += ["", "# Claims", ""]
        claims = [
            (pages.prose(r.claim.claim), pages.prose(r.claim.form), r.claim.verdict, " ".join(r.claim.theorems),
             "yes" if r.ok else "no")
            for r in ledger.claims
        ]  # fmt: skip
        lines += [*pages.table(("claim", "precise form", "verdict", "theorems", "recomputed"), claims), ""]
        for row in ledger.claims:
            lines += pages.claim_in_full(row.claim, link)
    by_id = {theorem.id: theorem for theorem in theorems}
    for entry in ledger.entries:
        lines += ["", *pages.theorem_in_full(by_id[entry.id], record(entry), link)]
    return "\n".join(lines).rstrip() + "\n"


def html(ledger: Ledger, theorems: Sequence[Theorem]) -> str:
    """The ledger as one page without scripts; statements stay LaTeX source."""
    by_id = {theorem.id: theorem for theorem in theorems}
    rows = "".join(
        f"<tr><td><a href='#{escape(e.id)}'>{escape(e.catalogue)}</a><td>{escape(e.title)}<td>{e.status}"
        f"<td>{e.level.value}<td>{e.near_miss}"
        for e in ledger.entries
    )
    claims = "".join(
        f"<tr><td>{escape(r.claim.claim)}<td>{escape(r.claim.form)}<td>{r.claim.verdict}"
        f"<td>{escape(' '.join(r.claim.theorems))}<td><pre>{escape(r.claim.witness)}</pre>"
        for r in ledger.claims
    )
    sections = "".join(
        f"<h2 id='{escape(e.id)}'>{escape(e.catalogue)}: {escape(e.title)}</h2><dl>"
        + "".join(f"<dt>{h}<dd><pre>{escape(t)}</pre>" for h, t in _lines(by_id[e.id], e))
        + "</dl>"
        for e in ledger.entries
    )
    style = (
        ":root{color-scheme:light dark}"
        "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:auto;padding:1rem}"
        "pre{white-space:pre-wrap;margin:0}td,th{padding:.2rem .6rem;text-align:left;vertical-align:top}"
        "dt{font-weight:600}.wide{overflow-x:auto}"
    )
    heads = "<tr><th><th>title<th>status<th>level<th>near miss"
    claim_heads = "<tr><th>claim<th>precise form<th>verdict<th>theorems<th>witness"
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>Theorems</title><style>{style}</style><h1>Theorems</h1><p>{escape(summary(ledger))}"
        f"<div class='wide'><table>{heads}{rows}</table></div><h1>Claims</h1>"
        f"<div class='wide'><table>{claim_heads}{claims}</table></div>{sections}</html>\n"
    )
