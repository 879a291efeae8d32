"""Tables of records that state anything: nothing in them acts on a terminal, a macro or a row."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

from unilth.cli import main
from unilth.sims.results import Store
from unilth.sims.spec import RunSpec
from unilth.sims.table import Comparison
from unilth.sims.table_text import latex

ODD = (
    "ri|ch\n\\input{x}~^<b>`c`[d]*\x1b]0;PWN\x07\ud800\u202e\x85"  # a title, a macro, a window's name, half a character
)


def odd_runs(tmp_path: Path) -> Path:
    for seed in range(2):
        for recipe in ("omp", "re|c\nipe\\_%"):
            spec = RunSpec(recipe, network="a|<b>\\*.py:Net", sparsity=0.5, seed=seed)
            Store(tmp_path / "runs").create()
            folder = Store(tmp_path / "runs").write(spec, {"test": {"accuracy": 0.5}, "unilth": f"{seed}"})
            (folder / "record.json").write_text(
                json.dumps(json.loads((folder / "record.json").read_text()) | {"device": f"{seed}{ODD}"})
            )
    return tmp_path / "runs"


def test_nothing_in_a_record_acts_on_a_terminal_or_splits_a_text(tmp_path: Path, capsys) -> None:
    paths = {kind: tmp_path / kind for kind in ("csv", "markdown", "latex")}
    options = [f"--{kind}={path}" for kind, path in paths.items()]
    assert main(["table", str(odd_runs(tmp_path)), "--baseline", "omp", *options]) == 0
    shown = capsys.readouterr().out
    texts = {kind: path.read_text(encoding="utf-8") for kind, path in paths.items()}
    for text in (shown, *texts.values()):
        assert all(character.isprintable() or character == "\n" for character in text)
    assert "\\x1b]0;PWN\\x07\\ud800\\u202e\\x85" in "".join(shown.split("\n"))
    assert len(list(csv.reader(io.StringIO(texts["csv"])))) == 3
    assert all(line.startswith("%") or "input" not in line for line in texts["latex"].splitlines())
    assert r"re\textbar{}c\textbackslash{}nipe\textbackslash{}\_\% & " in texts["latex"]
    assert r"a\textbar{}\textless{}b\textgreater{}\textbackslash{}*.py:Net on digits" in texts["latex"]
    lines = texts["markdown"].splitlines()
    assert any(line.startswith(r"| re\|c\\nipe\\\_% | ") for line in lines)
    assert any(line.startswith(r"a|\<b>\\\*.py:Net on digits") for line in lines)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines if line.startswith("|")} == {3}
    note = next(line for line in lines if "differ in device" in line)
    assert r"ri|ch\\n\\input{x}~^\<b>\`c\`\[d]\*\\x1b" in note


def test_special_characters_of_latex_are_themselves() -> None:
    (made,) = [latex([Comparison("~^\\<>|&%$#_{}", "d", "m", None, (), (), {}, ())])]
    wanted = r"\textasciitilde{}\textasciicircum{}\textbackslash{}\textless{}\textgreater{}\textbar{}\&\%\$\#\_\{\}"
    assert rf"\caption{{{wanted} on d: m" in made
