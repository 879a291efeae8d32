"""A comparison as text: cells, Markdown, LaTeX and CSV.

Names, devices and versions come from records and campaigns, and so from anywhere: nothing in them is left to act.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable

from unilth.printable import printable
from unilth.sims.table import Comparison, Entry, counted, is_share

ABSENT = "–"  # not part of the campaign; a missing run is "0 of 5" instead
COLUMNS = (
    "network", "data", "metric", "recipe", "sparsity", "n", "expected", "mean", "deviation", "half_interval",
    "baseline", "pairs", "difference", "difference_half_interval", "p", "p_holm",
)  # fmt: skip

MARKDOWN = {character: f"\\{character}" for character in "\\`*_[<"}
MARKDOWN_CELL = MARKDOWN | {"|": r"\|"}
LATEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$", "–": "--",
}  # fmt: skip
LATEX_NUMBER = LATEX | {"-": "$-$"}  # a hyphen is no minus


def shown(value: float, metric: str, *, sign: bool = False) -> str:
    """A number of this metric: two decimals of a percentage, else four digits."""
    if is_share(metric):
        return f"{100 * value:{'+' if sign else ''}.2f}"
    return f"{value:{'+' if sign else ''}.4g}"


def cell_text(entry: Entry | None, metric: str) -> str:
    """``97.22 ± 0.85``; ``(3 of 5)`` behind it where runs are missing, ``0 of 5`` where all are."""
    if entry is None:
        return ABSENT
    cell = entry.cell
    count = f"{cell.n} of {entry.expected}" if entry.expected is not None else f"n = {cell.n}"
    if cell.mean is None:
        return count
    text = shown(cell.mean, metric) + (f" ± {shown(cell.half, metric)}" if cell.half is not None else "")
    return text if entry.expected == cell.n and cell.n > 1 else f"{text} ({count})"


def difference_text(entry: Entry | None, metric: str) -> str:
    """``+0.42 ± 0.31, p 0.06``: mean difference, half its 95% interval, the corrected p-value."""
    if entry is None or entry.difference is None:
        return ABSENT
    difference = entry.difference
    if difference.mean is None:
        return "0 pairs"
    text = shown(difference.mean, metric, sign=True)
    text += f" ± {shown(difference.half, metric)}" if difference.half is not None else ""
    text = f"{text}, p {entry.adjusted:.2g}" if entry.adjusted is not None else text
    whole = entry.cell.n if entry.expected is None else entry.expected
    return text if difference.n == whole else f"{text} ({counted(difference.n, 'pair')})"


def title(comparison: Comparison) -> str:
    """What the numbers are."""
    unit = ", %" if is_share(comparison.metric) else ""
    counts = {entry.cell.n for entry in comparison.entries.values()}
    whole = all(entry.expected == entry.cell.n for entry in comparison.entries.values())
    n = f"; n = {counted(counts.pop(), 'seed')} in every cell" if len(counts) == 1 and whole else ""
    return (
        f"{comparison.network} on {comparison.data}: {comparison.metric}{unit}, "
        f"mean ± half the 95% interval over seeds{n}"
    )


def difference_title(comparison: Comparison) -> str:
    """What the differences are."""
    unit = " in percentage points" if is_share(comparison.metric) else ""
    return f"Difference to {comparison.baseline}{unit}, paired by seed, ± half the 95% interval, corrected p"


def grids(comparison: Comparison) -> list[tuple[str, list[list[str]]]]:
    """The tables of a comparison, each a title and rows of printable texts, the first row the head.

    Without anything that is compared with the baseline there is no table of differences; a note says so.
    """
    made = [(title(comparison), _grid(comparison, cell_text, comparison.entries))]
    compared = [place for place, entry in comparison.entries.items() if entry.difference is not None]
    if compared:
        made.append((difference_title(comparison), _grid(comparison, difference_text, compared)))
    return [(printable(caption), [[printable(text) for text in row] for row in rows]) for caption, rows in made]


def notes(comparison: Comparison) -> list[str]:
    """The notes, each printable on one line."""
    return [printable(note) for note in comparison.notes]


def _grid(
    comparison: Comparison, text: Callable[[Entry | None, str], str], places: Iterable[tuple[str, float]]
) -> list[list[str]]:
    """Head and rows, with the recipes and sparsities that ``places`` have."""
    there = set(places)
    recipes = [recipe for recipe in comparison.recipes if any(place[0] == recipe for place in there)]
    sparsities = [sparsity for sparsity in comparison.sparsities if any(place[1] == sparsity for place in there)]
    rows = [
        [recipe, *(text(comparison.entries.get((recipe, sparsity)), comparison.metric) for sparsity in sparsities)]
        for recipe in recipes
    ]
    return [["recipe", *map(_shortest, sparsities)], *rows]


def _shortest(sparsity: float) -> str:
    """As few digits as tell it from every other number."""
    short = f"{sparsity:g}"
    return short if float(short) == sparsity else repr(sparsity)


def markdown(comparisons: Iterable[Comparison]) -> str:
    """The tables with their notes in GitHub's Markdown."""
    parts = []
    for comparison in comparisons:
        for caption, (head, *rows) in grids(comparison):
            lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
            cells = [[_quiet(text, MARKDOWN_CELL) for text in line] for line in lines]
            caption = _quiet(caption, MARKDOWN)
            parts.append("\n".join([f"{caption}\n", *(f"| {' | '.join(line)} |" for line in cells)]))
        parts += [f"- {_quiet(note, MARKDOWN)}" for note in notes(comparison)]
    return "\n\n".join(parts) + "\n"


def latex(comparisons: Iterable[Comparison]) -> str:
    """The tables as LaTeX table environments (package booktabs)."""
    parts = []
    for comparison in comparisons:
        for caption, (head, *rows) in grids(comparison):
            top, *body = [
                " & ".join([_quiet(name, LATEX), *(_quiet(text, LATEX_NUMBER) for text in cells)]) + r" \\"
                for name, *cells in (head, *rows)
            ]
            parts.append(
                "\n".join(
                    [
                        r"\begin{table}", r"\centering", rf"\caption{{{_quiet(caption, LATEX)}}}",
                        rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}", r"\toprule",
                        top, r"\midrule", *body, r"\bottomrule", r"\end{tabular}", r"\end{table}",
                    ]
                )
            )  # fmt: skip
        parts += [f"% {note}" for note in notes(comparison)]
    return "\n".join(parts) + "\n"


def comma_separated(comparisons: Iterable[Comparison]) -> str:
    """Every number, unrounded, one line per cell; what is not known is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for comparison in comparisons:
        for (recipe, sparsity), entry in comparison.entries.items():
            cell, difference = entry.cell, entry.difference
            numbers = [cell.n, entry.expected, cell.mean, cell.deviation, cell.half, comparison.baseline]
            if difference is not None:
                numbers += [difference.n, difference.mean, difference.half, difference.p, entry.adjusted]
            else:
                numbers += [None] * 5
            writer.writerow(
                [
                    printable(value) if isinstance(value, str) else value
                    for value in (comparison.network, comparison.data, comparison.metric, recipe, sparsity, *numbers)
                ]
            )
    return out.getvalue()


def _quiet(text: str, escapes: dict[str, str]) -> str:
    return "".join(escapes.get(character, character) for character in text)
