"""Campaign files: the grid they mean, and one clear sentence for every mistake."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from unilth.commands import sweep
from unilth.errors import UserError
from unilth.sims import zoo
from unilth.sims.campaign import MOST_RUNS, load, parse, shipped
from unilth.sims.spec import RunSpec

GOOD = """
claim = "a claim"
[grid]
recipes = ["dense", "lth", "unilth"]
networks = ["lenet-300-100", "conv-small"]
data = ["digits"]
sparsities = [0.5, 0.9]
seeds = [3, 1]
[run]
epochs = 7
lr = 0.05
[run.unilth]
patience = 2
lr = 0.01
"""


def read(text: str) -> tuple[RunSpec, ...]:
    return parse(text, name="some", where="some.toml").specs


def test_the_grid_is_what_it_says() -> None:
    specs = read(GOOD)
    assert len(specs) == len(set(specs)) == 2 * 2 * (1 + 2 + 2)
    assert specs[0] == RunSpec("dense", sparsity=0.0, seed=3, epochs=7, lr=0.05)
    assert RunSpec("lth", "conv-small", "digits", 0.9, 1, epochs=7, lr=0.05) in specs
    assert RunSpec("unilth", "conv-small", "digits", 0.9, 1, epochs=7, lr=0.01, patience=2) in specs
    assert [spec.seed for spec in specs] == [3] * 10 + [1] * 10  # every cell has a run before any has its second


def test_the_dense_recipe_runs_once_per_seed() -> None:
    dense = [spec for spec in read(GOOD) if spec.recipe == "dense"]
    assert [(spec.network, spec.seed, spec.sparsity) for spec in dense] == [
        ("lenet-300-100", 3, 0.0), ("conv-small", 3, 0.0), ("lenet-300-100", 1, 0.0), ("conv-small", 1, 0.0),
    ]  # fmt: skip
    only = 'claim = "c"\n[grid]\nrecipes = ["dense"]\nseeds = 3\n'
    assert [spec.seed for spec in read(only)] == [0, 1, 2]


def test_what_is_left_out_has_its_default() -> None:
    specs = read('claim = "c"\n[grid]\nrecipes = ["lth"]\nsparsities = [0.9]\nseeds = 1\n')
    assert specs == (RunSpec("lth"),)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("claim =", "clam =", "the file has no key 'clam' (did you mean 'claim'?)"),
        ('claim = "a claim"', "", "claim must say in words"),
        ('"a claim"', '"  "', "claim must say in words"),
        ('"a claim"', "3", "claim must say in words"),
        ("[grid]", "[gird]", "the file has no key 'gird' (did you mean 'grid'?)"),
        ("sparsities =", "sparsity =", "[grid] has no key 'sparsity' (did you mean 'sparsities'?)"),
        ("epochs = 7", "epoch = 7", "[run] has no key 'epoch' (did you mean 'epochs'?)"),
        ("epochs = 7", "seed = 7", "[run] has no key 'seed'"),
        ("patience = 2", "patiance = 2", "[run.unilth] has no key 'patiance' (did you mean 'patience'"),
        ("[run.unilth]", "[run.unlith]", "[run.unlith] is no recipe of the grid (did you mean 'unilth'"),
        ("epochs = 7", 'epochs = "7"', "epochs must be int, not '7'"),
        ("epochs = 7", "epochs = 0", "epochs must be at least 1, not 0"),
        ('["dense", "lth", "unilth"]', '"lth"', "recipes must be a list, not 'lth'"),
        ('["dense", "lth", "unilth"]', "[]", "recipes is empty: the grid would have no runs"),
        ('["dense", "lth", "unilth"]', '["lth", 3]', "recipes must be texts, not 3"),
        ('["dense", "lth", "unilth"]', '["lth", "unilth", "lth"]', "recipes names 'lth' twice"),
        ("[3, 1]", "[]", "seeds is empty"),
        ("[3, 1]", "0", "seeds must be a list or a number from 1 to"),
        ("[3, 1]", "[true]", "seeds must be whole numbers, not True"),
        ("[3, 1]", "[-1]", "seed must be at least 0, not -1"),
        ("[3, 1]", "[0.5]", "seeds must be whole numbers, not 0.5"),
        ("[0.5, 0.9]", "[1.0]", "sparsities must be in [0, 1), not 1.0"),
        ("[0.5, 0.9]", "[-0.1]", "sparsities must be in [0, 1), not -0.1"),
        ("[0.5, 0.9]", "[nan]", "sparsities must be in [0, 1), not nan"),
        ("[0.5, 0.9]", '["0.5"]', "sparsities must be numbers, not '0.5'"),
        ("sparsities = [0.5, 0.9]", "", "[grid] needs sparsities"),
        ("seeds = [3, 1]", "", "[grid] needs recipes and seeds"),
        ("seeds = [3, 1]", f"seeds = {MOST_RUNS}", "runs, more than the 100,000 allowed"),
        ("[3, 1]", "[3, 1", "is not TOML"),
        ("[run]\n", "[[run]]\n", "[run] must be a table, not [{"),
    ],
)
def test_every_mistake_has_its_sentence(old: str, new: str, sentence: str) -> None:
    assert old in GOOD
    with pytest.raises(UserError) as caught:
        read(GOOD.replace(old, new, 1))
    assert "'some.toml'" in str(caught.value) and sentence in str(caught.value)


def test_tables_that_are_none_are_refused() -> None:
    with pytest.raises(UserError, match=r"the table \[grid\] is missing"):
        read('claim = "c"')
    with pytest.raises(UserError, match=r"\[grid\] must be a table, not 3"):
        read('claim = "c"\ngrid = 3')


def test_the_help_of_sweep_names_every_campaign(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        sweep.main(["--help"])
    words = set(re.findall(r"[\w-]+", capsys.readouterr().out))
    assert set(shipped()) <= words


def test_the_shipped_campaigns_are_what_the_documentation_says() -> None:
    small = {
        "digits",
        "digits-quick",
        "zoo-digits",
        "conv-small-digits",
        "mnist",
        "fashion-mnist",
        "cifar10-resnet20-part",
    }
    large = {f"cifar{classes}-{what}" for classes in (10, 100) for what in ("resnet20-short", "resnet20", "deep")}
    assert set(shipped()) == small | large
    for what in ("resnet20-short", "resnet20", "deep"):  # the two data sets are compared in the same way
        ten, hundred = (load(f"cifar{classes}-{what}").specs for classes in (10, 100))
        assert [replace(spec, data="cifar100") for spec in ten] == list(hundred)
    for every in ("zoo-digits", "cifar10-resnet20", "cifar100-resnet20"):
        assert {spec.recipe for spec in load(every).specs} == set(zoo.NAMES)
    digits = load("digits")
    recipes = ("dense", "omp", "lth", "l2", "dlth", "unilth", "unidlth")
    assert len(digits.specs) == 6 * 5 * 5 + 5
    assert {spec.recipe for spec in digits.specs} == set(recipes)
    for recipe in recipes[1:]:
        cells = {(spec.sparsity, spec.seed) for spec in digits.specs if spec.recipe == recipe}
        assert cells == {(sparsity, seed) for sparsity in (0.5, 0.8, 0.9, 0.95, 0.98) for seed in range(10, 15)}
    assert len({(spec.epochs, spec.batch, spec.lr, spec.momentum, spec.tune) for spec in digits.specs}) == 1
    assert {spec.recipe for spec in load("digits-quick").specs} == set(recipes)
    assert "UniLTH" in digits.claim and "\n" not in digits.claim


def test_a_campaign_is_found_by_path_or_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "my own.toml"
    path.write_text(GOOD)
    campaign = load(path)
    assert campaign.name == "my_own" and campaign.text == GOOD and campaign.claim == "a claim"
    monkeypatch.chdir(tmp_path)
    assert load("my own.toml") == campaign
    with pytest.raises(UserError, match=r"there is no campaign 'digit' \(did you mean 'digits'"):
        load("digit")


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read \(No such file"):
        load(tmp_path / "missing.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(UserError, match="is a directory"):
        load(tmp_path / "folder.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(UserError, match="more than the 1,048,576 bytes"):
        load(tmp_path / "large.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff")
    with pytest.raises(UserError, match="not UTF-8"):
        load(tmp_path / "binary.toml")
    (tmp_path / "deep.toml").write_text("a = " + "[" * 100_000)
    with pytest.raises(UserError, match="is not TOML"):
        load(tmp_path / "deep.toml")
