"""The theorems as Markdown: one theorem, a chapter per section, and the contents with constants and claims.

Statements stand in GitHub's fenced maths: between dollar signs GitHub's Markdown would eat the backslash of `\\,` and
`\\{` and read underscores as emphasis. A page depends on the theorems and on their records only, never on times.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unilth.theory.claims import CLAIMS, Claim
from unilth.theory.constants import NAMED
from unilth.theory.evidence import Level, Theorem
from unilth.theory.ledger import STATUSES, write_text
from unilth.theory.record import Record
from unilth.theory.sections import SECTIONS, Section, number
from unilth.theory.theorems import THEOREMS

Records = Mapping[str, Record]
Link = Callable[[Theorem], str]
SPECIAL = re.compile(r"([\\`*_\[\]<>$|~#])")


def prose(text: str) -> str:
    """Plain text with what Markdown would take for markup escaped, on one line."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def maths(latex: str) -> list[str]:
    return ["```math", latex, "```"]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table of cells that are Markdown already."""
    lines = ["| " + " | ".join(heads) + " |", "| " + " | ".join("---" for _ in heads) + " |"]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows)]


def constant(name: str, value: str, pair: tuple[str, str] | None) -> str:
    """One constant as claimed and, where it has one, its certified bracket."""
    bracket = f", certified in [{pair[0]}, {pair[1]}]" if pair else ""
    return f"- `{name}` = {value}{bracket}"


def theorem_in_full(theorem: Theorem, record: Record, link: Link) -> list[str]:
    """One theorem: statement, assumptions, source, bound, proof, evidence, constants, near miss, dependencies."""
    by_id = {other.id: other for other in THEOREMS}
    lines = [f'<a id="{theorem.id}"></a>', "", f"## {theorem.catalogue}. {prose(theorem.title)}", ""]
    lines += [*maths(theorem.statement), ""]
    if theorem.assumptions:
        lines += ["**Assumptions.**", ""]
        lines += [*(f"- *{name}*: {prose(text)}" for name, text in theorem.assumptions.items()), ""]
    else:
        lines += ["**Assumptions.** None beyond the setting.", ""]
    lines += [
        f"**Source.** {_sentence(prose(theorem.source))}. **Bound:** {theorem.bound}. "
        f"**Status:** {record.status}, {record.level}.",
        "",
        f"**Proof.** {prose(theorem.proof)}",
        "",
    ]
    if theorem.depends_on:
        names = (by_id[name] for name in theorem.depends_on)
        lines += ["**Uses** " + ", ".join(f"[{t.catalogue} {t.id}]({link(t)})" for t in names) + ".", ""]
    lines += ["**Evidence.**", ""]
    lines += [f"- *{p.level}*, {p.verdict}: {prose(p.what)}. Covers: {prose(p.scope)}" for p in record.evidence]
    brackets = {**dict.fromkeys(theorem.constants), **record.constants}
    if brackets:
        lines += ["", "**Constants.**", ""]
        for name, pair in brackets.items():
            if name in theorem.constants:
                lines.append(constant(name, theorem.constants[name], pair))
            elif pair is not None:
                lines.append(f"- `{name}`, certified in [{pair[0]}, {pair[1]}]")
    because = f" Refuted: {prose(record.refuted)}." if record.refuted else ""
    lines += ["", f"**Near miss.** {_sentence(prose(str(theorem.near_miss)))}: {record.near_miss}.{because}", ""]
    lines += [f"**Not empty.** An instance that meets every assumption: {prose(record.witness)}."]
    lines += [*(f"\n**Problem.** {prose(reason)}" for reason in record.reasons), ""]
    return lines


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def claim_in_full(claim: Claim, link: Link) -> list[str]:
    """One claim: precise form, verdict, theorems, and the witness that anybody can run."""
    used = [theorem for theorem in THEOREMS if theorem.catalogue in claim.theorems]
    names = ", ".join(f"[{t.catalogue} {t.id}]({link(t)})" for t in used) or "none: outside of what they speak about"
    lines = [f"#### {prose(claim.id)}: {claim.verdict}", "", f"{prose(claim.form)} Theorems: {names}.", ""]
    return [*lines, "```python", claim.witness, "```", ""]


def link_from(page: str) -> Link:
    """Links to theorems from a page (a section's file name, or "" for the contents)."""
    files = {section.number: section.page for section in SECTIONS}

    def link(theorem: Theorem) -> str:
        target = files[number(theorem)]
        return f"#{theorem.id}" if target == page else f"{target}#{theorem.id}"

    return link


def chapter(section: Section, records: Records, figures: Sequence[str]) -> str:
    """The page of one section; `figures` are the names of the figures that are there."""
    link = link_from(section.page)
    theorems = section.of(THEOREMS)
    lines = [f"# {section.number}. {section.title}", "", section.introduction, ""]
    if section.figure in figures:
        lines += [
            f'<img src="figures/{section.figure}.png" width="520" alt="{section.caption}">',
            "",
            f"*{prose(section.caption)}*",
            "",
        ]
    rows = [
        (f"[{t.catalogue}]({link(t)})", prose(t.title), records[t.id].status, records[t.id].level) for t in theorems
    ]
    lines += [*table(("", "theorem", "status", "level"), rows), ""]
    for theorem in theorems:
        lines += theorem_in_full(theorem, records[theorem.id], link)
    around = [other for other in SECTIONS if abs(other.number - section.number) == 1]
    lines += ["---", "", " · ".join(["[Contents](README.md)", *(f"[{s.number}. {s.title}]({s.page})" for s in around)])]
    return "\n".join(lines) + "\n"


READING = """Every theorem of these pages is a module of `theory/theorems/` that a machine checks: `unilth prove`
runs all of them, `unilth prove T7.5` shows one. The pages are written by `unilth prove --docs
docs/theory` from the theorems and from what their checks found (`ledger.json`); a test compares them
with the code.

A theorem is **proved** if everything that it claims was shown *symbolically* (SymPy or exact
rationals), *certified* (balls that cover the whole domain, with elementary tails) or *exhaustively*
(every element of a stated finite set), and so were the theorems that it uses; the level is that of the
weakest piece. It is **supported** if something is only *simulated*. Every theorem has a near miss, a
statement that is slightly false; a check that does not refute it proves nothing and fails. A bound is
*tight* if it is attained or approached. "Not found in the literature" means just that. The checks are
of the mathematics as written in the modules; the short proofs are for people and are what the checks
follow, step by step, where a step is more than algebra in the reader's head."""

NOTATION = r"""Quadratic loss $`L(w)=\tfrac12(w-w^*)'H(w-w^*)`$ with eigenvalues $`\lambda_i`$ in $`[\mu,L]`$,
$`\kappa=L/\mu`$. Least squares: $`S=X'X/n`$ with eigenvalues $`s_i`$, signal $`b_i=\beta_i^2`$, noise
$`v_i=\sigma^2/(ns_i)`$, $`\mathrm{SNR}_i=b_i/v_i`$. GD: gradient descent; GF or ES: gradient flow
stopped at time $`t`$; ridge(a): penalty $`\tfrac a2\|w-w_0\|^2`$. A mask $`m`$ keeps weights and $`c`$
is its complement, $`P`$ the
projection on $`c`$; $`H/H_{mm}`$ is the Schur complement,
$`B=H_{mm}^{-1}H_{mc}`$. In proofs, w\* is the minimiser, x' a transpose (or a derivative, where x is a
function of time), \|x\| a norm."""


def contents(records: Records) -> str:
    """README.md: the sections with their counts, the constants, and the claims of the paper."""
    link = link_from("")
    every = [records[theorem.id] for theorem in THEOREMS]
    statuses = ", ".join(f"{sum(r.status == status for r in every)} {status}" for status in STATUSES)
    lines = [
        "# The theory",
        "",
        READING,
        "",
        NOTATION,
        "",
        "## Sections",
        "",
        f"{len(every)} theorems: {statuses}.",
        "",
    ]
    rows = []
    for section in SECTIONS:
        of = [records[theorem.id] for theorem in section.of(THEOREMS)]
        counts = [str(sum(r.level == level.value for r in of) or "") for level in Level]
        rows.append((f"[{section.number}. {section.title}]({section.page})", str(len(of)), *counts))
    total = [str(sum(r.level == level.value for r in every)) for level in Level]
    lines += table(
        ("section", "theorems", *(level.value for level in Level)), [*rows, ("all", str(len(every)), *total)]
    )
    lines += ["", "## Constants", "", "Certified brackets by the theorem that proves them (MP alone is simulated).", ""]
    by_id = {theorem.id: theorem for theorem in THEOREMS}
    lines += table(
        ("constant", "what it is", "lower", "upper", "theorem"),
        [
            (named.name, f"$`{named.meaning}`$".replace("|", r"\vert "), *records[named.theorem].constants[named.key],
             f"[{by_id[named.theorem].catalogue}]({link(by_id[named.theorem])})")
            for named in NAMED
        ],
    )  # fmt: skip
    lines += ["", "## The paper's claims", ""]
    lines += [
        "Each claim of the abstract, taken apart into precise forms. *Holds if*: under the condition that the form",
        "names. *Fails*: the form is false, and the witness shows it. *Open*: no theorem here speaks about it. Every",
        "witness runs after `import numpy as np` and ends with `shown` true.",
        "",
    ]
    anchors = {claim.id: f"{claim.id}-{claim.verdict.replace(' ', '-')}" for claim in CLAIMS}
    lines += table(
        ("claim", "verdict", "theorems"),
        [(f"[{c.id}](#{anchors[c.id]})", c.verdict, " ".join(c.theorems) or "none") for c in CLAIMS],
    )
    last = ""
    for claim in CLAIMS:
        if claim.claim != last:
            last = claim.claim
            lines += ["", f"### “{prose(last)}”", ""]
        lines += claim_in_full(claim, link)
    return "\n".join(lines).rstrip() + "\n"


def pages(records: Records, figures: Sequence[str] = ()) -> dict[str, str]:
    """Every page by file name."""
    return {"README.md": contents(records)} | {s.page: chapter(s, records, figures) for s in SECTIONS}


def ledger_json(records: Records) -> dict[str, Any]:
    """The records as JSON, schema 1."""
    return {"schema": 1, "theorems": {name: record.to_json() for name, record in records.items()}}


def write(folder: Path, records: Records) -> list[str]:
    """Write all pages and `ledger.json`; figures that are in `figures/` are shown. Returns the names of the missing."""
    wanted = [section.figure for section in SECTIONS if section.figure]
    there = [name for name in wanted if (folder / "figures" / f"{name}.png").is_file()]
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages(records, there).items():
        write_text(folder / name, text)
    write_text(folder / "ledger.json", json.dumps(ledger_json(records), indent=1, ensure_ascii=False) + "\n")
    return [name for name in wanted if name not in there]
