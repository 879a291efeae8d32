"""`unilth prove` at the command line: contract, one theorem in full, bad input in one sentence."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from unilth import cli
from unilth.commands import prove as command
from unilth.theory import ledger
from unilth.theory.theorems import THEOREMS
from unilth.theory.theorems.risk import RELATIVE_RISK


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


def test_a_number_of_several_theorems_shows_each_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    theorems = [theorem for theorem in THEOREMS if theorem.catalogue == "T7.5"]
    assert len(theorems) > 1 and cli.main(["prove", "T7.5", "--workers", "1"]) == 0
    text = capsys.readouterr().out
    assert text.count("Near miss") == text.count("Witness") == len(theorems)


def test_the_list_shows_every_id_whole(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main(["prove", "--list"]) == 0
    text = capsys.readouterr().out
    assert [theorem.id for theorem in THEOREMS if f" {theorem.id} " not in text] == []


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


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificates of one theorem that searches (T3.1) and of one that does not (T6.2)."""
    folder = tmp_path_factory.mktemp("certificates")
    assert cli.main(["prove", "T3.1", "T6.2", "--workers", "1", "--certificates", str(folder)]) == 0
    return folder


@pytest.fixture
def folder(recorded: Path, tmp_path: Path) -> Path:
    """A copy to tamper with."""
    return Path(shutil.copytree(recorded, tmp_path / "copy"))


def test_a_recheck_says_what_it_checked_and_what_not(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["prove", "--recheck", str(folder)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "1 theorems rechecked" in text and "so not run: T6.2; not in this folder: T1.1" in text
    assert cli.main(["prove", "T6.2", "--recheck", str(folder)]) == 0
    assert "1 theorems rechecked" in capsys.readouterr().out, "a theorem that is named is checked"


def test_a_tampered_certificate_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "relative-risk.certificate.json"
    content = json.loads(path.read_text())
    del content["certificates"][0]["cuts"][1]
    path.write_text(json.dumps(content))
    assert cli.main(["prove", "--recheck", str(folder)]) == 1


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": []}, {"kind": None}, {"kind": "cut"}, {}, [], 3, {"kind": "root", "lower": "0"},
        {"kind": "root", "lower": "0", "upper": None}, {"kind": "root", "lower": "0", "upper": "1/0"},
        {"kind": "root", "lower": "1e999999999", "upper": "1"}, {"kind": "bounded", "cuts": {"0": "1"}},
        {"kind": "bounded", "cuts": ["0", "1\n"]}, {"kind": "bounded", "cuts": ["0", "9" * 401]},
    ],
)  # fmt: skip
def test_a_malformed_certificate_is_one_sentence(
    entry: object, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "relative-risk.certificate.json"
    content = json.loads(path.read_text())
    content["certificates"][0] = entry
    path.write_text(json.dumps(content))
    assert cli.main(["prove", "--recheck", str(folder)]) == 2
    error = capsys.readouterr().err
    assert "malformed" in error and error.count("\n") == 1


def test_a_lost_certificate_is_no_success(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["prove", "T3.4", "--recheck", str(folder)]) == 2
    assert "was written without T3.4" in capsys.readouterr().err
    (folder / "relative-risk.certificate.json").unlink()
    assert cli.main(["prove", "--recheck", str(folder)]) == 2
    assert "'relative-risk' is missing" in capsys.readouterr().err


def test_emptied_certificates_do_not_hide_a_search(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Even an index that says so: when the theorem is named, its check runs and finds nothing to replay."""
    (folder / "relative-risk.certificate.json").unlink()
    (folder / "index.json").write_text(json.dumps({"schema": 1, "theorems": {"relative-risk": 0}}))
    assert cli.main(["prove", "T3.1", "--recheck", str(folder)]) == 1


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["T9999"], "there is no theorem 'T9999'"),
        (["t7.5"], "there is no theorem 't7.5'; did you mean T7.5?"),
        (["--section", "99"], "no theorem"),
        (["--section", ""], "no theorem"),
        (["T7.6", "--section", "6"], "none of T7.6"),
        (["--level", "sure"], "symbolic"),
        (["--workers", "0"], "positive"),
        (["T6.2", "--json", "/no/such/folder/a.json"], "existing directory"),
        (["--recheck", "/no/such/folder"], "no folder"),
        (["--recheck", "/no/such/folder", "--json", "a.json"], "--recheck runs none"),
        (["--list", "--level", "certified"], "--list runs none"),
        (["T6.2", "--certificates", f"{__file__}/below"], "Not a directory"),
        (["--docs", f"{__file__}/below"], "Not a directory"),
        (["--docs", __file__], "not a folder that can be written"),
        (["T6.2", "--certificates", __file__], "not a folder that can be written"),
        (["--list", "--docs", "pages"], "--list runs none"),
    ],
)
def test_bad_input_is_one_sentence(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["prove", *argv]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_a_false_theorem_exits_with_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    false = replace(RELATIVE_RISK, constants={**RELATIVE_RISK.constants, "K": "1.685911"})  # 2e-6 off
    theorems = tuple(false if theorem is RELATIVE_RISK else theorem for theorem in THEOREMS)
    monkeypatch.setattr(command, "THEOREMS", theorems)
    monkeypatch.setattr(ledger, "THEOREMS", theorems)
    assert cli.main(["prove", "T3.1"]) == 1
    text = capsys.readouterr().out
    assert "failed" in text and "refuted: K = K1^2" in text


def test_docs_are_of_all_theorems_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["T6.2"], ["--section", "6"]):
        assert cli.main(["prove", *argv, "--docs", str(tmp_path / "pages")]) == 2
        assert "leave out the ids and --section" in capsys.readouterr().err
    assert not (tmp_path / "pages").exists()


def test_docs_of_a_short_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command around `pages.write`, without proving everything: what holds is written, what does not is not."""
    written: list[list[str]] = []
    monkeypatch.setattr(command, "THEOREMS", THEOREMS[:1])
    monkeypatch.setattr(command.pages, "write", lambda folder, kept: written.append(list(kept)) or ["risk"])
    argv = ["prove", "--workers", "1", "--docs", str(tmp_path / "pages")]
    assert cli.main(argv) == 0 and written == [[THEOREMS[0].id]]
    assert "unilth figures risk" in " ".join(capsys.readouterr().out.split())
    false = replace(THEOREMS[0], check=lambda statement: THEOREMS[0].check(THEOREMS[0].near_miss(THEOREMS[0].claim)))
    monkeypatch.setattr(command, "THEOREMS", (false,))
    assert cli.main(argv) == 1 and len(written) == 1
    assert "no pages written" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("argv", [["T6.2"], ["--recheck", "DIR"]])
def test_an_interruption_is_one_sentence(
    argv: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "prove", interrupted)
    assert cli.main(["prove", *(str(folder) if word == "DIR" else word for word in argv)]) == 130
    out, error = capsys.readouterr()
    assert out == "" and error.startswith("unilth: interrupted") and error.count("\n") == 1
