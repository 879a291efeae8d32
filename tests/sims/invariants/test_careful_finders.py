"""Correct finders that do what a naive judge would take for a mistake: none of them is accused."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_, clip_grad_value_, prune

from unilth.sims.invariants import check, ticket_finder
from unilth.sims.invariants.ranking import ranked
from unilth.sims.invariants.reference import Lth, PressedTicket, RandomTicket, StoppedTicket, ramp
from unilth.sims.invariants.twins_finder import ONE_SHOT, PRESSED, OneShot


@ONE_SHOT
class Distils(OneShot):
    """The dense network, which teaches the ticket, is asked before each epoch."""

    teacher = None

    def rewind(self):
        self.teacher = copy.deepcopy(self.network).eval()
        super().rewind()

    def order(self, n):
        if self.teacher is not None:
            with torch.no_grad():
                self.teacher(self.data.train[0][:8])
        return super().order(n)


@ONE_SHOT
class UsesTorchsPruning(OneShot):
    """`torch.nn.utils.prune`, whose `weight` is an old one until its layer is entered."""

    def rewind(self):
        for name, kept in self.mask.items():
            prune.custom_from_mask(self.network.get_submodule(name.removesuffix(".weight")), "weight", kept)
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                if not name.endswith("_mask"):
                    value.copy_(self.initial[name.replace("_orig", "")])

    def apply(self):
        """Done in the forward pass."""

    def finish(self):
        for name in self.mask:
            prune.remove(self.network.get_submodule(name.removesuffix(".weight")), "weight")
        return self.remember()

    def prunable(self):
        return super().prunable() if not hasattr(self, "mask") or not self.masks else {}


@ONE_SHOT
class TrainsInDouble(OneShot):
    def duplicate(self, network):
        return super().duplicate(network).double()

    def rows(self):
        return self.data.train[0].double(), self.data.train[1]

    def __init__(self, network, data, sparsity, *, seed):
        super().__init__(network, data, sparsity, seed=seed)
        kinds = {name: value.dtype for name, value in network.state_dict().items()}
        self.weights = {name: value.to(kinds[name]) for name, value in self.weights.items()}
        self.initial = {name: value.to(kinds[name]) for name, value in self.initial.items()}


@ONE_SHOT
class Averages(OneShot):
    """The mean of the last epochs' weights (SWA): a state that the network never had."""

    def train(self, epochs):
        self.seen = []
        for _ in range(epochs):
            super().train(1)
            self.seen.append(self.remember())

    def finish(self):
        mean = {name: sum(state[name].double() for state in self.seen) / len(self.seen) for name in self.initial}
        return {name: value.to(self.initial[name].dtype) for name, value in mean.items()}


@ticket_finder(rewinds=True, keeps="random", scope="global")
def best_of_three(network, data, sparsity, *, seed):
    """Three candidates on networks of their own; the ticket is the one with the least validation loss."""

    class Candidate(RandomTicket):
        rounds, free_epochs = 1, 0

        def choose(self, sparsity):
            random = {name: torch.rand(kept.shape, generator=self.chance) for name, kept in self.mask.items()}
            return copy.copy(Lth.choose(SimpleNamespace(prunable=lambda: random, mask=self.mask), sparsity))

    found = [Candidate(network, data, sparsity, seed=100 * seed + n) for n in range(3)]
    return min(found, key=Candidate.validation_loss)


@PRESSED
class Clips(PressedTicket):
    def before_step(self, optimizer):
        super().before_step(optimizer)
        clip_grad_norm_(self.network.parameters(), 0.5)


class Accumulates(PressedTicket):
    """Two backward passes a step."""

    def before_step(self, optimizer):
        inputs, labels = self.rows()
        F.cross_entropy(self.network(inputs[:16]), labels[:16]).backward()
        super().before_step(optimizer)


@PRESSED
class ClipsByValue(PressedTicket):
    def before_step(self, optimizer):
        super().before_step(optimizer)
        clip_grad_value_(self.network.parameters(), 0.02)


@PRESSED
class OnlyShrinks(PressedTicket):
    """Where it presses, the gradient of the loss is stopped."""

    def before_step(self, optimizer):
        if self.press_step >= 0:
            for name, weight in self.prunable().items():
                if weight.grad is not None:
                    weight.grad.masked_fill_(self.goes[name], 0.0)
        super().before_step(optimizer)


@PRESSED
class ThinsOut(PressedTicket):
    """A constant L1 on all weights beside the penalty."""

    def before_step(self, optimizer):
        super().before_step(optimizer)
        for weight in self.prunable().values():
            if weight.grad is not None:
                weight.grad.add_(1e-3 * weight.detach().sign())


@PRESSED
class HoldsTheKept(PressedTicket):
    """The kept weights stand still during the press."""

    def before_step(self, optimizer):
        pressing = self.press_step >= 0
        super().before_step(optimizer)
        for name, weight in self.prunable().items():
            if pressing and weight.grad is not None:
                weight.grad.mul_(self.goes[name])


@ticket_finder(keeps="largest", scope="global")
class DenseSparseDense(OneShot):
    """Trains under its mask, then dense again, and under the same mask at last (Han et al. 2017)."""

    def search(self):
        super().search()
        chosen, self.mask = self.mask, {name: torch.ones_like(kept) for name, kept in self.mask.items()}
        self.train(2)
        self.mask = chosen
        self.apply()
        self.train(2)


@ticket_finder(keeps="random", scope="global")
class BestOfThree(RandomTicket):
    """Three masks, one after the other on one network; the ticket is that with the least validation loss."""

    rounds, free_epochs = 1, 0

    def search(self):
        found = []
        for _ in range(3):
            self.rewind_all()
            self.mask = ranked(
                {n: torch.rand(w.shape, generator=self.chance) for n, w in self.prunable().items()}, self.sparsity
            )
            self.apply()
            self.train(self.tune_epochs)
            found.append((self.validation_loss(), self.mask, self.remember()))
        _, self.mask, self.best = min(found, key=lambda one: one[0])

    def rewind_all(self):
        self.network.load_state_dict(self.initial)

    def finish(self):
        return self.best


@ONE_SHOT
class AveragesInFloat32(OneShot):
    """An exponential average, whose rounding leaves the range of its terms by a digit."""

    def train(self, epochs):
        self.mean = self.remember()
        for _ in range(epochs):
            super().train(1)
            for name, value in self.remember().items():
                moved = self.mean[name] * 0.7 + value * 0.3
                self.mean[name] = moved if value.is_floating_point() else value

    def finish(self):
        return {name: value * self.mask[name] if name in self.mask else value for name, value in self.mean.items()}


@ONE_SHOT
class LimitsNorms(OneShot):
    """Rows of weights are brought back to norm 0.5 after every step, also after the last: that state is never used."""

    def apply(self):
        with torch.no_grad():
            for weight in self.prunable().values():
                weight.copy_(torch.renorm(weight, 2, 0, 0.5))
        super().apply()

    def rewind(self):
        super().rewind()
        self.apply = super().apply


@ONE_SHOT
class AsksInParallel(OneShot):
    """Gradients of single rows by vmap, and candidates stacked by vmap, beside the training."""

    def rewind(self):
        self.network.eval()
        values = {name: value.detach() for name, value in self.network.named_parameters()}
        rest = {name: value.detach() for name, value in self.network.named_buffers()}
        inputs, labels = self.data.train

        def loss(values, row, label):
            return F.cross_entropy(functional_call(self.network, {**values, **rest}, (row[None],)), label[None])

        vmap(grad(loss), (None, 0, 0))(values, inputs[:4], labels[:4])
        stacked = {name: torch.stack([value, 1.1 * value]) for name, value in values.items()}
        vmap(lambda values: functional_call(self.network, {**values, **rest}, (inputs[:4],)))(stacked)
        self.network.train()
        super().rewind()


class PressesByHand(PressedTicket):
    """w -= lr lambda w beside the gradient's step, as AdamW decays weights."""

    def before_step(self, optimizer):
        if self.press_step >= 0:
            with torch.no_grad():
                for name, weight in self.prunable().items():
                    weight.sub_(self.lr * ramp(self.press_step) * weight * self.goes[name])
            self.press_step += 1


class StopsStandardised(StoppedTicket):
    def rows(self):
        inputs, labels = self.data.train
        return (inputs - inputs.mean()) / inputs.std(), labels

    def validation_loss(self):
        given = self.data
        inputs, labels = given.validation
        moved = (inputs - given.train[0].mean()) / given.train[0].std()
        self.data = SimpleNamespace(train=given.train, validation=(moved, labels))
        loss = super().validation_loss()
        self.data = given
        return loss


ACCUMULATES = ticket_finder(keeps="largest", scope="global", penalty=ramp)(Accumulates)
BY_HAND = ticket_finder(keeps="largest", scope="global", penalty=ramp)(PressesByHand)
STANDARDISED = ticket_finder(keeps="largest", scope="layer", stops_early=2)(StopsStandardised)
JUDGED = {  # what is judged all the same
    Distils: "finder-zero-after-every-step", UsesTorchsPruning: "finder-rewinds",
    TrainsInDouble: "finder-self-contained", Averages: "finder-rewinds", best_of_three: "finder-zero-after-every-step",
    DenseSparseDense: "finder-zero-after-every-step", BestOfThree: "finder-zero-after-every-step",
    AveragesInFloat32: "finder-rewinds", LimitsNorms: "finder-self-contained", AsksInParallel: "finder-keeps-largest",
    OnlyShrinks: "finder-penalty-schedule", ClipsByValue: "finder-exact-sparsity", ThinsOut: "finder-exact-sparsity",
    HoldsTheKept: "finder-penalty-schedule", Clips: "finder-penalty-schedule", ACCUMULATES: "finder-self-contained",
    BY_HAND: "finder-penalty-outside-mask", STANDARDISED: "finder-stops-early",
}  # fmt: skip


@pytest.mark.parametrize("finder", JUDGED, ids=lambda finder: finder.__name__)
def test_a_careful_finder_is_not_accused(finder):
    report = check(finder, budget="quick")
    assert report.ok, str(report)
    assert {row.id: row.status for row in report.invariants}[JUDGED[finder]] == "passed"


@pytest.mark.parametrize(
    ("finder", "id", "why"),
    [
        (Averages, "finder-self-contained", "average"), (BY_HAND, "finder-penalty-schedule", "outside the optimizer"),
        (AveragesInFloat32, "finder-self-contained", "average"),
        (LimitsNorms, "finder-keeps-largest", "outside the optim"),
        (ClipsByValue, "finder-penalty-outside-mask", "a gradient of loss and L2 alone"),
        (ThinsOut, "finder-penalty-schedule", "a gradient of loss and L2 alone"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_said(finder, id, why):
    (row,) = check(finder, budget="quick", only=id).invariants
    assert row.status == "not-applicable" and why in row.note
