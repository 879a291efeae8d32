"""Whole runs on a GPU: every row of the zoo, both sanity controls, a run that was killed. Some run on a CPU as well."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unilth.sims import checkpoints, masks, zoo
from unilth.sims.execute import execute
from unilth.sims.one_run import find_into
from unilth.sims.spec import RunSpec
from unilth.sims.tickets import Ticket

GPU = (pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))
DEVICES = ("cpu", pytest.param("cuda:0", marks=GPU))
BOTH = [
    ("cpu", "unilth"),
    ("cpu", "snip"),
    ("cpu", "lth-step"),
    *(pytest.param("cuda:0", name, marks=GPU) for name in zoo.NAMES),
]
SHORT = {"network": "conv-small", "epochs": 6, "batch": 128, "patience": 1}


class Killed(BaseException):
    """A kill, as far as a process can do that to itself."""


def spec(name: str, **more: object) -> RunSpec:
    """A short run with early stopping where the row has it, and with enough steps before the one it rewinds to."""
    recipe = zoo.row(name).recipe
    rounds = {"rounds": 2} if recipe.rewind.step else {}
    chosen = SHORT | rounds | more
    return RunSpec(name, **{k: v for k, v in chosen.items() if k != "patience" or hasattr(recipe.stop, "patience")})


@pytest.mark.parametrize(("device", "name"), BOTH)
def test_a_row_of_the_zoo_ends_in_a_ticket(device: str, name: str, tmp_path: Path) -> None:
    record, _ = find_into(spec(name), tmp_path, device=device)
    ticket = Ticket.load(tmp_path)
    assert record["device"] == ("cpu" if device == "cpu" else torch.cuda.get_device_name(device))
    assert (record["timing"]["peak_device_memory_mib"] is None) == (device == "cpu")
    assert len(record["epochs"]) == 6 and record["ticket_digest"] == ticket.digest()
    for layer, kept in ticket.mask.items():
        assert ticket.weights[layer][~kept].count_nonzero() == 0
    dense = name == "dense"
    assert (masks.pruned_of(ticket.mask) == 0) == dense
    assert dense or abs(masks.sparsity_of(ticket.mask) - 0.9) < 0.01


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("control", ["shuffled", "reinitialised"])
def test_a_sanity_control(device: str, control: str) -> None:
    ticket, record = execute(spec("unilth", control=control), device=device)
    other, _ = execute(spec("unilth"), device=device)
    assert masks.pruned_of(ticket.mask) == masks.pruned_of(other.mask)
    assert record["sparsity"]["layers"] == masks.layer_sparsity(other.mask)
    if device == "cpu" or control == "shuffled":  # on a GPU the same bits are not promised
        assert (masks.digest(ticket.mask) != masks.digest(other.mask)) == (control == "shuffled")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kill", [2, 5])
@pytest.mark.parametrize("recipe", ["unilth", "early-bird"])
def test_a_killed_run_goes_on(device: str, kill: int, recipe: str, tmp_path: Path) -> None:
    """On a CPU to the same bits; on a GPU, where that is not promised, from the same epoch and to the same count."""
    wanted = spec(recipe, rounds=2)

    def progress(done: int, total: int, what: str) -> None:
        if done == kill:
            raise Killed

    with pytest.raises(Killed):
        find_into(wanted, tmp_path, progress=progress, every=0, device=device)
    assert (tmp_path / checkpoints.FILE).exists()
    seen: list[int] = []
    said: list[str] = []
    record, _ = find_into(wanted, tmp_path, progress=lambda done, *_: seen.append(done), device=device, say=said.append)
    assert seen == list(range(kill + 1, 7)) and said == []
    _, straight = execute(wanted, device=device)
    assert record["sparsity"]["pruned"] == straight["sparsity"]["pruned"]
    if device == "cpu":
        assert record["ticket_digest"] == straight["ticket_digest"]


@pytest.mark.parametrize("device", DEVICES)
def test_bfloat16_learns_too(device: str) -> None:
    _, record = execute(spec("omp", epochs=12, precision="bfloat16", sparsity=0.5), device=device)
    assert record["test"]["accuracy"] > 0.5
