"""The report's sections on accuracy and on figures, from the runs' records and the figures' folder."""

from __future__ import annotations

import shlex
from pathlib import Path

from unilth.errors import UserError
from unilth.paper_figures import accuracy
from unilth.paper_figures.gallery import FIGURES
from unilth.paper_figures.report_document import (
    OPEN,
    Block,
    Cell,
    Commands,
    Details,
    Grid,
    Headline,
    Paragraph,
    Picture,
    Section,
    cell,
    code,
)
from unilth.paper_figures.report_read import part, picture, words
from unilth.paper_figures.table import Table
from unilth.sims.campaign import load
from unilth.sims.records import read_record
from unilth.sims.table import Entry, compare

HEADING, BASELINE = "Accuracy", "l2"


def table_of(results: Path) -> Table | str:
    """The accuracy figure's own table, or the sentence that says why there is none."""
    if not results.is_dir():
        return "Not run."
    try:
        return accuracy.data(results)
    except UserError as error:
        return str(error)


def headlines(table: Table | str) -> list[Headline]:
    if isinstance(table, str):
        return [Headline("not run", "tickets", OPEN)]
    return [Headline(str(len(table.inputs)), "tickets trained on real data", OPEN if table.missing else "")]


def section(table: Table | str, results: Path, campaign: str) -> Section:
    """Mean accuracy and interval per recipe and sparsity, and the command of each run."""
    if isinstance(table, str):
        again = f"unilth sweep {shlex.quote(campaign)} --out {shlex.quote(results.name)}"
        return Section("accuracy", HEADING, (Paragraph(table, OPEN), Commands((again,))))
    blocks: list[Block] = [Paragraph(f"The claim under test: {claim_of(results, campaign)}")]
    if table.missing:
        blocks.append(Paragraph(f"Careful: {table.missing}.", OPEN))
    blocks.append(grid(table))
    blocks += against_baseline(results)
    again = f"unilth sweep {shlex.quote(campaign)} --out {shlex.quote(results.name)}"
    lines = tuple(find_line(read_record(path)["spec"], path.parent.name) for path, _ in table.inputs)
    blocks.append(
        Details(
            f"Run the campaign, or one of its {len(lines)} runs, again (in the folder of this report)",
            (Commands((again, *lines)),),
        )
    )
    return Section("accuracy", HEADING, tuple(blocks))


def claim_of(results: Path, campaign: str) -> str:
    """The claim in words that the sweep kept beside its runs."""
    try:
        return load(results / "campaigns" / f"{campaign}.toml").claim
    except UserError:
        return "not kept."


def grid(table: Table) -> Grid:
    """Recipes down, sparsities across; percent."""
    recipes = table.distinct("recipe")
    sparsities = sorted({float(str(value)) for value in table["sparsity"] if value})
    most = max(table.n.values())
    rows = []
    for recipe in recipes:
        cells = [cell(accuracy.title(str(recipe)), code(str(recipe)))]
        for sparsity in sparsities:
            # the dense network has no sparsity: it stands in every column as what the others are compared with
            found = table.where(recipe=recipe, sparsity=0.0 if recipe == accuracy.DENSE else sparsity)
            cells.append(cell(*interval(found, most)) if found.rows else cell("-"))
        rows.append(tuple(cells))
    return Grid(
        ("Recipe", *(f"{100 * sparsity:.3g}% pruned" for sparsity in sparsities)),
        tuple(rows),
        frozenset(range(1, len(sparsities) + 1)),
        f"Test accuracy in percent: mean ± half the 95% t-interval of the mean over {most} seeds, unless a cell says "
        "otherwise. The dense row is the same unpruned network in every column.",
    )


def interval(row: Table, most: int) -> tuple[str, ...]:
    if not row.numbers("n")[0]:
        return ("no runs",)
    mean, half, n = 100 * row.numbers("mean")[0], 100 * row.numbers("half")[0], int(row.numbers("n")[0])
    value = f"{mean:.1f} ± {half:.1f}" if half == half else f"{mean:.1f}"
    return (value,) if n == most else (value, f"n = {n}")


def against_baseline(results: Path) -> list[Block]:
    """Every recipe against L2 regularisation, the paper's rival, paired by seed; nothing where L2 was not run."""
    try:
        (comparison,) = compare(results, baseline=BASELINE)
    except UserError:
        return []
    pruned = [sparsity for sparsity in comparison.sparsities if sparsity > 0]
    rows = []
    for recipe in sorted(comparison.recipes, key=lambda name: [*accuracy.LOOKS, name].index(name)):
        if recipe not in (BASELINE, accuracy.DENSE):
            cells = (difference(comparison.entries.get((recipe, sparsity))) for sparsity in pruned)
            rows.append((cell(accuracy.title(recipe), code(recipe)), *cells))
    table = Grid(
        ("Recipe", *(f"{100 * sparsity:.3g}% pruned" for sparsity in pruned)),
        tuple(rows),
        frozenset(range(1, len(pruned) + 1)),
        f"Difference from “{accuracy.title(BASELINE)}” in percentage points, paired by seed: mean ± half the 95% "
        "t-interval, and the p-value after Holm's correction where it is below 1.",
    )
    return [table, *(Paragraph(f"Note: {note}.") for note in comparison.notes)]


def difference(entry: Entry | None) -> Cell:
    """One paired difference."""
    if entry is None or entry.difference is None or entry.difference.mean is None:
        return cell("-")
    half = "" if entry.difference.half is None else f" ± {100 * entry.difference.half:.1f}"
    p = "" if entry.adjusted is None or entry.adjusted == 1 else f"p = {entry.adjusted:.2g}"
    return cell(f"{100 * entry.difference.mean:+.1f}{half}".replace("-", "−"), p)


def find_line(spec: dict, name: str) -> str:
    """The command that trains one run's ticket again, every setting spelt out."""
    options = [
        f"--{key.replace('_', '-')} {shlex.quote(words(value))}"
        for key, value in sorted(spec.items())
        if value is not None and key != "recipe"
    ]
    return " ".join([f"unilth find {shlex.quote(spec['recipe'])}", *options, "--out", shlex.quote(name)])


def figures(folder: Path, where: str) -> Section:
    """The gallery; a figure that was not drawn is named."""
    blocks: list[Block] = []
    lines = []
    for spec in FIGURES:
        described = part(folder / f"{spec.name}.json")
        png = picture(folder / f"{spec.name}.png")
        if png is None or described.content is None:
            blocks.append(Paragraph(f"{spec.title}: not drawn.", OPEN))
            continue
        missing = words(described.content.get("missing"))
        caption = words(described.content.get("caption")) + (f" Careful: {missing}." if missing else "")
        links = tuple((kind, f"{where}/{spec.name}.{kind}") for kind in ("pdf", "csv", "json"))
        blocks.append(Picture(spec.title, caption, png, f"{where}/{spec.name}.png", links))
        lines.append(words(described.content.get("command")))
    if lines:
        blocks.append(Details(f"Draw one again (in the folder {where})", (Commands(tuple(lines)),)))
    return Section("figures", "Figures", tuple(blocks))
