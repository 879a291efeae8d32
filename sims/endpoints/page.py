"""The page of verdicts, Markdown, from records and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unilth.sims.endpoints.verdicts import on_networks, verdicts

WANTED = (("lenet-300-100", "digits"), ("conv-small", "digits"), ("resnet20", "cifar10"))
LEAD = """# End points: where the closed forms hold

Written from the records in `results/endpoints` by `unilth endpoints --page docs/endpoints.md --out results/endpoints`;
every verdict follows from recorded numbers by the rule beside it. Brackets are 95% intervals over seeds or splits.
The ladder uses the square loss on one-hot targets, so that its exact rungs are quadratics; batch norm is in evaluation
mode. The predictions of section 7 use the cross-entropy and SGD with momentum.

Not measured: distances between the end points of UniLTH, DLTH, LTH and the regularised baselines.
"""


def page(records: Sequence[dict[str, Any]]) -> str:
    """One section per network and data that is wanted or recorded; what has no record says "not measured"."""
    by_name = {(record["plan"]["network"], record["plan"]["data"]): record for record in records}
    parts = [LEAD]
    for network, data in dict.fromkeys((*WANTED, *by_name)):
        parts.append(f"## {network} on {data}\n")
        record = by_name.get((network, data))
        parts.append("Not measured.\n" if record is None else section(record))
    parts.append("## What this says about the claims\n")
    rows = on_networks(records)
    lines = ["| claim | on networks |", "| --- | --- |", *(f"| `{name}` | {'; '.join(rows[name])} |" for name in rows)]
    parts.append("\n".join(lines) + "\n" if rows else "Not measured.\n")
    return "\n".join(parts)


def section(record: dict[str, Any]) -> str:
    """The plan, the errors of every rung, the curvature and the verdicts of one record."""
    plan = record["plan"]
    lines = [
        f"Measured with {plan['seeds']} seeds, {plan['splits']} splits and the first {plan['examples']} training "
        f"examples on the ladder, in {record['timing']['cpu_seconds']:.0f} s of processor time.\n",
        "| rung | parameters | stopping | ridge around the start, 1/t | 0.579/t | ridge around 0, 1/t |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in record["ladder"]:
        cells = [worst(row, "stopped", "", 0.0)]
        cells += [worst(row, "ridge", "start", c) for c in (1.0, 0.5789)]
        cells.append(worst(row, "ridge", "zero", 1.0))
        lines.append(f"| {row['rung']} | {row['parameters']} | {' | '.join(cells)} |")
    lines.append("\nWorst error over stopping times, shares of the way along the eigenvectors at the start.\n")
    lines += ["| curvature, square loss | top eigenvalue | trace ± standard error |", "| --- | ---: | ---: |"]
    for name, found in record["curvature"].items():
        error = f"{found['trace']:.3g} ± {found['trace_error']:.2g}"
        lines.append(f"| {name.replace('_', '-')} | {found['top'][0]:.4g} | {error} |")
    for one in verdicts(record):
        effects = "; ".join(map(str, one.effects))
        lines.append(f"\n### {one.id}\n\n{one.prediction}\n\n{effects}.\n\n**{one.verdict}** ({one.rule}).")
    return "\n".join(lines) + "\n"


def worst(row: dict[str, Any], rule: str, centre: str, c: float) -> str:
    """The largest error of one column, or a dash."""
    errors = [
        end["start"]["error"]
        for end in row["rows"]
        if end["rule"] == rule and end["centre"] == centre and abs(end["calibration"] - c) < 1e-3
    ]
    return f"{max(errors):.2g}" if errors else "the same"
