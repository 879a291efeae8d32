"""The accuracy table: means and intervals over seeds, what is missing said aloud, what cannot be compared refused."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from unilth.errors import UserError
from unilth.paper_figures import accuracy
from unilth.paper_figures.gallery import choose
from unilth.paper_figures.provenance import render
from unilth.paper_figures.style import COLUMN, FAINT, style
from unilth.sims.campaign import load
from unilth.sims.recorded import keep, opened
from unilth.sims.zoo import ZOO

MakeRuns = Callable[..., Path]


def test_means_and_intervals_are_the_textbook_ones(make_runs: MakeRuns) -> None:
    table = accuracy.data(make_runs())
    row = table.where(recipe="unilth", sparsity=0.9)
    values = [0.9 + 0.01 * seed - 0.09 + 0.02 for seed in range(3)]
    mean = sum(values) / 3
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / 2)
    assert row.numbers("mean")[0] == pytest.approx(mean)
    assert row.numbers("half")[0] == pytest.approx(4.302652729911275 * deviation / math.sqrt(3))  # t(2), 97.5%
    assert row["n"] == (3,) and table.missing == ""
    assert table.n["unilth at sparsity 0.9"] == 3 and table.n["dense at sparsity 0"] == 3


def test_missing_seeds_are_named_in_the_table_and_drawn_in_the_figure(make_runs: MakeRuns) -> None:
    results = make_runs(skip=lambda spec: spec.recipe == "lth" and spec.sparsity == 0.9 and spec.seed > 0)
    table = accuracy.data(results)
    assert table.missing == "LTH at 90%: 1 of 3 seeds"
    assert table.where(recipe="lth", sparsity=0.9)["half"] == (None,)  # no interval from one run
    shown = [text.get_text() for text in accuracy.draw(table).texts]
    assert table.missing in shown
    whole = accuracy.draw(accuracy.data(make_runs("whole")))
    assert not any("seeds" in text.get_text() and "of" in text.get_text() for text in whole.texts)


def test_a_cell_without_any_run_is_a_row_without_a_mean(make_runs: MakeRuns) -> None:
    table = accuracy.data(make_runs(skip=lambda spec: spec.recipe == "lth"))
    assert table.where(recipe="lth", sparsity=0.5)["mean"] == (None,)
    assert "LTH at 50%: 0 of 3 seeds" in table.missing
    assert accuracy.draw(table).axes[0].get_ylim()[0] > 70  # as if that cell were not there


def test_a_damaged_record_is_refused_not_averaged(make_runs: MakeRuns) -> None:
    results = make_runs()
    next(results.glob("unilth-*s0.9-seed1-*/record.json")).write_text("{}")
    with pytest.raises(UserError, match="run the sweep again"):
        accuracy.data(results)


def test_a_run_without_a_number_is_damaged(make_runs: MakeRuns) -> None:
    results = make_runs(accuracy=lambda spec: None if spec.recipe == "unilth" and spec.seed == 1 else 0.9)
    with pytest.raises(UserError, match=r"test\.accuracy of a wrong type; run the sweep again"):
        accuracy.data(results)


def test_many_missing_cells_are_counted_not_listed(make_runs: MakeRuns) -> None:
    missing = accuracy.data(make_runs(skip=lambda spec: spec.seed == 2)).missing
    assert missing.count("of 3 seeds") == 3 and missing.endswith("and 2 more cells with missing seeds")


def test_runs_of_different_budgets_are_drawn_with_a_warning(make_runs: MakeRuns, campaign_text: str) -> None:
    campaign = campaign_text.replace("epochs = 2", "epochs = 2\n[run.lth]\nepochs = 4")
    table = accuracy.data(make_runs(campaign=campaign))
    assert table.missing == "unequal epochs: 2, 4"
    assert table.missing in [text.get_text() for text in accuracy.draw(table).texts]


def test_two_networks_do_not_share_a_figure(make_runs: MakeRuns, campaign_text: str) -> None:
    campaign = campaign_text.replace("[run]", 'networks = ["lenet-300-100", "conv-small"]\n[run]')
    with pytest.raises(UserError, match="lenet-300-100 on digits, conv-small on digits"):
        accuracy.data(make_runs(campaign=campaign))


def test_no_sweep_and_no_run_are_refused_with_a_remedy(make_runs: MakeRuns, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unilth sweep"):
        accuracy.data(tmp_path / "nothing")
    with pytest.raises(UserError, match="no finished run"):
        accuracy.data(make_runs("empty", skip=lambda spec: True))


def test_repeated_runs_that_took_another_time_give_the_same_bytes(make_runs: MakeRuns, tmp_path: Path) -> None:
    (spec,) = choose(("accuracy",))
    first = render(spec, tmp_path / "a" / "figures", make_runs("a/runs", seconds=1.0))
    second = render(spec, tmp_path / "b" / "figures", make_runs("b/runs", seconds=7.0))
    assert first == second
    other = render(spec, tmp_path / "c" / "figures", make_runs("c/runs", accuracy=lambda spec: 0.5 + 0.01 * spec.seed))
    assert other[".csv"] != first[".csv"] and other[".json"] != first[".json"]


def test_records_kept_for_good_are_drawn_and_named_as_inputs(make_runs: MakeRuns, tmp_path: Path) -> None:
    (spec,) = choose(("accuracy",))

    def kept(name: str, **given: object) -> dict[str, bytes]:
        folder = tmp_path / name / "kept"
        keep(opened(make_runs(f"{name}/runs", **given)), folder)
        return render(spec, tmp_path / name / "figures", folder)

    files = kept("a", seconds=1.0)
    assert kept("b", seconds=7.0)[".json"] == files[".json"], "times do not count"
    inputs = [row for row in json.loads(files[".json"])["inputs"] if "record" in row]
    assert [row["record"] for row in inputs] == ["../kept/records.jsonl.gz"]
    loss = kept("c", accuracy=lambda spec: 0.5 + 0.01 * spec.seed)[".json"]
    other = [row for row in json.loads(loss)["inputs"] if "record" in row]
    assert other[0]["sha256_without_timing"] != inputs[0]["sha256_without_timing"]
    assert files[".csv"] == render(spec, tmp_path / "a" / "figures", tmp_path / "a" / "runs")[".csv"]


def test_an_unequal_budget_of_kept_records_is_said(make_runs: MakeRuns, campaign_text: str, tmp_path: Path) -> None:
    campaign = campaign_text.replace("epochs = 2", "epochs = 2\n[run.lth]\nepochs = 4")
    keep(opened(make_runs(campaign=campaign)), tmp_path / "kept")
    assert accuracy.data(tmp_path / "kept").missing == "unequal epochs: 2, 4"


def test_title_and_figure_say_what_was_trained_on_what(make_runs: MakeRuns, campaign_text: str, tmp_path: Path) -> None:
    (spec,) = choose(("accuracy",))
    campaign = campaign_text.replace("[run]", 'networks = ["conv-small"]\ndata = ["mnist"]\n[run]')
    results = make_runs(campaign=campaign)
    files = render(spec, tmp_path / "figures", results)
    assert json.loads(files[".json"])["title"] == "Test accuracy against sparsity: conv-small on mnist"
    assert b"conv-small on mnist" in files[".png"] and b"conv-small on mnist" in files[".pdf"]  # their titles
    assert "conv-small on mnist" in accuracy.draw(accuracy.data(results)).get_supxlabel()


def test_the_axis_goes_no_higher_than_it_has_to(make_runs: MakeRuns) -> None:
    low = accuracy.draw(accuracy.data(make_runs("low", accuracy=lambda spec: 0.80 + 0.001 * spec.seed)))
    high = accuracy.draw(accuracy.data(make_runs("high", accuracy=lambda spec: 0.998 + 0.0005 * spec.seed)))
    assert 80.4 < low.axes[0].get_ylim()[1] < 85 and 100 < high.axes[0].get_ylim()[1] <= 100.4


@pytest.mark.parametrize("level", [0.001, 0.05, 0.3, 0.62, 0.843, 0.871, 0.96, 0.9985])
@pytest.mark.parametrize("spread", [0.0, 0.0005, 0.01, 0.04])
def test_wherever_the_accuracies_lie_the_axis_names_three_and_is_filled(
    make_runs: MakeRuns, level: float, spread: float
) -> None:
    results = make_runs(accuracy=lambda spec: min(1.0, level + spread * (spec.seed + spec.sparsity)))
    table = accuracy.data(results)
    axes = accuracy.draw(table).axes[0]
    bottom, top = axes.get_ylim()
    named = [float(label.get_text()) for label in axes.get_yticklabels()]
    assert [tick for tick in named if bottom <= tick <= top] == named and len(named) >= 3
    mean, half = 100 * table.numbers("mean"), 100 * table.numbers("half")
    low, high = max(0.0, (mean - half).min()), min(100.0, (mean + half).max())
    assert 0 <= bottom <= low < high + 1e-9 and high <= top
    drawn = accuracy.stretched(np.array([bottom, low, high, top]))
    assert drawn[1] - drawn[0] < 0.2 * (drawn[3] - drawn[0]) or low - bottom < 1, "an empty half below"


def test_runs_without_an_accuracy_are_said_where_no_campaign_tells(make_runs: MakeRuns) -> None:
    results = make_runs(skip=lambda spec: spec.recipe == "unilth")
    for path in results.glob("lth-*seed1*/record.json"):
        record = json.loads(path.read_text())
        del record["test"]
        path.write_text(json.dumps(record))
    shutil.rmtree(results / "campaigns")
    assert accuracy.data(results).missing == "2 runs without a test accuracy"


def test_the_dense_network_alone_is_no_figure(make_runs: MakeRuns, campaign_text: str) -> None:
    text = re.sub(r"recipes = \[.*?\]", 'recipes = ["dense"]', campaign_text)
    with pytest.raises(UserError, match="of the dense network only"):
        accuracy.data(make_runs(campaign=text))


def test_a_part_of_the_data_is_said(make_runs: MakeRuns, campaign_text: str) -> None:
    table = accuracy.data(make_runs(campaign=campaign_text + "examples = 10_000\n"))
    assert table.about == "lenet-300-100 on 10,000 examples of digits"


def test_long_texts_are_wrapped_and_a_dollar_is_a_dollar(make_runs: MakeRuns, tmp_path: Path) -> None:
    table = accuracy.data(make_runs(skip=lambda spec: spec.seed == 2))
    odd = dataclasses.replace(table, about="a$b_{$.py:Net/" + "long/" * 20)
    with style():
        figure = accuracy.draw(odd)
        figure.savefig(tmp_path / "a.png")
    assert max(map(len, "\n".join((figure.get_suptitle(), figure.get_supxlabel())).splitlines())) <= accuracy.LETTERS
    assert "a$b_{$.py" in figure.get_supxlabel() and " ".join(figure.get_suptitle().split()) == table.missing


def test_the_axis_holds_every_interval(make_runs: MakeRuns) -> None:
    table = accuracy.data(make_runs(accuracy=lambda spec: (0.6, 0.7, 0.62)[spec.seed]))
    low, high = accuracy.draw(table).axes[0].get_ylim()
    mean, half = 100 * table.numbers("mean"), 100 * table.numbers("half")
    assert low < (mean - half).min() < 52 and high > (mean + half).max() > 76


def test_up_to_eight_recipes_are_two_in_a_row(make_runs: MakeRuns, campaign_text: str) -> None:
    names = [row.name for row in ZOO if row.name != "dense"]
    for count, columns in ((8, 2), (9, 4)):
        text = re.sub(r"recipes = \[.*?\]", f"recipes = {json.dumps(names[:count])}", campaign_text, flags=re.S)
        figure = accuracy.draw(accuracy.data(make_runs(str(count), campaign=text)))
        assert figure.get_figwidth() == pytest.approx(COLUMN * columns / 2)


def test_one_sparsity_is_a_point_in_every_panel(make_runs: MakeRuns, campaign_text: str) -> None:
    text = re.sub(r"sparsities = \[.*?\]", "sparsities = [0.9]", campaign_text)
    one, several = (accuracy.draw(accuracy.data(make_runs(name, campaign=given)))
                    for name, given in (("one", text), ("several", campaign_text)))  # fmt: skip

    def grey(figure: Figure) -> set[object]:
        return {line.get_marker() for line in figure.axes[0].lines if line.get_color() == FAINT}

    assert grey(one) == {"o"} and "o" not in grey(several)


def test_every_recipe_of_the_campaign_has_its_own_look_and_every_other_one_its_name() -> None:
    looks = [accuracy.LOOKS[recipe][1:] for recipe in {spec.recipe for spec in load("digits").specs}]
    assert len(set(looks)) == len(looks) == 7
    assert all(accuracy.title(row.name) for row in ZOO)


def test_the_figure_takes_the_whole_zoo(make_runs: MakeRuns, campaign_text: str) -> None:
    names = [row.name for row in ZOO]
    listed = ", ".join(f'"{name}"' for name in names)
    text = re.sub(r"recipes = \[.*?\]", f"recipes = [{listed}]", campaign_text, flags=re.S)
    figure = accuracy.draw(accuracy.data(make_runs(campaign=text)))
    shown = {axes.get_title(loc=side) for axes in figure.axes for side in ("left", "center")}
    assert {accuracy.title(name) for name in names if name != "dense"} <= shown
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert len(panels) == len(names) - 1 and figure.get_figwidth() == pytest.approx(2 * COLUMN)
    labelled = [bool(axes.xaxis.get_tick_params()["labelbottom"]) for axes in panels]
    assert labelled == [False] * (len(panels) - 4) + [True] * 4  # the last in each of four columns


def test_a_recipes_own_setting_is_no_unequal_budget(make_runs: MakeRuns, campaign_text: str) -> None:
    table = accuracy.data(make_runs(campaign=campaign_text + "[run.unilth]\npatience = 3\n"))
    assert table.missing == ""


def test_the_stretched_axis_can_be_read_backwards() -> None:
    percent = np.array([0.0, 60.0, 97.5, 100.0])
    assert accuracy.unstretched(accuracy.stretched(percent)) == pytest.approx(percent)
    assert (np.diff(accuracy.stretched(percent)) > 0).all()
