"""Foreign text is printed as it is: square brackets are no markup, and colons around a word no emoji."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unilth import cli
from unilth.sims.records import dump
from unilth.sims.results import Store
from unilth.sims.spec import RunSpec

ODD = "ri[ch]2[/b]:smile:"
TOML = 'claim = "{claim}"\n[grid]\nrecipes = ["omp"]\nsparsities = [0.5]\nseeds = 1\n[run]\nepochs = 2\nbatch = 512\n'


def one_line(text: str) -> str:
    return "".join(text.split("\n"))


@pytest.mark.parametrize("terminal", [False, True])
def test_find_prints_folders_and_layers_as_they_are(tmp_path: Path, capsys, monkeypatch, terminal: bool) -> None:
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes the captured stream for a terminal
    path = tmp_path / "odd.py"
    path.write_text(
        "from torch import nn\n\n"
        "class Odd(nn.Module):\n"
        "    def __init__(self, shape, classes):\n"
        "        super().__init__()\n"
        "        self.layers = nn.ModuleDict({'[/x]': nn.Linear(64, 16), ':smile:': nn.Linear(16, classes)})\n\n"
        "    def forward(self, x):\n"
        "        return self.layers[':smile:'](self.layers['[/x]'](x.flatten(1)).relu())\n"
    )
    out = tmp_path / ODD
    argv = ["find", "omp", "--network", f"{path}:Odd", "--out", str(out), "--epochs", "2", "--batch", "512"]
    assert cli.main([*argv, "--sparsity", "0.97", "--score", "random", "--scope", "layer"]) == 0
    shown = capsys.readouterr().out
    assert "layers.[/x].weight" in shown and "layers.:smile:.weight" in shown
    if not terminal:
        assert f"saved in {out}" in one_line(shown)


def test_a_recipe_that_looks_like_markup_is_refused_in_a_terminal_too(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert cli.main(["find", "[/b]", "--out", str(tmp_path / "a")]) == 2
    assert "'[/b]'" in capsys.readouterr().err


def test_an_emptied_layer_is_named_as_it_is(tmp_path: Path, capsys) -> None:
    argv = ["find", "omp", "--out", str(tmp_path / "a"), "--epochs", "2", "--batch", "512"]
    assert cli.main(argv) == 0
    path = tmp_path / "a" / "record.json"
    record = json.loads(path.read_text())
    record["sparsity"]["emptied"] = ["[/x].weight"]
    path.write_text(dump(record))
    assert cli.main(argv) == 0
    assert "every weight of [/x].weight is pruned" in one_line(capsys.readouterr().err)


def test_sweep_prints_claims_and_folders_as_they_are(tmp_path: Path, capsys) -> None:
    campaign, out = tmp_path / "some.toml", tmp_path / ODD
    campaign.write_text(TOML.format(claim=f"claim {ODD}"))
    argv = ["sweep", str(campaign), "--out", str(out), "--workers", "1"]
    assert cli.main([*argv, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert f"some: claim {ODD}\n" in shown and f"in {out}\n" in shown
    assert cli.main(argv) == 0
    assert f"they are in {out}\n" in capsys.readouterr().out
    next(out.glob("omp*/record.json")).write_text("{")
    assert cli.main(argv) == 0
    assert f"(kept in {out / 'damaged'})" in capsys.readouterr().out


def test_table_prints_recipes_networks_and_notes_as_they_are(tmp_path: Path, capsys) -> None:
    store = Store(tmp_path)
    for recipe in ("[/b]", ":smile:"):
        for seed in (0, 1):
            spec = RunSpec(recipe, network=f"{ODD}.py:net", sparsity=0.5, seed=seed)
            store.write(spec, {"test": {"accuracy": 0.5 + seed / 100}, "device": f"[/{recipe}]"})
    assert cli.main(["table", str(tmp_path), "--baseline", "[/b]"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{ODD}.py:net on digits" in shown and "Difference to [/b]" in shown and "│ :smile: │" in shown


def test_figures_prints_folders_as_they_are(tmp_path: Path, capsys) -> None:
    out = tmp_path / ODD
    assert cli.main(["figures", "--out", str(out), "--results", str(tmp_path / f"none{ODD}")]) == 0
    assert f"there are no finished runs in {tmp_path / f'none{ODD}'}\n" in capsys.readouterr().out
