"""Training that diverged, and what is no ticket: refused in a sentence, and never saved."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unilth.errors import UserError
from unilth.sims import masks, training
from unilth.sims.data import load
from unilth.sims.execute import execute
from unilth.sims.find import Budget, Search, find
from unilth.sims.sound import diverged, no_ticket
from unilth.sims.spec import RunSpec
from unilth.sims.tickets import Ticket
from unilth.sims.zoo import row

NAN, INF = torch.tensor([torch.nan]), torch.tensor([torch.inf])
ZERO = torch.zeros(1)
FINE = {"train_loss": 1.0, "validation_loss": 2.0}


@pytest.mark.parametrize(
    ("state", "start", "losses", "what"),
    [
        ({"w": ZERO}, {"w": ZERO}, FINE, None),
        ({"w": ZERO}, {"w": ZERO}, None, None),  # a phase without an epoch
        ({"w": INF}, {"w": INF.clone()}, FINE, None),  # a causal mask
        ({"w": -INF}, {"w": INF}, FINE, "w is not finite: lower lr"),
        ({"w": NAN}, {"w": ZERO}, FINE, "w is not finite: lower lr"),
        ({"w": INF}, {}, FINE, "w is not finite: lower lr"),
        ({"w": INF.to(torch.float8_e5m2)}, {"w": ZERO.to(torch.float8_e5m2)}, FINE, "w is not finite: lower lr"),
        ({"w": ZERO}, {"w": ZERO}, FINE | {"train_loss": torch.inf}, "the train loss is inf: lower lr"),
        (
            {"w": ZERO},
            {"w": ZERO},
            FINE | {"validation_loss": torch.nan},
            "the validation loss is nan: lower lr, or look at evaluation mode",
        ),
    ],
)
def test_what_says_that_training_diverged(state, start, losses, what):
    assert diverged(state, start, losses) == what


HALF = {"w": torch.tensor([True, False])}


@pytest.mark.parametrize(
    ("weights", "initial", "what"),
    [
        ({"w": torch.tensor([1.0, 0.0])}, {"w": torch.ones(2)}, None),
        ({"w": torch.tensor([1.0, -0.0]), "b": INF}, {"w": torch.ones(2), "b": INF}, None),
        ({"w": torch.ones(2)}, {"w": torch.ones(2)}, "writes to its own weight w"),
        ({"v": torch.zeros(2)}, {"v": torch.ones(2)}, "without the weight w"),
        ({"w": torch.zeros(3)}, {"w": torch.ones(3)}, "without the weight w"),
        ({"w": torch.zeros(2)}, {"w": torch.ones(2).double()}, "w in another type or shape"),
        ({"w": torch.zeros(2)}, {"w": torch.ones(2, 1)}, "w in another type or shape"),
        ({"w": torch.zeros(2), "b": ZERO}, {"w": torch.ones(2)}, "b in another type or shape"),
        ({"w": torch.zeros(2)}, {"w": torch.ones(2), "b": ZERO}, "b in another type or shape"),
        ({"w": torch.zeros(2)}, {"w": INF.expand(2)}, "values in w from the start"),
        ({"w": torch.zeros(2), "b": NAN}, {"w": torch.ones(2), "b": NAN}, "values in b from the start"),
    ],
)
def test_what_is_no_ticket(weights, initial, what):
    found = no_ticket(HALF, weights, initial)
    assert found is None if what is None else what in found


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        (
            {"recipe": "random", "network": "conv-small", "epochs": 3, "examples": 60, "lr": 1e8},
            r"in the phase 'tune' \(lr 100000000.0\), norm2.running_var is not finite: lower lr",
        ),
        (
            {"recipe": "omp", "epochs": 3, "examples": 60, "lr": 1e4},
            r"in the phase 'tune' \(lr 10000.0\), the validation loss is nan: lower lr, or look at evaluation mode",
        ),
    ],
)
def test_a_network_whose_weights_are_finite_may_have_diverged(spec, what, tmp_path):
    path = tmp_path / "checkpoint"
    with pytest.raises(UserError, match="training diverged " + what):
        execute(RunSpec(**spec), checkpoint=path, every=0)
    assert not path.exists()


OWN = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.first, self.last = nn.Linear(64, 16), nn.Linear(16, classes)
        self.register_buffer("causal", torch.full((2, 2), -torch.inf).triu(1))
        self.register_buffer("eight", torch.arange(4.0).to(torch.float8_e4m3fn))
        self.closed = nn.Parameter(torch.tensor([-torch.inf]), requires_grad=False)

    def forward(self, x):
        return self.last(self.first(x.flatten(1)).relu())


class Nowhere(Net):
    def forward(self, x):
        return super().forward(x) * (torch.nan if len(x) == 360 else 1)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with a user's file, which is the current one."""
    (tmp_path / "ends.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)


def test_infinities_from_the_start_and_eight_bits_are_no_divergence(own):
    for recipe in ("unilth", "lth"):
        ticket, _ = execute(RunSpec(recipe, network="ends.py:Net", epochs=6, examples=60, sparsity=0.5))
        assert torch.equal(ticket.weights["closed"], ticket.initial["closed"])
        assert no_ticket(ticket.mask, ticket.weights, ticket.initial) is None


def test_a_test_loss_that_is_no_number_is_no_record(own, tmp_path):
    path = tmp_path / "checkpoint"
    with pytest.raises(
        UserError, match=r"the test loss is nan, and the validation loss is not: lower lr \(it is 0.1\)"
    ):
        execute(RunSpec("omp", network="ends.py:Nowhere", epochs=2, examples=60), checkpoint=path, every=0)
    assert not path.exists()


def test_an_early_stop_is_judged_by_the_epoch_that_it_restores(monkeypatch):
    """The epochs after the best one may have diverged."""
    losses = iter([1.0, *[torch.nan] * 2, *[1.0] * 99])
    plain = training.evaluate
    monkeypatch.setattr(training, "evaluate", lambda *given: (next(losses), plain(*given)[1]))
    recipe = RunSpec("unilth", epochs=20, examples=60, patience=2)
    _, record = execute(recipe)
    assert record["best_epoch"] == 1 and record["phases"][0]["epochs"] == 3


class Late(nn.Module):
    """Misbehaves after ten steps, so that no trial before the run could see it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last, self.steps = nn.Linear(64, 16), nn.Linear(16, 10), 0

    def forward(self, x):
        self.steps += 1
        if self.steps > 10:
            self.misbehave()
        return self.last(self.first(x.flatten(1)).relu())


class Writes(Late):
    def misbehave(self):
        with torch.no_grad():
            self.first.weight.add_(0.01)


class Replaces(Late):
    def misbehave(self):
        self.first.weight = nn.Parameter(self.first.weight.detach().clone())


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Writes, "the network writes to its own weight first.weight, so that what is pruned is not 0: "),
        (Replaces, "the network replaces a parameter in a forward pass, which the optimizer does not train: "),
    ],
)
def test_a_network_that_misbehaves_late_leaves_no_ticket(kind, why):
    with torch.random.fork_rng(), pytest.raises(UserError, match=f"^{why}"):
        find("omp", kind(), load("digits"), 0.5, seed=0, budget=Budget(3))


def test_what_passes_can_be_saved_and_loaded(own, tmp_path):
    with torch.random.fork_rng():
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    ticket = Search(row("omp").recipe, network, load("digits"), 0.5, 0, Budget(2)).run()
    ticket.save(tmp_path / "t")
    assert masks.pruned_of(Ticket.load(tmp_path / "t").mask) == 320
