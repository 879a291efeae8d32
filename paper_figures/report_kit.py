"""The report's section on the conformance kit, from invariants.json: our targets and the broken twins."""

from __future__ import annotations

import shlex

from unilth.paper_figures.report_document import (
    BAD,
    GOOD,
    OPEN,
    Block,
    Commands,
    Details,
    Grid,
    Headline,
    Paragraph,
    Section,
    Text,
    cell,
    code,
)
from unilth.paper_figures.report_read import Part, mapping, objects, seconds, words
from unilth.paper_figures.report_theory import absent, as_list

TITLE = "Invariants"
HIDDEN = ("passed", "not-applicable")  # statuses that have a column of their own


def headlines(kit: Part) -> list[Headline]:
    """How many invariants hold for our targets, how many broken twins are caught."""
    targets, twins = kit.rows("targets"), caught(kit)
    if not targets:
        return [Headline("not run", "invariants", OPEN)]
    checked = [row for target in targets for row in objects(target.get("invariants"))]
    passed = sum(row.get("status") == "passed" for row in checked)
    bad = sum(target.get("ok") is not True for target in targets)
    found = [Headline(f"{passed}", f"invariants hold on {len(targets)} targets", BAD if bad else GOOD)]
    if twins:
        killed = sum(right for right, _ in twins.values())
        found.append(
            Headline(f"{killed} of {len(twins)}", "broken twins caught", GOOD if killed == len(twins) else BAD)
        )
    return found


def caught(kit: Part) -> dict[str, tuple[bool, list[str]]]:
    """Per twin: whether exactly the declared invariants caught it, and which did."""
    matrix = mapping(kit.content.get("kill_matrix") if kit.content else None)
    killed, declared = mapping(matrix.get("killed")), mapping(matrix.get("declared"))
    found = {}
    for name in declared:
        ids = sorted(words(one) for one in as_list(killed.get(name)))
        found[name] = (bool(ids) and ids == sorted(words(one) for one in as_list(declared[name])), ids)
    return found


def section(kit: Part) -> Section:
    """Targets by status, what is violated with its smallest case, the kill matrix, and the replay lines."""
    targets = kit.rows("targets")
    if not targets:
        return absent("invariants", TITLE, kit, "unilth reproduce")
    rows = []
    blocks: list[Block] = []
    for target in targets:
        counts = mapping(target.get("counts"))
        other = ", ".join(f"{n} {status}" for status, n in counts.items() if n and status not in HIDDEN)
        checked = objects(target.get("invariants"))
        rows.append(
            (
                cell(code(words(target.get("target")).rpartition(":")[2]), words(target.get("kind")).replace("_", " ")),
                cell(Text("all hold", GOOD) if target.get("ok") is True else Text("does not hold", BAD)),
                cell(words(counts.get("passed"))),
                cell(other or "0"),
                cell(words(counts.get("not-applicable"))),
                cell(words(total(checked, "cases"))),
                cell(seconds(total(checked, "seconds"))),
            )
        )
    head = ("Target", "Verdict", "Passed", "Other", "Not claimed", "Cases", "Time")
    blocks.append(Grid(head, tuple(rows), frozenset({2, 3, 4, 5, 6})))
    blocks += [block for target in targets for block in violations(target)]
    twins = caught(kit)
    if twins:
        blocks.append(Details(f"The kill matrix: {len(twins)} broken twins", (matrix(kit, twins),)))
    each = tuple(Details(words(target.get("target")), (Commands(replay(target)),)) for target in targets)
    blocks.append(Details("Run one check again", each))
    return Section("invariants", TITLE, tuple(blocks))


def total(rows: list[dict], key: str) -> float:
    """The sum of a column; what is no number counts as 0."""
    return sum(row[key] for row in rows if isinstance(row.get(key), int | float))


def violations(target: dict) -> list[Block]:
    """What does not hold: expected, got, the line that shows it again."""
    found: list[Block] = []
    for row in objects(target.get("invariants")):
        if row.get("status") in ("violated", "unexpected-pass", "error"):
            found.append(
                Paragraph(
                    f"{words(target.get('target'))}, {words(row.get('id'))} ({words(row.get('status'))}): "
                    f"{words(row.get('statement'))} Expected {words(row.get('expected'), '-')}; got "
                    f"{words(row.get('got'), '-')}.",
                    BAD,
                )
            )
            found.append(Commands((words(row.get("replay")),)))
    return found


def matrix(kit: Part, twins: dict[str, tuple[bool, list[str]]]) -> Grid:
    """One row per broken twin: its mistake and what caught it."""
    listed = objects(mapping(kit.content.get("kill_matrix") if kit.content else None).get("twins"))
    mistakes = {words(twin.get("name")): words(twin.get("mistake")) for twin in listed}
    rows = []
    for name, (right, ids) in twins.items():
        verdict = Text("caught", GOOD) if right else Text("caught by others than declared" if ids else "escaped", BAD)
        rows.append((cell(code(name), mistakes.get(name, "")), cell(verdict), cell(*(code(one) for one in ids))))
    return Grid(("Broken twin", "Verdict", "By"), tuple(rows))


def replay(target: dict) -> tuple[str, ...]:
    """One line per invariant that was checked."""
    options = f"--seed {words(target.get('seed'), '0')} --budget {words(target.get('budget'), 'quick')}"
    return tuple(
        f"unilth check {shlex.quote(words(target.get('target')))} {options} --only {shlex.quote(words(row.get('id')))}"
        for row in objects(target.get("invariants"))
        if row.get("status") != "not-applicable"
    )
