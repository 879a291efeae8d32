"""Early stopping: counts epochs without improvement, fires once, restores the best network whole."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from unilth.errors import UserError
from unilth.sims.stopping import EarlyStopping, Epochs, MaskWatch, SettledMask, Watch


def firing(losses, patience) -> tuple[list[int], int | None]:
    """At which epochs the watch says stop, and which epoch it holds for the best."""
    watch, network = Watch(EarlyStopping(patience)), nn.Linear(1, 1)
    fired = [epoch for epoch, loss in enumerate(losses, start=1) if watch.update(loss, network)]
    return fired, watch.best_epoch


@pytest.mark.parametrize(
    ("losses", "patience", "expected"),
    [
        ([5, 4, 3, 2, 1], 2, ([], 5)),
        ([5, 4, 4, 4], 2, ([4], 2)),  # an equal loss is no improvement
        ([5, 4, 6, 3, 6, 6, 1, 1], 2, ([6], 7)),  # an improvement starts the count again; later rises change nothing
        ([3, math.nan, math.nan, 2], 2, ([3], 4)),
        ([math.nan, math.nan], 2, ([2], None)),
        ([math.inf, 1, math.inf], 2, ([], 2)),
        ([1, 2, 2, 2, 2, 2, 2], 1, ([2], 1)),  # once, however long it goes on
    ],
)
def test_fires_once_when_patience_runs_out(losses, patience, expected):
    assert firing(losses, patience) == expected


def test_restores_weights_and_buffers_of_the_best_epoch():
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    watch, states = Watch(EarlyStopping(3)), []
    for loss in (3.0, 1.0, 2.0, math.nan):
        with torch.no_grad():
            network[0].weight.add_(1)
            network[1].running_mean.add_(1)
            network[1].num_batches_tracked.add_(1)
        states.append({name: value.clone() for name, value in network.state_dict().items()})
        watch.update(loss, network)
    watch.restore(network)
    restored = network.state_dict()
    assert all(torch.equal(restored[name], states[1][name]) for name in restored)
    assert not torch.equal(restored["0.weight"], states[3]["0.weight"])


def test_nothing_is_restored_where_no_epoch_was_any_good():
    network = nn.Linear(1, 1)
    before = network.weight.clone()
    watch = Watch(EarlyStopping(1))
    watch.update(math.nan, network)
    watch.restore(network)
    assert torch.equal(network.weight, before)


def test_bad_arguments_are_named():
    for bad in (lambda: EarlyStopping(0), lambda: EarlyStopping(patience=-1)):
        with pytest.raises(UserError, match="patience"):
            bad()
    with pytest.raises(UserError, match="max_epochs"):
        EarlyStopping(5, 0)
    with pytest.raises(UserError, match="number"):
        Epochs(-1)
    assert Epochs(3).most == 3 and EarlyStopping(5, 9).most == 9 and Epochs().most is None


def settling(orders, last: int, tolerance: float) -> list[int]:
    """At which epochs the mask of half of ten weights has settled; an epoch says how far magnitudes are rolled."""
    watch, network, fired = MaskWatch(SettledMask(last, tolerance, sparsity=0.5)), nn.Linear(10, 1), []
    for epoch, order in enumerate(orders, start=1):
        with torch.no_grad():
            network.weight.copy_((torch.arange(10.0) + 1).roll(order) * (-1) ** epoch)  # signs do not matter
        if watch.update(math.nan, network):
            fired.append(epoch)
    return fired


@pytest.mark.parametrize(
    ("orders", "last", "tolerance", "fired"),
    [
        ([0, 0, 0, 0, 0, 0, 0], 5, 0.1, [5]),  # not before there are five masks, and once
        ([0, 5, 0, 5, 0, 5, 0, 5], 5, 0.1, []),  # two halves in turn: consecutive masks and alternate ones on average
        ([0, 5, 5, 5, 5, 5, 5], 5, 0.1, [6]),  # the first mask must have left the window
        ([0, 1, 1], 2, 0.19, [3]),  # rolled by one, 2 of 10 weights differ
        ([0, 1, 1], 2, 0.2, [2]),
        ([0, 1, 1, 1, 1, 1], 5, 0.1, [6]),  # one mask of four differs in 2 of 10: 0.05 on average, and 0.2 once
    ],
)
def test_free_training_ends_when_the_mask_settles(orders, last, tolerance, fired):
    assert settling(orders, last, tolerance) == fired


def test_masks_that_a_checkpoint_brought_back_are_compared_where_the_network_lies(monkeypatch):
    """On a GPU they lie on the CPU: here every mask says where it was asked to go."""
    network, asked = nn.Linear(10, 1), []
    watch = MaskWatch(SettledMask(2, 0.1, sparsity=0.5))
    watch.update(0.0, network)

    class Elsewhere(torch.Tensor):
        def to(self, device):
            asked.append(device)
            return self.as_subclass(torch.Tensor)

    watch.masks = [{name: kept.as_subclass(Elsewhere) for name, kept in mask.items()} for mask in watch.masks]
    assert watch.update(0.0, network) and asked == [network.weight.device]


@pytest.mark.parametrize("bad", [{"last": 1}, {"tolerance": 0.0}, {"tolerance": 1.5}, {"max_epochs": 0}])
def test_bad_settled_masks_are_named(bad):
    with pytest.raises(UserError, match=next(iter(bad))):
        SettledMask(**bad)
