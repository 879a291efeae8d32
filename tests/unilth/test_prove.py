"""`unilth prove` at the command line: contract, one theorem in full, bad input in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unilth import cli


def test_json_of_two_theorems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ledger.json"
    assert cli.main(["prove", "T3.1", "information-extrusion-identity", "--workers", "1", "--json", str(path)]) == 0
    content = json.loads(path.read_text())
    assert [row["catalogue"] for row in content["theorems"]] == ["T3.1", "T6.2"]
    low, high = content["theorems"][0]["constants"]["K"]
    assert float(low) <= 1.685909058278325 <= float(high) and float(high) - float(low) < 1e-10
    assert "2 proved" in capsys.readouterr().out


def test_one_theorem_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["prove", "T3.1"]) == 0
    text = capsys.readouterr().out
    for heading in (
        "Statement",
        "Assumptions",
        "Source",
        "Proof",
        "Evidence",
        "Constants",
        "Near miss",
        "Witness",
        "Time",
    ):
        assert heading in text


def test_list_and_level(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["prove", "--section", "6", "--list"]) == 0
    assert "T6.2" in capsys.readouterr().out
    assert cli.main(["prove", "T3.1", "T6.2", "--level", "certified", "--workers", "1"]) == 0
    assert "T6.2" not in capsys.readouterr().out


def test_pages_and_certificates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["prove", "T3.1", "--markdown", str(tmp_path / "a.md"), "--html", str(tmp_path / "a.html")]
    assert cli.main([*argv, "--certificates", str(tmp_path / "c")]) == 0
    assert (
        "## T3.1" in (tmp_path / "a.md").read_text() and "<h2 id='relative-risk'>" in (tmp_path / "a.html").read_text()
    )
    assert cli.main(["prove", "--recheck", str(tmp_path / "c")]) == 0
    path = tmp_path / "c" / "relative-risk.certificate.json"
    content = json.loads(path.read_text())
    del content["certificates"][0]["cuts"][1]
    path.write_text(json.dumps(content))
    capsys.readouterr()
    assert cli.main(["prove", "--recheck", str(tmp_path / "c")]) == 1


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["T9999"], "there is no theorem 'T9999'"),
        (["--section", "99"], "no theorem"),
        (["--level", "sure"], "symbolic"),
        (["--workers", "0"], "positive"),
        (["T6.2", "--json", "/no/such/folder/a.json"], "existing directory"),
        (["--recheck", "/no/such/folder"], "no folder"),
    ],
)
def test_bad_input_is_one_sentence(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["prove", *argv]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_a_false_theorem_exits_with_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from dataclasses import replace

    from unilth.commands import prove as command
    from unilth.theory import ledger
    from unilth.theory.theorems.risk import RELATIVE_RISK

    false = replace(RELATIVE_RISK, constants={**RELATIVE_RISK.constants, "K": "1.685910"})
    monkeypatch.setattr(command, "THEOREMS", (false,))
    monkeypatch.setattr(ledger, "THEOREMS", (false,))
    assert cli.main(["prove", "T3.1"]) == 1
    assert "failed" in capsys.readouterr().out
