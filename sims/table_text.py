"""A comparison as text: cells, Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable

from unilth.sims.table import Comparison, Entry, is_share

ABSENT = "–"  # not part of the campaign; a missing run is "0 of 5" instead
COLUMNS = (
    "network", "data", "metric", "recipe", "sparsity", "n", "expected", "mean", "deviation", "half_interval",
    "baseline", "pairs", "difference", "difference_half_interval", "p", "p_holm",
)  # fmt: skip


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
    return text if difference.n == whole else f"{text} ({difference.n} pair{'s' if difference.n > 1 else ''})"


def title(comparison: Comparison) -> str:
    """What the numbers are."""
    unit = ", %" if is_share(comparison.metric) else ""
    counts = {entry.cell.n for entry in comparison.entries.values()}
    whole = all(entry.expected == entry.cell.n for entry in comparison.entries.values())
    n = f"; n = {counts.pop()} seeds in every cell" if len(counts) == 1 and whole else ""
    return (
        f"{comparison.network} on {comparison.data}: {comparison.metric}{unit}, "
        f"mean ± half the 95% interval over seeds{n}"
    )


def difference_title(comparison: Comparison) -> str:
    """What the differences are."""
    unit = " in percentage points" if is_share(comparison.metric) else ""
    return f"Difference to {comparison.baseline}{unit}, paired by seed, ± half the 95% interval, corrected p"


def grids(comparison: Comparison) -> list[tuple[str, list[list[str]]]]:
    """The tables of a comparison, each a title and rows of texts, the first row the head."""
    made = [(title(comparison), _grid(comparison, cell_text, comparison.entries))]
    if comparison.baseline is not None:
        compared = [place for place, entry in comparison.entries.items() if entry.difference is not None]
        made.append((difference_title(comparison), _grid(comparison, difference_text, compared)))
    return made


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
            cells = [[text.replace("|", "\\|") for text in line] for line in lines]
            parts.append("\n".join([f"{caption}\n", *(f"| {' | '.join(line)} |" for line in cells)]))
        parts += [f"- {note}" for note in comparison.notes]
    return "\n\n".join(parts) + "\n"


def latex(comparisons: Iterable[Comparison]) -> str:
    """The tables as LaTeX table environments (package booktabs)."""
    parts = []
    for comparison in comparisons:
        for caption, (head, *rows) in grids(comparison):
            body = [" & ".join(map(_escape, line)) + r" \\" for line in rows]
            parts.append(
                "\n".join(
                    [
                        r"\begin{table}", r"\centering", rf"\caption{{{_escape(caption)}}}",
                        rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}", r"\toprule",
                        " & ".join(map(_escape, head)) + r" \\", r"\midrule", *body, r"\bottomrule",
                        r"\end{tabular}", r"\end{table}",
                    ]
                )
            )  # fmt: skip
        parts += [f"% {note}" for note in comparison.notes]
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
            writer.writerow([comparison.network, comparison.data, comparison.metric, recipe, sparsity, *numbers])
    return out.getvalue()


def _escape(text: str) -> str:
    text = re.sub(r"([&%$#_{}])", r"\\\1", text)
    return text.replace("±", r"$\pm$").replace("–", "--")
