"""Ctrl-C at any moment costs the epoch that was on its way and nothing before it."""

from __future__ import annotations

import json

import pytest
import torch

from tests.sims.killed_runs import SPEC
from unilth.errors import UserError
from unilth.sims import checkpoints, training
from unilth.sims.checkpoints import Checkpoint, unpacked
from unilth.sims.execute import execute
from unilth.sims.one_run import find_into
from unilth.sims.records import dump
from unilth.sims.tickets import Ticket


def plain(record: dict) -> dict:
    return {**json.loads(dump(record)), "timing": 0}


@pytest.fixture(scope="module")
def straight() -> dict:
    return plain(execute(SPEC)[1])


def pressed(monkeypatch, folder, epoch: int) -> None:
    """Ctrl-C when the steps of ``epoch`` are done and its validation loss is not known yet; no checkpoint is due."""
    asked = []

    def evaluate(*args):
        asked.append(args)
        if len(asked) == epoch:
            raise KeyboardInterrupt
        return original(*args)

    original = training.evaluate
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "evaluate", evaluate)
        find_into(SPEC, folder, every=1000)


@pytest.mark.parametrize("epoch", range(2, SPEC.epochs + 1))
def test_the_epochs_before_ctrl_c_are_kept(tmp_path, monkeypatch, straight, epoch):
    pressed(monkeypatch, tmp_path, epoch)
    epochs = []
    record, fresh = find_into(SPEC, tmp_path, progress=lambda done, *_: epochs.append(done))
    assert fresh and epochs == list(range(epoch, SPEC.epochs + 1)) and plain(record) == straight
    assert not (tmp_path / checkpoints.FILE).exists()


def test_ctrl_c_again_and_again(tmp_path, monkeypatch, straight):
    pressed(monkeypatch, tmp_path, 2)
    before = (tmp_path / checkpoints.FILE).read_bytes()
    pressed(monkeypatch, tmp_path, 1)  # nothing new: the file stays as it was
    assert (tmp_path / checkpoints.FILE).read_bytes() == before
    pressed(monkeypatch, tmp_path, 3)
    assert plain(find_into(SPEC, tmp_path)[0]) == straight


def test_in_the_first_epoch_there_is_nothing_to_keep(tmp_path, monkeypatch):
    pressed(monkeypatch, tmp_path, 1)
    assert not (tmp_path / checkpoints.FILE).exists()


def test_what_is_held_does_not_change_with_the_run(tmp_path):
    checkpoint = Checkpoint(tmp_path / "c", {}, seconds=1000, hold=True)
    checkpoint.keep()
    assert not checkpoint.path.exists()
    weight, rows = torch.zeros(2), [{"epoch": 1}]
    checkpoint.note(lambda: {"weight": {"of": weight}, "rows": rows})
    weight += 1
    rows[0]["epoch"] = 2
    rows.append({"epoch": 3})
    checkpoint.keep()
    tree = unpacked(checkpoint.path.read_bytes())["tree"]
    assert tree["weight"]["of"].tolist() == [0, 0] and tree["rows"] == [{"epoch": 1}]
    checkpoint.path.unlink()
    checkpoint.keep()  # what was written is not written again
    assert not checkpoint.path.exists()


def test_of_a_run_that_is_over_nothing_is_kept(tmp_path):
    checkpoint = Checkpoint(tmp_path / "c", {}, seconds=1000, hold=True)
    checkpoint.note(dict)
    checkpoint.remove()
    checkpoint.keep()
    assert not checkpoint.path.exists()


def test_nothing_is_copied_where_nobody_can_interrupt(tmp_path):
    checkpoint = Checkpoint(tmp_path / "c", {}, seconds=1000)
    checkpoint.note(lambda: pytest.fail("the tree is made for nothing"))
    assert checkpoint.held is None


def test_a_checkpoint_that_is_due_is_written_at_once(tmp_path):
    checkpoint = Checkpoint(tmp_path / "c", {}, seconds=0, hold=True)
    checkpoint.note(dict)
    assert checkpoint.path.exists() and checkpoint.held is None


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_saving_the_ticket_may_be_interrupted_or_fail(tmp_path, monkeypatch, straight, error):
    def save(self, folder):
        raise error

    with monkeypatch.context() as patch, pytest.raises((KeyboardInterrupt, UserError)):
        patch.setattr(Ticket, "save", save)
        find_into(SPEC, tmp_path, every=1000)
    epochs = []
    record, _ = find_into(SPEC, tmp_path, progress=lambda done, *_: epochs.append(done))
    assert epochs == [] and plain(record) == straight


def test_on_a_full_disk_nothing_is_said_to_go_on(tmp_path, monkeypatch):
    said = []

    def full(path, content):
        raise OSError(28, "No space left on device")

    checkpoint = Checkpoint(tmp_path / "c", {}, seconds=1000, hold=True, say=said.append)
    checkpoint.note(dict)
    monkeypatch.setattr(checkpoints, "write", full)
    checkpoint.keep()
    why = "(No space left on device); what was done since the last one is lost"
    assert said == [f"the checkpoint {checkpoint.path} cannot be written {why}"]
