"""Checkpoints that somebody made: whatever contradicts itself or its run is refused in a sentence."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.sims.killed_runs import SPEC, Killed, interrupted
from unilth.errors import UserError
from unilth.sims import checkpoints, training
from unilth.sims.checkpoint_trees import misfit
from unilth.sims.checkpoints import packed, unpacked
from unilth.sims.one_run import find_into


def momentum(tree: dict, value: object) -> None:
    tree["training"]["optimizer"] = [{"momentum_buffer": value} for _ in tree["training"]["optimizer"]]


@pytest.mark.parametrize("watch", [{"best": "x"}, {"best_epoch": 1.5}, {"epochs": None}, {"fired": 1}, {"_state": {}}])
def test_what_a_stopping_rule_has_seen_is_checked(tmp_path, watch):
    path = interrupted(tmp_path, 1)
    tree = unpacked(path.read_bytes())
    assert watch.keys() < tree["tree"]["training"]["watch"].keys() and misfit(tree["tree"]) is None
    tree["tree"]["training"]["watch"].update(watch)
    path.write_bytes(packed(tree))
    with pytest.raises(UserError, match=r"checkpoint\.safetensors does not fit its run .*: remove it$"):
        find_into(SPEC, tmp_path)


@pytest.mark.parametrize(
    "tamper",
    [
        lambda tree: tree.pop("order"),
        lambda tree: tree.update(order=torch.zeros(3)),
        lambda tree: tree.update(phases=7),
        lambda tree: tree.update(phases=[{}]),
        lambda tree: tree.update(phases=tree["phases"] * 9),
        lambda tree: tree.update(chosen=[torch.zeros(1)]),
        lambda tree: tree.update(chosen=["mask"]),
        lambda tree: tree.update(layers="x"),
        lambda tree: tree["training"].update(phase=["press", 9]),
        lambda tree: tree["training"].update(optimizer=[]),
        lambda tree: tree["training"].update(rows=None),
        lambda tree: tree["training"].update(watch={"update": 1}),
        lambda tree: tree["training"]["network"].update({"fc1.weight": torch.zeros(2)}),
        lambda tree: tree["training"]["network"].clear(),
        lambda tree: tree["phases"][0].update(epochs=-3),
        lambda tree: tree["phases"][0].update(epochs=10**9),
        lambda tree: tree["phases"][0].update(epochs=1.5),
        lambda tree: tree["phases"][0].update(phase="tune"),
        lambda tree: tree.update(rows=[]),
        lambda tree: tree.update(chosen=[]),
        lambda tree: tree.update(chosen=tree["chosen"] * 2),
        lambda tree: tree.update(chosen=[mask.float() for mask in tree["chosen"]]),
        lambda tree: tree.update(rewound=3),
        lambda tree: tree.update(rewound={}),
        lambda tree: tree.update(rewound={"fc1.weight": torch.zeros(2)}),
        lambda tree: tree.update(seconds=10**400),
        lambda tree: tree.update(seconds=float("nan")),
        lambda tree: tree.update(seconds=-1.0),
        lambda tree: tree.update(seconds=None),
        lambda tree: tree.update(training=3),
        lambda tree: tree["training"].update(stopped="no"),
        lambda tree: tree["training"].update(rows=[{}] * 500),
        lambda tree: tree["training"].update(rows=[3]),
        lambda tree: tree["training"].update(step=float("inf")),
        lambda tree: tree["training"].update(step=-(10**6)),
        lambda tree: tree["training"].update(step=10**30),
        lambda tree: tree["training"].update(snapshot="x"),
        lambda tree: tree["training"].update(rows=tree["training"]["rows"] * 500),
        lambda tree: momentum(tree, torch.zeros(7)),
        lambda tree: momentum(tree, "abc"),
        lambda tree: momentum(tree, 3.0),
        lambda tree: momentum(tree, None),
        lambda tree: momentum(tree, torch.zeros(10, dtype=torch.int32)),
        lambda tree: tree["training"].update(phase=["free"]),
        lambda tree: tree["training"]["watch"].update(masks=3),
    ],
)
def test_a_forged_checkpoint_is_refused_in_a_sentence(tmp_path, tamper):
    path = interrupted(tmp_path)
    tree = unpacked(path.read_bytes())
    tamper(tree["tree"])
    path.write_bytes(packed(tree))
    with pytest.raises(UserError, match=r"checkpoint\.safetensors does not fit its run .*: remove it$"):
        find_into(SPEC, tmp_path)
    assert not (tmp_path / "record.json").exists()


def test_a_forged_mask_revives_nothing_and_a_lost_state_is_named(tmp_path):
    spec = dataclasses.replace(SPEC, recipe="lth-step", rewind="step:3", epochs=12, rounds=3, patience=None)

    def progress(done, total, what):
        if what.startswith("free, round 3"):
            raise Killed

    with pytest.raises(Killed):
        find_into(spec, tmp_path, progress=progress, every=0)
    path = tmp_path / checkpoints.FILE
    content = path.read_bytes()
    revived, lost = unpacked(content), unpacked(content)
    assert len(revived["tree"]["chosen"]) == 2
    revived["tree"]["chosen"][1] |= 255 - revived["tree"]["chosen"][1]
    lost["tree"]["rewound"] = None
    for tree, words in ((revived, "a mask of it revives weights"), (lost, "it has no state to rewind to")):
        path.write_bytes(packed(tree))
        with pytest.raises(UserError, match=rf"does not fit its run \({words}\): remove it$"):
            find_into(spec, tmp_path)
    path.write_bytes(content)
    assert find_into(spec, tmp_path)[1]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("out of memory"), torch.AcceleratorError("a fault")])
def test_a_fault_of_the_device_is_not_blamed_on_the_checkpoint(tmp_path, monkeypatch, error):
    path = interrupted(tmp_path)

    def load(self, state):
        raise error

    monkeypatch.setattr(training.Training, "load", load)
    with pytest.raises(type(error), match=str(error)):
        find_into(SPEC, tmp_path)
    assert path.exists()
