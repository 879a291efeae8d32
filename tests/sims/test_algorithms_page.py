"""docs/algorithms.md: the rows, options and numbers that it names are those of the code."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from unilth.cli import main
from unilth.sims import zoo
from unilth.sims.find import EXAMPLES, Budget

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "algorithms.md").read_text()


def recipe(name: str):
    return zoo.row(name).recipe


def test_it_names_rows_and_options_that_exist(capsys) -> None:
    rows = re.findall(r"^\| ((?:`[\w-]+`(?:, )?)+)", PAGE.split("## Single methods")[1], re.M)
    named = {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}
    assert named <= set(zoo.NAMES) and len(named) >= 14
    with contextlib.suppress(SystemExit):
        main(["find", "--help"])
    options = set(re.findall(r"--[a-z][\w-]*", PAGE))
    assert options and options <= set(re.findall(r"--[a-z][\w-]*", capsys.readouterr().out))


def test_its_numbers_are_the_codes() -> None:
    budget = Budget()
    assert (
        f"(`--tune`, {budget.tune})" in PAGE and f"rate ({budget.lr})" in PAGE and f"momentum {budget.momentum}" in PAGE
    )
    assert f"{EXAMPLES} training examples" in PAGE and f"step k, which is {recipe('lth-step').rewind.step}" in PAGE
    unilth = recipe("unilth")
    assert (unilth.stop.patience, unilth.penalty.power, unilth.penalty.ceiling, unilth.rounds.number) == (5, 2, 1, 5)
    assert (unilth.mask.scope, unilth.rewind.to) == ("layer", "rate")
    assert round(100 * 0.1 ** (1 / recipe("lth").rounds.number)) == 63 and "37% a round at 0.9" in PAGE
    decayed = {name for name in zoo.NAMES if recipe(name).weight_decay}
    assert decayed == {"l2", "greg-1", "greg-2", "dlth", "dlth-iter", "dlth-iter-code"}
