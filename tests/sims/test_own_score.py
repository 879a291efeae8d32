"""Scores of the user's own by address: found, run, recorded, and refused in a sentence where they cannot be used."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from torch import nn

from tests.sims.own_folder import own_folder
from unilth.cli import main
from unilth.errors import UserError
from unilth.sims import masks, own_score, zoo
from unilth.sims.campaign import parse
from unilth.sims.execute import execute
from unilth.sims.networks import build
from unilth.sims.preflight import usable
from unilth.sims.recipe import MaskRule
from unilth.sims.results import Store
from unilth.sims.saliency import SCORES
from unilth.sims.scores import Sight
from unilth.sims.spec import RunSpec
from unilth.sims.streams import stream
from unilth.sims.sweep import plan

GOOD = """
import torch


def smallest(sight):
    return {name: -weight.abs() for name, weight in sight.weights.items()}


def drawn(sight):
    return {name: torch.rand(weight.shape, generator=sight.generator) for name, weight in sight.weights.items()}


class Library:
    smallest = staticmethod(smallest)
"""
BAD = """
import torch

number = 3


def raises(sight):
    raise RuntimeError("broken\\nhere")


def leaves(sight):
    raise SystemExit(3)


class Stops(BaseException):
    pass


def stops(sight):
    raise Stops("of its own")


class Mute(RuntimeError):
    def __str__(self):
        raise RuntimeError("no text")


def mute(sight):
    raise Mute


def interrupts(sight):
    raise KeyboardInterrupt


def numbers(sight):
    return {name: 1.0 for name in sight.weights}


def nothing(sight):
    return None


def shorter(sight):
    return {name: weight[:1] for name, weight in sight.weights.items()}


def whole(sight):
    return {name: torch.ones(weight.shape, dtype=torch.int64) for name, weight in sight.weights.items()}


def not_numbers(sight):
    return {name: weight * float("nan") for name, weight in sight.weights.items()}


def no_arguments():
    return {}


def sparse(sight):
    return {name: weight.detach().to_sparse() for name, weight in sight.weights.items()}


def meta(sight):
    return {name: weight.detach().to("meta") for name, weight in sight.weights.items()}


def freezes(sight):
    for parameter in sight.network.parameters():
        parameter.requires_grad_(False)
    return {name: weight.abs() for name, weight in sight.weights.items()}


def absolute(sight):
    for weight in sight.weights.values():
        weight.data.abs_()
    return {name: weight.detach() for name, weight in sight.weights.items()}


def moves_statistics(sight):
    sight.network(sight.inputs)
    return {name: weight.abs() for name, weight in sight.weights.items()}


def replaces(sight):
    sight.network[0].weight = torch.nn.Parameter(sight.network[0].weight.detach().clone())
    return {name: weight.abs() for name, weight in sight.weights.items()}


def adds(sight):
    sight.network.register_buffer("more", torch.zeros(2))
    return {name: weight.abs() for name, weight in sight.weights.items()}


def removes(sight):
    del sight.network[1].running_mean
    return {name: weight.abs() for name, weight in sight.weights.items()}


def looks(sight):
    sight.network[0].register_forward_hook(lambda module, given, answer: None)
    return {name: weight.abs() for name, weight in sight.weights.items()}


def presses(sight):
    weight = sight.network[0].weight
    handle = weight.register_hook(lambda gradient: gradient + weight)
    handle.remove()
    weight.register_hook(lambda gradient: gradient * 0)
    return {name: weight.abs() for name, weight in sight.weights.items()}


def collects(sight):
    sight.network[0].weight.register_post_accumulate_grad_hook(lambda weight: None)
    return {name: weight.abs() for name, weight in sight.weights.items()}


def takes_over(sight):
    sight.network.forward = lambda x: x
    return {name: weight.abs() for name, weight in sight.weights.items()}


def unhooks(sight):
    sight.network[0]._forward_pre_hooks.clear()
    return {name: weight.abs() for name, weight in sight.weights.items()}


def tidy(sight):
    handle = sight.network[0].register_forward_hook(lambda module, given, answer: answer * 2)
    handle.remove()
    handle = sight.network[0].weight.register_hook(lambda gradient: gradient * 0)
    handle.remove()
    return {name: weight.abs() for name, weight in sight.weights.items()}


def no_gradients(sight):
    torch.set_grad_enabled(False)
    return {name: weight.abs() for name, weight in sight.weights.items()}


def dies_without_gradients(sight):
    torch.set_grad_enabled(False)
    raise RuntimeError("broken")
"""
SHORT = {"sparsity": 0.9, "epochs": 2, "batch": 512}


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with a user's files, which is the current one."""
    with own_folder(tmp_path, monkeypatch, mine=GOOD, bad=BAD) as folder:
        yield folder


def sight() -> Sight:
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, -4.0], [0.1, 0.2]]))
    return Sight(network, torch.ones(4, 2), torch.zeros(4), masks.full(masks.prunable(network)), stream(0, "mask"))


@pytest.mark.parametrize("name", ["mine.py:smallest", "mine:smallest", "mine.py:Library.smallest"])
def test_the_largest_of_its_numbers_are_kept(name, own):
    assert MaskRule(name).draw(sight(), 0.5)["0.weight"].tolist() == [[False, False], [True, True]]
    assert MaskRule("magnitude").draw(sight(), 0.5)["0.weight"].tolist() == [[True, True], [False, False]]


def test_a_run_takes_it_and_records_where_it_came_from(own):
    spec = RunSpec("omp", score="mine.py:smallest", **SHORT)
    ticket, record = execute(spec)
    kept = torch.cat([ticket.mask[name].flatten() for name in ticket.mask])
    assert int(kept.sum()) == 5020
    assert record["score"] == {
        "kind": "imported", "name": "mine.py:smallest", "module": None, "file": "mine.py",
        "sha256": hashlib.sha256(GOOD.encode()).hexdigest(), "version": None,
    }  # fmt: skip
    json.dumps(record)
    plain = execute(RunSpec("omp", **SHORT))[1]
    assert plain["score"] == {"kind": "built in", "name": "magnitude"}
    assert plain["mask_digest"] != record["mask_digest"] == execute(spec)[1]["mask_digest"]
    drawn = [execute(RunSpec("omp", score="mine.py:drawn", seed=seed, **SHORT))[1]["mask_digest"] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_file_that_changes_meanwhile_does_not_change_the_rule_but_the_next_one(own):
    rule = MaskRule("mine.py:smallest")
    (own / "mine.py").write_text(GOOD.replace("-weight", "weight"))
    assert not rule.draw(sight(), 0.5)["0.weight"][0].any()
    assert MaskRule("mine.py:smallest").draw(sight(), 0.5)["0.weight"][0].all()


def test_a_finished_run_is_another_one_when_the_file_has_changed(own, capsys):
    argv = ["find", "omp", "--score", "mine.py:smallest", "--epochs", "2", "--batch", "512", "--out", "ticket"]
    assert main(argv) == 0 and main(argv) == 0
    assert "was found before" in capsys.readouterr().out
    (own / "mine.py").write_text(GOOD + "\n")
    assert main(argv) == 2
    assert "different ticket" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["score", "network"])
def test_a_sweep_notices_that_the_file_has_changed_since_its_finished_runs(own, part):
    (own / "net.py").write_text(
        "from torch import nn\ndef net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    )
    file, own_part = {"score": ("mine.py", 'score = "mine.py:smallest"'), "network": ("net.py", "")}[part]
    networks = 'networks = ["net.py:net"]\n' if part == "network" else ""
    grid = f'[grid]\nrecipes = ["omp"]\nsparsities = [0.9]\nseeds = 2\n{networks}'
    text = f'claim = "c"\n{grid}[run]\nepochs = 1\nbatch = 512\n'
    campaign, store = parse(text + own_part, name="c", where="c.toml"), Store(own / "runs")
    store.create()
    store.write(campaign.specs[0], execute(campaign.specs[0])[1])
    assert plan(campaign, store.root).left == campaign.specs[1:]
    content = (own / file).read_text()
    (own / file).write_text(content + "\n# another\n")
    with pytest.raises(
        UserError, match=f"the {part} '{file}:.*' is another than when the finished runs in .* were done"
    ):
        plan(campaign, store.root)
    (own / file).unlink()  # what is finished stays
    assert plan(campaign, store.root).left == campaign.specs[1:]
    (own / file).write_text(content)
    assert plan(campaign, store.root).left == campaign.specs[1:]


def test_a_campaign_may_name_it_for_all_or_for_one_recipe(own):
    text = 'claim = "c"\n[grid]\nrecipes = ["omp", "lth"]\nsparsities = [0.9]\nseeds = 1\n[run.lth]\nscore = "{}"\n'
    specs = parse(text.format("mine.py:smallest"), name="c", where="c.toml").specs
    assert [spec.score for spec in specs] == [None, "mine.py:smallest"]
    usable(specs)
    with pytest.raises(UserError, match="there is no file"):
        usable(parse(text.format("none.py:smallest"), name="c", where="c.toml").specs)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("bad.py:number", "the score 'bad.py:number' is a int: give a function"),
        ("bad.py:missing", "bad.py has no 'missing'"),
        ("none.py:score", "there is no file 'none.py'"),
        ("no_such_module:score", "ModuleNotFoundError"),
        ("broken.py:score", "SyntaxError"),
        (":score", "is no address"),
        ("mine.py:", "is no address"),
        ("magnitud", "did you mean 'magnitude'"),
    ],
)
def test_what_is_no_score_is_refused_before_the_run(name, why, own):
    (own / "broken.py").write_text("def score(:")
    for refused in (lambda: own_score.named(name), lambda: zoo.recipe(RunSpec("omp", score=name))):
        with pytest.raises(UserError, match=why) as caught:
            refused()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("raises", "the score 'bad.py:raises' fails: RuntimeError: broken here"),
        ("leaves", "fails: SystemExit"),
        ("stops", "the score 'bad.py:stops' fails: Stops: of its own"),
        ("mute", "fails: Mute: its text cannot be had"),
        ("no_arguments", "fails: TypeError"),
        ("numbers", "must give one number for each"),
        ("nothing", "must give one number for each"),
        ("shorter", "must give one number for each"),
        ("whole", "floating-point"),
        ("not_numbers", "the score 'bad.py:not_numbers' gives NaN for the weight '0.weight'"),
        ("sparse", "'bad.py:sparse' gives a sparse tensor for the weight '0.weight': give a dense one"),
        ("meta", "'bad.py:meta' gives a tensor without values for the weight '0.weight'"),
        ("freezes", "the score 'bad.py:freezes' changes what is trained: "),
        (
            "absolute",
            "the score 'bad.py:absolute' changes 0.weight of the network: let it work on copy.deepcopy",
        ),
        ("moves_statistics", "the score 'bad.py:moves_statistics' changes 1.running_mean of the network"),
        ("replaces", "the score 'bad.py:replaces' changes 0.weight of the network"),
        ("adds", "the score 'bad.py:adds' changes more of the network"),
        ("removes", "the score 'bad.py:removes' changes 1.running_mean of the network"),
        ("looks", "the score 'bad.py:looks' changes the hooks of 0: let it work on"),
        ("presses", "the score 'bad.py:presses' changes the hooks of 0.weight: "),
        ("collects", "the score 'bad.py:collects' changes the hooks of 0.weight: "),
        ("takes_over", "the score 'bad.py:takes_over' changes the forward of the network: "),
        ("no_gradients", "the score 'bad.py:no_gradients' leaves gradients switched off: "),
        ("dies_without_gradients", "fails: RuntimeError: broken"),
    ],
)
def test_what_a_score_does_wrong_is_one_sentence(name, why, own):
    with pytest.raises(UserError, match=why) as caught:
        MaskRule(f"bad.py:{name}").draw(sight(), 0.5)
    assert "\n" not in str(caught.value) and torch.is_grad_enabled()


def test_an_interruption_of_a_score_stays_one(own):
    with pytest.raises(KeyboardInterrupt):
        MaskRule("bad.py:interrupts").draw(sight(), 0.5)


def test_hooks_that_a_score_removes_again_are_no_change_and_those_of_the_network_stay(own):
    plain = MaskRule("magnitude").draw(sight(), 0.5)["0.weight"]
    assert torch.equal(MaskRule("bad.py:tidy").draw(sight(), 0.5)["0.weight"], plain)
    hooked = sight()
    hooked.network[0].register_forward_pre_hook(lambda module, given: None)
    assert torch.equal(MaskRule("bad.py:tidy").draw(hooked, 0.5)["0.weight"], plain)
    with pytest.raises(UserError, match="changes the hooks of 0:"):
        MaskRule("bad.py:unhooks").draw(hooked, 0.5)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("steps", [1, 3])
def test_a_score_that_edits_its_mask_edits_a_copy(kept, steps):
    def edits(sight):
        scores = {name: weight.detach().abs() for name, weight in sight.weights.items()}
        for seen in sight.mask.values():
            seen.fill_(kept)
        sight.mask.clear()
        return scores

    plain = MaskRule("magnitude", steps=steps).draw(sight(), 0.75)["0.weight"]
    before = sight()
    before.mask["0.weight"][0, 1] = False  # the largest
    assert torch.equal(MaskRule(edits, steps=steps).draw(sight(), 0.75)["0.weight"], plain)
    assert MaskRule(edits, steps=steps).draw(before, 0.75)["0.weight"].tolist() == [[True, False], [False, False]]
    assert before.mask["0.weight"].tolist() == [[True, False], [True, True]]


@pytest.mark.parametrize("name", sorted(SCORES))
def test_the_scores_that_come_along_leave_the_network_as_they_found_it(name):
    seen = build("conv-small", (1, 8, 8), 3, stream(0, "initial"))
    inputs = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    whole = Sight(seen, inputs, torch.arange(16) % 3, masks.full(masks.prunable(seen)), stream(0, "mask"))
    assert masks.pruned_of(MaskRule(name).draw(whole, 0.5)) == masks.size_of(whole.mask) // 2


def test_a_score_that_is_neither_name_nor_function_is_refused():
    with pytest.raises(UserError, match="a name or a function, not 3"):
        MaskRule(3)
