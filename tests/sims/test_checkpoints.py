"""Checkpoints: a run killed anywhere ends with the same bits, and no file, however damaged, ends in a traceback."""

from __future__ import annotations

import dataclasses
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.sims.killed_runs import SPEC, Killed, interrupted
from unilth.errors import UserError
from unilth.sims import checkpoints, masks, zoo
from unilth.sims.checkpoints import Checkpoint, packed, unpacked
from unilth.sims.data import Augment, Dataset, load
from unilth.sims.execute import execute
from unilth.sims.find import Budget, Search
from unilth.sims.one_run import find_into
from unilth.sims.penalties import GrowingPenalty
from unilth.sims.recipe import Rewind, Rounds
from unilth.sims.records import dump
from unilth.sims.results import Store
from unilth.sims.stopping import EarlyStopping
from unilth.sims.streams import stream
from unilth.sims.sweep import RUN
from unilth.sims.tickets import Ticket
from unilth.sims.worker import serve

BUDGET = Budget(epochs=8, tune=0.25, batch=512)
UNILTH, LTH, DLTH = (zoo.row(name).recipe for name in ("unilth", "lth", "dlth"))
RECIPES = {
    "early stop, penalty, rounds": dataclasses.replace(UNILTH, stop=EarlyStopping(1), rounds=Rounds(2)),
    "rewinding to a step": dataclasses.replace(LTH, rewind=Rewind("step", 3), rounds=Rounds(2, free="each")),
    "random masks": dataclasses.replace(DLTH, rounds=Rounds(3)),
}


class Network(nn.Module):
    """Everything that has state: momentum, batch statistics, dropout, a tied and a frozen weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.again, self.last = (
            nn.Linear(n, m) for n, m in ((64, 24), (24, 24), (24, 24), (24, 10))
        )
        self.norm, self.drop = nn.BatchNorm1d(24), nn.Dropout(0.2)
        self.again.weight = self.middle.weight
        self.last.bias.requires_grad_(False)
        for number, parameter in enumerate(self.parameters()):
            nn.init.normal_(parameter, std=0.2, generator=stream(number, "network"))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden = self.norm(self.first(inputs.flatten(1))).relu()
        return self.last(self.drop(self.again(self.middle(hidden).relu())))


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def digits():
    """The scans as images in uint8 that training augments."""
    plain = load("digits")
    splits = [((inputs * 20 + 80).clamp(0, 255).byte(), labels) for inputs, labels in (plain.train, plain.validation)]
    return Dataset("digits", 10, *splits, splits[1], (0.3,), (0.1,), Augment(crop=1, flip=True))


def searched(digits, recipe, path: Path | None, kill: int = 0, lost: int = 0) -> tuple[Ticket, list, list]:
    """One search, killed after epoch ``kill``; the last ``lost`` epochs before that have no checkpoint."""

    def progress(done: int, total: int, what: str) -> None:
        if done == kill:
            raise Killed

    checkpoint = Checkpoint(path, {"of": "this"}, seconds=0) if path else None
    search = Search(recipe, Network(), digits, 0.8, 3, BUDGET, progress, checkpoint)
    if checkpoint and kill:
        checkpoint.due = lambda: search.used <= kill - lost
    ticket = search.run()
    return ticket, search.rows, search.phases


@pytest.mark.parametrize("name", RECIPES)
def test_killed_after_any_epoch_it_ends_with_the_same_bits(digits, tmp_path, name):
    ticket, rows, phases = searched(digits, RECIPES[name], None)
    kinds = {phase["phase"] for phase in phases if phase["epochs"]}
    assert {"tune"} < kinds and len(rows) == BUDGET.epochs
    for kill in range(1, BUDGET.epochs):
        path = tmp_path / f"{kill}.safetensors"
        with pytest.raises(Killed):
            searched(digits, RECIPES[name], path, kill, kill % 2)
        assert path.exists() == (kill > 1)
        again, *log = searched(digits, RECIPES[name], path)
        assert again.digest() == ticket.digest() and log == [rows, phases], kill
        assert [masks.digest(mask) for mask in again.masks] == [masks.digest(mask) for mask in ticket.masks]


def test_killed_twice_and_again(digits, tmp_path):
    recipe = RECIPES["early stop, penalty, rounds"]
    path = tmp_path / "c"
    for kill in (2, 4, 5, 8):
        with pytest.raises(Killed):
            searched(digits, recipe, path, kill, 1)
    assert searched(digits, recipe, path)[0].digest() == searched(digits, recipe, None)[0].digest()


@pytest.mark.parametrize(
    "lost", ["order", "layers", "optimizer", "watch", "snapshot", "step", "chosen", "draws", "chance"]
)
def test_everything_that_is_saved_matters(digits, tmp_path, lost):
    """A checkpoint that forgets one thing ends elsewhere: the comparison of the first test sees each of them."""
    name = {"snapshot": "rewinding to a step"} | dict.fromkeys(("step", "chosen", "draws"), "random masks")
    recipe = RECIPES[name.get(lost, "early stop, penalty, rounds")]
    straight, *_ = searched(digits, recipe, None)
    path = tmp_path / "c"
    with pytest.raises(Killed):
        searched(digits, recipe, path, {"step": 1, "chosen": 3}.get(lost, 2))
    tree = unpacked(path.read_bytes())
    held = tree["tree"]["training"] if lost in tree["tree"]["training"] else tree["tree"]
    wrong = {
        "step": lambda value: 0,
        "snapshot": lambda value: {key: tensor * 2 for key, tensor in value.items()},
        "optimizer": lambda value: [{} for _ in value],
        "watch": lambda value: value | {"best": -1.0},
        "chosen": lambda value: [mask.flip(0) for mask in value],  # each still inside the one before
    }
    held[lost] = wrong.get(lost, lambda value: stream(99, "else").get_state())(held[lost])
    path.write_bytes(packed(tree))
    ticket, *_ = searched(digits, recipe, path)
    assert ticket.digest() != straight.digest()


@pytest.fixture(scope="module")
def straight() -> dict:
    return plain(execute(SPEC)[1])


def plain(record: dict) -> dict:
    return {**json.loads(dump(record)), "timing": 0}


def test_a_run_in_a_folder_goes_on_and_cleans_up(tmp_path, straight):
    interrupted(tmp_path)
    epochs, said = [], []
    record, fresh = find_into(SPEC, tmp_path, progress=lambda done, *_: epochs.append(done), say=said.append)
    assert fresh and epochs == [5, 6] and said == [] and plain(record) == straight
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "record.json", "ticket.json", "ticket.safetensors"}


def test_the_time_before_the_interruption_counts(tmp_path):
    path = interrupted(tmp_path)
    tree = unpacked(path.read_bytes())
    assert tree["tree"]["seconds"] > 0
    tree["tree"]["seconds"] = 1000.0
    path.write_bytes(packed(tree))
    timing = find_into(SPEC, tmp_path)[0]["timing"]
    assert 1000 < timing["training_seconds"] <= timing["seconds"] < 1100


def test_a_checkpoint_of_another_run_is_passed_over(tmp_path, straight, monkeypatch):
    path = interrupted(tmp_path)
    content, said = path.read_bytes(), []
    other = dataclasses.replace(SPEC, seed=1)
    assert plain(execute(other, checkpoint=path, say=said.append)[1]) == plain(execute(other)[1])
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "code_digest", lambda: "0")
        patch.setattr("unilth.sims.execute.code_digest", lambda: "0")
        assert plain(execute(SPEC, checkpoint=path, say=said.append)[1]) == straight
    assert [line.partition(str(path))[2] for line in said] == [
        " is of another run (other spec, initial weights): the run starts from the beginning",
        " is of another run (other code): the run starts from the beginning",
    ]
    assert content == path.read_bytes()  # nothing was due


def test_a_checkpoint_of_this_run_on_other_data_is_kept(tmp_path):
    path = interrupted(tmp_path)
    tree = unpacked(path.read_bytes())
    tree["identity"]["data"] = "0" * 64
    path.write_bytes(packed(tree))
    content = path.read_bytes()
    with pytest.raises(UserError, match="is of this run on other data: give another folder, or remove"):
        find_into(SPEC, tmp_path)
    assert content == path.read_bytes() and not (tmp_path / "record.json").exists()


def test_damaged_files_are_passed_over_in_a_sentence(tmp_path):
    path = interrupted(tmp_path / "run", 1)
    content = path.read_bytes()
    identity = unpacked(content)["identity"]
    draw = random.Random(0)
    damaged = [b"", b"\0" * 8, b"\xff" * 100, content[:-1], content + b"\0", b"[1, 2]", packed({}), packed([1.0])]
    damaged += [content[: draw.randrange(len(content))] for _ in range(10)]
    for place in [*range(0, 4000, 97), *(draw.randrange(len(content)) for _ in range(25))]:
        flipped = bytearray(content)
        flipped[place] ^= 1 << draw.randrange(8)
        damaged.append(bytes(flipped))
    for number, bad in enumerate(damaged):
        path.write_bytes(bad)
        said = []
        assert Checkpoint(path, identity, say=said.append).read() is None, number
        assert len(said) == 1 and "\n" not in said[0] and "starts from the beginning" in said[0]
    path.write_bytes(content)
    assert Checkpoint(path, identity, say=said.append).read() is not None and len(said) == 1
    path.unlink()
    path.mkdir()
    assert Checkpoint(path, identity, say=said.append).read() is None and len(said) == 2


def test_a_full_disk_does_not_end_the_run(tmp_path, straight):
    (tmp_path / "file").write_text("")
    said = []
    record = execute(SPEC, checkpoint=tmp_path / "file" / "below", every=0, say=said.append)[1]
    assert plain(record) == straight and len(said) == 1 + 6 and "the run goes on without it" in said[1]


def test_no_checkpoint_before_it_is_due(tmp_path):
    execute(SPEC, checkpoint=tmp_path / "c")
    assert not (tmp_path / "c").exists()
    checkpoint = Checkpoint(tmp_path / "c", {}, seconds=1000)
    assert not checkpoint.due()
    checkpoint.last -= 1000
    assert checkpoint.due()
    checkpoint.write({})
    assert not checkpoint.due() and (tmp_path / "c").exists()
    checkpoint.remove()
    assert checkpoint.read() is None


def test_trees_come_back_as_they_were():
    shared = torch.arange(6.0).reshape(2, 3)
    tree = {
        "none": None, "true": True, "whole": 3, "real": 0.1, "text": "é", "odd": [float("inf"), float("-inf"), {}, []],
        "tied": [shared, shared, shared.T], "kinds": [torch.tensor(True), torch.zeros(0), torch.tensor([1, 2])],
        "half": torch.ones(3, dtype=torch.bfloat16), "tensor": {"tensor": "00000"},
    }  # fmt: skip
    back = unpacked(packed(tree))
    assert str(back) == str(tree) and back["true"] is True and back["half"].dtype == torch.bfloat16
    assert str(unpacked(packed([float("nan")]))) == "[nan]"
    for bad, kind in (({"a": {1, 2}}, "set"), ({1: 2}, "key 1"), ([GrowingPenalty()], "GrowingPenalty")):
        with pytest.raises(TypeError, match=kind):
            packed(bad)


def test_a_worker_of_a_sweep_goes_on_where_a_dead_one_was(tmp_path, straight):
    store, said = Store(tmp_path / "out"), []
    path = store.checkpoint(SPEC)
    interrupted(tmp_path / "run").rename(path.parent.mkdir(parents=True) or path)
    tree = unpacked(path.read_bytes())
    tree["tree"]["seconds"] = 1000.0  # so that the record tells whether it was used
    path.write_bytes(packed(tree))
    setup = {"run": RUN, "check": None, "out": str(store.root), "data_dir": None, "path": list(sys.path)}
    setup |= {"device": "cpu", "number": 0}
    serve([setup, {"spec": dataclasses.asdict(SPEC)}], said.append)
    record = store.finished(SPEC)
    assert [message["event"] for message in said] == ["ready", "done"] and record["timing"]["seconds"] > 1000
    del record["files"]
    assert plain(record) == straight and not path.exists()


SCRIPT = """
import sys, pathlib
from unilth.sims.one_run import find_into
from unilth.sims.spec import RunSpec
spec = RunSpec.from_json(sys.argv[1])
find_into(spec, pathlib.Path(sys.argv[2]), progress=lambda done, *_: print(done, flush=True), every=0)
"""


def test_a_real_kill(tmp_path):
    spec = dataclasses.replace(SPEC, epochs=30)
    command = [sys.executable, "-c", SCRIPT, spec.to_json(), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        seen = [int(next(process.stdout)) for _ in range(8)]
        time.sleep(random.random() * 0.02)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL and seen[-1] == 8
    assert not (tmp_path / "record.json").exists() and (tmp_path / checkpoints.FILE).exists()
    epochs, said = [], []
    record, _ = find_into(spec, tmp_path, progress=lambda done, *_: epochs.append(done), say=said.append)
    assert said == [] and epochs[0] > 8 and plain(record) == plain(execute(spec)[1])
    assert Ticket.load(tmp_path).digest() == record["ticket_digest"]
