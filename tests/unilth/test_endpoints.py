"""The page of end points and the committed records agree; bad input is refused; verdicts can go either way."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from unilth import cli
from unilth.errors import UserError
from unilth.paper_figures import distances, endpoints
from unilth.sims.endpoints.effects import CONFIRMED, CONTRADICTED, UNDECIDED
from unilth.sims.endpoints.nearest import TITLES, nearest
from unilth.sims.endpoints.page import page
from unilth.sims.endpoints.plan import Plan
from unilth.sims.endpoints.records import file_name, read, write
from unilth.sims.endpoints.verdicts import forgetting, on_networks, peak, rival, verdicts
from unilth.theory.claims import CLAIMS

ROOT = Path(__file__).parents[2]
RECORDS = read(ROOT / "results" / "endpoints")


def test_the_page_is_what_the_records_say(tmp_path: Path) -> None:
    committed = (ROOT / "docs" / "endpoints.md").read_text(encoding="utf-8")
    assert committed == page(RECORDS)
    out = tmp_path / "page.md"
    assert cli.main(["endpoints", "--out", str(ROOT / "results" / "endpoints"), "--page", str(out)]) == 0
    assert out.read_text(encoding="utf-8") == committed
    changed = copy.deepcopy(RECORDS)
    for seed in changed[0]["section7"]:
        seed["masks"]["losses"][-1] *= 2
    assert page(changed) != committed
    assert "## resnet20 on cifar10\n\nNot measured." in page(RECORDS[:2])


def test_a_written_record_is_read_back_and_others_are_refused(tmp_path: Path) -> None:
    write(RECORDS[0], tmp_path)
    assert read(tmp_path) == RECORDS[:1]
    assert file_name("../own/net.py:Net", "digits") == "own-net.py-Net-digits.json"
    (tmp_path / "other.json").write_text('{"schema": 1}')
    with pytest.raises(UserError, match="not a record of end points"):
        read(tmp_path)


def test_every_claim_of_the_column_exists_and_has_a_verdict() -> None:
    column = on_networks(RECORDS)
    assert column and set(column) <= {claim.id for claim in CLAIMS}
    assert on_networks([]) == {}
    few = copy.deepcopy(RECORDS[0])
    few["plan"]["part"] = 1500
    assert "(conv-small on 1,500 examples of digits)" in on_networks([few])["extrusion"][0]


@pytest.mark.parametrize(
    ("left", "expected"),
    [((0.5, 0.01), CONFIRMED), ((0.5, 0.4), "confirmed in part"), ((0.1, 0.9), CONTRADICTED), ((0.5, 0.5), UNDECIDED)],
)
def test_forgetting_is_judged_by_its_rule(left: tuple[float, float], expected: str) -> None:
    seeds = [
        [{"apart": share * wobble**k, "start_apart": 1.0} for k, share in enumerate(left)]
        for wobble in (0.99, 1.0, 1.01)
    ]
    assert forgetting(seeds).verdict == expected


def ramps(peak: float, end: float) -> list[dict[str, Any]]:
    """Four seeds in which a ramp has so many times the peak and the end of pruning at once."""
    return [
        {"instant": {"peak": 1.0, "end": 1.0}, "x": {"peak": peak * wobble, "end": end * wobble}}
        for wobble in (0.99, 0.997, 1.003, 1.01)
    ]


@pytest.mark.parametrize(
    ("peak_ratio", "end_ratio", "expected"),
    [
        (0.5, 1.5, CONFIRMED),
        (0.5, 1.0, CONFIRMED),  # within 5%
        (0.5, 0.95, "confirmed in part"),  # lower, if by little
        (0.5, 0.5, "confirmed in part"),
        (1.5, 1.5, CONTRADICTED),
        (1.0, 0.5, UNDECIDED),  # no peak was lowered
    ],
)
def test_the_peak_is_judged_by_its_rule(peak_ratio: float, end_ratio: float, expected: str) -> None:
    assert peak(ramps(peak_ratio, end_ratio)).verdict == expected


def test_an_end_of_which_nothing_is_known_confirms_nothing() -> None:
    seeds = ramps(0.5, 1.0)
    for seed, wobble in zip(seeds, (0.5, 0.9, 1.1, 2.0), strict=True):
        seed["x"]["end"] = wobble
    assert peak(seeds).verdict == UNDECIDED


@pytest.mark.parametrize(("ratio", "expected"), [(0.5, CONFIRMED), (1.0, UNDECIDED), (2.0, CONTRADICTED)])
def test_rivals_are_judged_by_their_rule(ratio: float, expected: str) -> None:
    seeds = [
        {
            "ends": [
                {"name": "unidlth", "test_loss": ratio * wobble, "test_accuracy": 0.9},
                {"name": "dlth", "test_loss": 1.0, "test_accuracy": 0.9},
            ]
        }
        for wobble in (0.98, 1.0, 1.02)
    ]
    found = rival(seeds, "unidlth", "dlth")
    assert (found.verdict, found.id, found.claims) == (expected, "UniDLTH against DLTH", ("unidlth-beats-dlth",))


def test_what_was_not_measured_has_no_verdict_and_is_named(tmp_path: Path) -> None:
    record = copy.deepcopy(RECORDS[0])
    record.update(section7=[], distances=[], winners=[], curvature={}, device="NVIDIA H200")
    record["plan"]["part"] = 500
    record["data"] = {"source": {"note": "digits, photographed"}}
    assert {one.id.partition(":")[0] for one in verdicts(record)} == {"ladder", "calibration"}
    told = page([record])
    assert "Not measured: curvatures, the predictions of section 7, distances between end points, regressions." in told
    assert (
        "Measured on NVIDIA H200" in told
        and "on 500 training examples" in told
        and "So few examples of digits and epochs (12 without" in told
    )
    assert "Not measured: ResNet-20 on all" in told and "Not measured: anything on a GPU" in page(RECORDS)
    record.update(ladder=[], winners=RECORDS[0]["winners"])
    assert all(one.id.startswith("winner") for one in verdicts(record)) and "the ladder, curv" in page([record])


def test_figures_leave_out_what_a_record_does_not_hold(tmp_path: Path) -> None:
    bare = copy.deepcopy(RECORDS[0])
    bare["distances"] = []
    write(bare, tmp_path)
    other = copy.deepcopy(bare)  # a linear network again, on other data
    other["plan"]["data"] = "mnist"
    other["ladder"][3]["rows"][0]["time"] = 7.0
    write(other, tmp_path)
    rungs = endpoints.data(tmp_path).distinct("rung")
    assert {"quadratic", "linear network on digits", "linear network on mnist"} <= set(rungs) and len(rungs) == 9
    (tmp_path / file_name(bare["plan"]["network"], "mnist")).unlink()
    with pytest.raises(UserError, match="holds distances"):
        distances.data(tmp_path)
    bare["ladder"] = []
    write(bare, tmp_path)
    with pytest.raises(UserError, match="holds a ladder"):
        endpoints.data(tmp_path)
    write(RECORDS[1], tmp_path)
    assert len(distances.data(tmp_path).distinct("network")) == 1


def test_an_exact_rung_that_is_off_is_contradicted() -> None:
    broken = copy.deepcopy(RECORDS[0])
    assert verdicts(broken)[0].verdict == CONFIRMED
    broken["ladder"][0]["rows"][0]["start"]["error"] = 2e-6
    assert verdicts(broken)[0].verdict == CONTRADICTED


def test_numbers_in_the_page_come_from_the_records() -> None:
    effects = {str(effect) for record in RECORDS for one in verdicts(record) for effect in one.effects}
    shown = re.findall(r"[^;\n]+: -?[\d.e-]+(?: \[[^]]+\])?, n = \d+", page(RECORDS))
    assert shown and {line.strip() for line in shown} <= effects


def test_a_plan_that_settles_nothing_is_refused() -> None:
    for bad in ({"seeds": 1}, {"ramps": (3,)}, {"mask_epochs": 2}, {"seeds": 1001}, {"pairs": 10**9}):
        with pytest.raises(UserError):
            Plan(**bad)


def test_bad_input_is_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from unilth.sims.endpoints import run

    monkeypatch.setattr(run, "study", lambda *_: pytest.fail("measured"))
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    page_of_nothing = ["--page", str(tmp_path / "page.md")]
    for argv, says in (
        (["--out", str(tmp_path / "file")], "is not a folder"),
        (["--out", str(tmp_path / "file" / "below")], "cannot be written"),
        (["--out", str(tmp_path / "empty"), *page_of_nothing], "measure into it first"),
        (["--out", str(tmp_path / "none"), *page_of_nothing], "measure into it first"),
        (["--out", str(tmp_path / "new"), "--seeds", "1"], "seeds is 1"),
        (["--out", str(tmp_path / "new"), "--workers", "0"], "--workers is 0"),
    ):
        assert cli.main(["endpoints", *argv]) == 2, argv
        error = capsys.readouterr().err
        assert says in error and error.count("\n") == 1, error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"]


def seeds_with(ratio: float, kl: float = 0.1, off: float = 1.0) -> list[dict[str, Any]]:
    """Three seeds in which every end point is as good as the other, but GReg-1, the nearest: UniLTH has `ratio` times
    its test loss. UniLTH's training loss is `off` times everybody's."""
    found = []
    for wobble in (0.98, 1.0, 1.02):
        rows = []
        for name in list(TITLES)[1:]:
            mine = {"train_loss": 0.01 * off, "test_loss": ratio * wobble, "test_accuracy": 0.9}
            other = {"train_loss": 0.01, "test_loss": 1.0, "test_accuracy": 0.9}
            near = kl * wobble if name == "greg-1" else 1.0
            rows.append({"name": name, "unilth": mine, "other": other, "kl": near, "weights": near})
        found.append({"matched": rows})
    return found


@pytest.mark.parametrize(
    ("ratio", "off", "expected"),
    [(0.5, 1.0, CONFIRMED), (2.0, 1.0, CONTRADICTED), (1.0, 1.0, UNDECIDED), (0.5, 1.1, UNDECIDED)],
)
def test_the_nearest_baseline_is_judged_by_its_rule(ratio: float, off: float, expected: str) -> None:
    for pruned in (False, True):
        found = nearest(seeds_with(ratio, off=off), pruned)
        assert found.verdict == expected
        assert ("The nearest in predictions is GReg-1; in weights too." in found.prediction) == (off == 1.0)


def test_the_nearest_is_another_where_another_is_near() -> None:
    far = [nearest(seeds_with(0.5, kl=10.0), pruned).prediction for pruned in (False, True)]
    assert "is L2 5e-4, dense, which L2 5e-3, dense cannot be told from;" in far[0] and "GReg-1" not in far[0]
    assert "is L2 then magnitude, which DLTH (RST) cannot be told from;" in far[1] and "dense," not in far[1]
