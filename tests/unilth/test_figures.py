"""``unilth figures`` at the command line: what it writes, what it refuses, what --check finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from unilth import cli
from unilth.paper_figures.gallery import FIGURES


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_list_names_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["figures", "--list"]) == 0
    text = capsys.readouterr().out
    assert all(spec.name in text and spec.title in text for spec in FIGURES)


def test_write_then_check_then_tamper(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["figures", "risk", "--out", "here"]) == 0
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == [
        "risk.csv",
        "risk.json",
        "risk.pdf",
        "risk.png",
    ]
    assert cli.main(["figures", "risk", "--out", "here", "--check"]) == 0
    with (tmp_path / "here" / "risk.pdf").open("ab") as file:
        file.write(b" ")
    capsys.readouterr()
    assert cli.main(["figures", "risk", "--out", "here", "--check"]) == 1
    assert capsys.readouterr().out == "risk.pdf differs\n"


def test_an_experiments_figure_without_experiments_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["figures", "accuracy"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "unilth sweep" in error


def test_without_names_what_needs_results_is_skipped_and_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from unilth.paper_figures import gallery

    monkeypatch.setattr(gallery, "FIGURES", tuple(spec for spec in FIGURES if spec.name in ("risk", "accuracy")))
    assert cli.main(["figures", "--out", "here"]) == 0
    assert "accuracy: skipped, there are no finished runs" in capsys.readouterr().out


def test_bad_arguments_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    for argv, says in ((["rsik"], "there is no figure 'rsik'"), (["risk", "--out", "file"], "is not a folder")):
        assert cli.main(["figures", *argv]) == 2
        error = capsys.readouterr().err
        assert says in error and error.count("\n") == 1
