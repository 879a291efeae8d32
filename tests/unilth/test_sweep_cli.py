"""`unilth sweep` and `unilth table` as a user meets them: exit codes, one sentence for bad input, what is printed."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from unilth import cli
from unilth.commands import sweep as command
from unilth.sims.campaign import load
from unilth.sims.results import Store
from unilth.sims.tally import Progress

TOML = """
claim = "a claim in words"
[grid]
recipes = ["dense", "lth"]
sparsities = [0.5, 0.9]
seeds = 2
"""
RUNS = """
def execute(spec, *, data_dir, device, checkpoint, say):
    if spec.seed == 1:
        say("the [checkpoint] is damaged")
    if (spec.recipe, spec.seed) == FAILS:
        raise ValueError("the [loss] is no number")
    return None, {"test": {"accuracy": 0.9 + spec.seed / 100}, "timing": {"seconds": 0.01}}
"""


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    path = tmp_path / "some.toml"
    path.write_text(TOML)
    return path


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs that take no time; called with the (recipe, seed) that is to fail."""

    def install(fails: tuple[str, int] | None = None) -> None:
        (tmp_path / "modules").mkdir(exist_ok=True)
        (tmp_path / "modules" / "instant_runs.py").write_text(f"FAILS = {fails!r}\n{RUNS}")
        monkeypatch.syspath_prepend(tmp_path / "modules")
        run = functools.partial(original, run="instant_runs:execute", check=None)
        monkeypatch.setattr(command, "sweep", run)

    original = command.sweep
    return install


def complaint(capsys: pytest.CaptureFixture[str], argv: list[str]) -> str:
    """The one sentence of a command that cannot use what it was given."""
    assert cli.main(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("unilth: error: ") and error.count("\n") == 1 and "Traceback" not in error
    return error


def test_a_sweep_says_what_it_did_and_a_second_one_skips(campaign: Path, tmp_path: Path, capsys, fake) -> None:
    fake()
    out = tmp_path / "out"
    argv = ["sweep", str(campaign), "--out", str(out), "--workers", "1"]
    assert cli.main([*argv, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "some: a claim in words" in said and "6 runs: 0 finished, 6 to do" in said and "lth: 4 of 4 to do" in said
    assert not out.exists()  # a dry run changes nothing
    assert cli.main(argv) == 0
    shown = capsys.readouterr()
    assert "6 runs: 0 were finished before, 6 done now" in shown.out
    assert "6/6 runs, all finished" in shown.err
    assert shown.err.count(": the [checkpoint] is damaged") == 3  # of the seed 1, once each
    assert cli.main(argv) == 0
    assert "6 runs: 6 were finished before, 0 done now" in capsys.readouterr().out
    assert len(Store(out).records()) == 6


def test_an_empty_folder_name_is_refused(campaign: Path, capsys) -> None:
    assert "--out is empty" in complaint(capsys, ["sweep", str(campaign), "--out", ""])


def test_a_dry_run_refuses_what_the_sweep_would_refuse(campaign: Path, tmp_path: Path, capsys) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(campaign.read_text().replace('"lth"', '"lht"'))
    out = tmp_path / "nothing"
    assert "no recipe 'lht'" in complaint(capsys, ["sweep", str(wrong), "--out", str(out), "--dry-run"])
    argv = ["sweep", str(campaign), "--out", str(out), "--data-dir", str(tmp_path / "none"), "--dry-run"]
    assert f"--data-dir {tmp_path / 'none'} is not a folder" in complaint(capsys, argv)
    assert not out.exists()
    store = Store(out)
    store.create()
    store.write(load(campaign).specs[0], {"data_digest": "0" * 64})
    argv = ["sweep", str(campaign), "--out", str(out), "--dry-run"]
    assert "the data 'digits' are others than when the finished runs were done" in complaint(capsys, argv)


def test_a_terminal_has_a_bar_that_goes_away(campaign: Path, tmp_path: Path, capsys, fake, monkeypatch) -> None:
    fake()
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes the captured stream for a terminal
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main(["sweep", str(campaign), "--out", str(tmp_path / "out"), "--workers", "1"]) == 0
    shown = capsys.readouterr().err
    assert "6/6 runs" in shown and "all finished" in shown
    assert shown.endswith("\x1b[2K")  # the line is wiped


def test_a_failed_run_is_exit_code_1_with_its_reason(campaign: Path, tmp_path: Path, capsys, fake) -> None:
    fake(("lth", 1))
    argv = ["sweep", str(campaign), "--out", str(tmp_path / "out"), "--workers", "1"]
    assert cli.main(argv) == 1
    said = capsys.readouterr().out
    assert "4 done now" in said and "2 failed" in said
    assert said.count("ValueError: the [loss] is no number") == 2
    assert cli.main(["table", str(tmp_path / "out")]) == 0
    assert "(1 of 2)" in capsys.readouterr().out
    fake()
    assert cli.main(argv) == 0
    assert "4 were finished before, 2 done now" in capsys.readouterr().out


def test_a_damaged_record_is_said(campaign: Path, tmp_path: Path, capsys, fake) -> None:
    fake()
    out = tmp_path / "out"
    argv = ["sweep", str(campaign), "--out", str(out), "--workers", "1"]
    assert cli.main(argv) == 0
    record = Store(out).folder(load(campaign).specs[0]) / "record.json"
    record.write_bytes(record.read_bytes()[:30])
    capsys.readouterr()
    assert "is not JSON; run the sweep again" in complaint(capsys, ["table", str(out)])
    assert cli.main([*argv, "--dry-run"]) == 0
    assert "1 of them because their record is damaged" in capsys.readouterr().out
    assert cli.main(argv) == 0
    assert (
        f"repeated, its record was damaged (kept in {out / 'damaged'}): {record.parent.name}" in capsys.readouterr().out
    )


def test_a_shipped_campaign_has_a_place_of_its_own(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["sweep", "digits", "--dry-run"]) == 0
    assert "155 runs: 0 finished, 155 to do; in out/digits" in capsys.readouterr().out


def test_bad_input_to_sweep_is_one_sentence(campaign: Path, tmp_path: Path, capsys) -> None:
    file = tmp_path / "file"
    file.write_text("")
    misspelt = tmp_path / "misspelt.toml"
    misspelt.write_text(TOML.replace("sparsities", "sparsitys"))
    out = ["--out", str(tmp_path / "out")]
    assert "did you mean 'sparsities'?" in complaint(capsys, ["sweep", str(misspelt), *out])
    assert "cannot be read (No such file" in complaint(capsys, ["sweep", str(tmp_path / "missing.toml"), *out])
    assert "there is no campaign 'digitz'" in complaint(capsys, ["sweep", "digitz", *out])
    assert "is not a directory" in complaint(capsys, ["sweep", str(campaign), "--out", str(file)])
    assert "cannot be made" in complaint(capsys, ["sweep", str(campaign), "--out", str(file / "below")])
    assert "workers must be at least 1" in complaint(capsys, ["sweep", str(campaign), *out, "--workers", "0"])
    assert not (tmp_path / "out").exists()
    with pytest.raises(SystemExit) as caught:
        cli.main(["sweep"])
    assert caught.value.code == 2


def test_an_unknown_recipe_is_refused_before_anything_runs(campaign: Path, tmp_path: Path, capsys) -> None:
    """The real check, in a real worker: two seconds for importing torch."""
    campaign.write_text(TOML.replace('"lth"', '"unlith"'))
    argv = ["sweep", str(campaign), "--out", str(tmp_path / "out"), "--workers", "1"]
    assert "there is no recipe 'unlith' (did you mean 'unilth'" in complaint(capsys, argv)
    assert Store(tmp_path / "out").records() == []


def test_what_torch_is_missing_for_is_said(campaign: Path, tmp_path: Path, capsys, fake) -> None:
    fake()
    (tmp_path / "modules" / "instant_runs.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')"
    )
    error = complaint(capsys, ["sweep", str(campaign), "--out", str(tmp_path / "out"), "--workers", "1"])
    assert "needs torch, which is not installed: pip install 'unilth[sims]'" in error


def test_the_table_is_printed_and_written(campaign: Path, tmp_path: Path, capsys, fake) -> None:
    fake()
    out = tmp_path / "out"
    assert cli.main(["sweep", str(campaign), "--out", str(out), "--workers", "1"]) == 0
    capsys.readouterr()
    paths = {name: tmp_path / f"table.{name}" for name in ("csv", "markdown", "latex")}
    options = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    assert cli.main(["table", str(out), "--baseline", "dense", *options]) == 0
    said = capsys.readouterr().out
    assert "lenet-300-100 on digits: test.accuracy, %" in said and "90.50 ± 6.35" in said
    assert "Difference to dense in percentage points" in said and "+0.00 ± 0.00, p 1" in said
    assert "90.50 ± 6.35" in paths["markdown"].read_text() and r"\toprule" in paths["latex"].read_text()
    assert len(paths["csv"].read_text().splitlines()) == 1 + 3


def test_bad_input_to_table_is_one_sentence(campaign: Path, tmp_path: Path, capsys, fake) -> None:
    fake()
    out = tmp_path / "out"
    assert "there is no directory" in complaint(capsys, ["table", str(out)])
    assert cli.main(["sweep", str(campaign), "--out", str(out), "--workers", "1"]) == 0
    capsys.readouterr()
    assert "did you mean 'lth'?" in complaint(capsys, ["table", str(out), "--baseline", "ltx"])
    assert "did you mean 'test.accuracy'" in complaint(capsys, ["table", str(out), "--metric", "test.acc"])
    assert "cannot read or write" in complaint(capsys, ["table", str(out), "--csv", str(campaign / "below")])
    assert "is not a directory" in complaint(capsys, ["table", str(campaign)])


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (Progress(5, 0, 0, 0, (), None, 5), "time left not known before a run is finished"),
        (Progress(5, 1, 1, 0, (), 75.4, 2), "about 1 min 15 s left (2 runs of kinds not timed yet)"),
        (Progress(5, 1, 1, 0, (), 3725.0, 0), "about 1 h 02 min left"),
        (Progress(5, 1, 1, 0, (), 8.0, 0), "about 8 s left"),
        (Progress(5, 1, 3, 1, (), 0.0, 0), "all finished"),
    ],
)
def test_the_time_left_in_words(progress: Progress, words: str) -> None:
    assert command.time_left(progress) == words


def test_a_rewind_of_thousands_of_digits_is_one_sentence(campaign: Path, tmp_path: Path, capsys) -> None:
    campaign.write_text(f'{TOML}[run.lth]\nrewind = "step:{"9" * 5000}"\n')
    for dry in ([], ["--dry-run"]):
        error = complaint(capsys, ["sweep", str(campaign), "--out", str(tmp_path / "out"), "--workers", "1", *dry])
        assert "rewind must be" in error and "step:99999" in error and len(error) < 300
