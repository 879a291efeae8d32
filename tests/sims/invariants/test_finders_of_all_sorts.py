"""Finders as people write them: what is odd and correct is not accused, and what is nearly correct is."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from unilth.sims.invariants import check, ticket_finder
from unilth.sims.invariants.reference import Lth, StoppedTicket
from unilth.sims.invariants.twins_finder import ONE_SHOT, OneShot

REWINDS = ticket_finder(rewinds=True, keeps="largest", scope="global")
STAYS = ticket_finder(keeps="largest", scope="global")
STOPS = ticket_finder(keeps="largest", scope="layer", stops_early=2)


def weights(network):
    """Those that may be pruned, and of ours none but these has two dimensions or more."""
    return [parameter for parameter in network.parameters() if parameter.dim() > 1]


@REWINDS
class BeginsWithAConstant(OneShot):
    """Adagrad's sums do not begin at 0."""

    def optimizer(self):
        return torch.optim.Adagrad(self.network.parameters(), 0.02, initial_accumulator_value=0.1)


@REWINDS
class NoisyPasses(OneShot):
    """Noise on all parameters for each pass, taken off again before the step."""

    def train(self, epochs):
        optimizer, (inputs, labels) = self.optimizer(), self.rows()
        for _ in range(epochs):
            for rows in self.order(len(labels)).split(self.batch):
                before = {name: weight.detach().clone() for name, weight in self.network.named_parameters()}
                with torch.no_grad():
                    for name, weight in self.network.named_parameters():
                        weight += 0.01 * torch.randn(weight.shape, generator=self.chance) * self.mask.get(name, 1)
                optimizer.zero_grad()
                F.cross_entropy(self.network(inputs[rows]), labels[rows]).backward()
                with torch.no_grad():
                    for name, weight in self.network.named_parameters():
                        weight.copy_(before[name])
                optimizer.step()
                self.apply()


class Drops(nn.Module):
    def __init__(self, chance):
        super().__init__()
        self.chance = chance

    def forward(self, weight):
        return weight * (torch.rand(weight.shape, generator=self.chance) > 0.1) / 0.9 if self.training else weight


@REWINDS
class DropsConnections(OneShot):
    """DropConnect in the training under the mask: layers use other weights than those that are rewound."""

    def apply(self):
        if self.masks and not any(map(parametrize.is_parametrized, self.network.modules())):
            super().apply()
            for name in self.mask:
                parametrize.register_parametrization(
                    self.network.get_submodule(name[:-7]), "weight", Drops(self.chance)
                )
        for name, kept in self.mask.items():
            layer = self.network.get_submodule(name[:-7])
            weight = layer.parametrizations.weight.original if self.masks else layer.weight
            with torch.no_grad():
                weight.mul_(kept)

    def prunable(self):
        return super().prunable() if not (hasattr(self, "masks") and self.masks) else {}

    def finish(self):
        self.network.eval()
        for name in self.mask:
            parametrize.remove_parametrizations(self.network.get_submodule(name[:-7]), "weight")
        return self.remember()


@STAYS
class StartsSparse(OneShot):
    """Half of the weights are 0 from the start, and where units are dead they stay so."""

    def duplicate(self, network):
        made = super().duplicate(network)
        with torch.no_grad():
            for weight in weights(made):
                weight *= torch.rand(weight.shape, generator=self.chance) < 0.5
            first = weights(made)[0]
            first[:4] -= 9.0 * (first[:4] != 0)
        return made

    def rewind(self):
        pass


@STAYS
class TrainsUnseen(Lth):
    """Draws its own weights and trains them by torch.func: nobody sees where it starts, and it says so truly."""

    rounds = 1

    def duplicate(self, network):
        made = super().duplicate(network).eval()
        with torch.no_grad():
            for weight in weights(made):
                weight.copy_(0.2 * torch.randn(weight.shape, generator=self.chance))
        return made

    def rewind(self):
        pass

    def train(self, epochs):
        inputs, labels = self.rows()
        values = {name: value.detach().clone() for name, value in self.network.named_parameters()}
        loss = torch.func.grad(
            lambda now, rows: F.cross_entropy(
                torch.func.functional_call(self.network, now, (inputs[rows],)), labels[rows]
            )
        )
        for _ in range(epochs):
            for rows in self.order(len(labels)).split(self.batch):
                change = loss(values, rows)
                values = {name: (value - 0.1 * change[name]) * self.mask.get(name, 1) for name, value in values.items()}
        self.network.load_state_dict(values, strict=False)


@STAYS
class TriesTwoScales(OneShot):
    """The given initialisation is a candidate, and so is its double, which is taken."""

    def search(self):
        self.train(self.free_epochs)
        self.network.load_state_dict(self.initial)
        self.network = copy.deepcopy(self.network)
        with torch.no_grad():
            for weight in self.prunable().values():
                weight *= 2
        self.initial = self.remember()
        super().search()

    def rewind(self):
        pass


@STAYS
class PassesAllRows(OneShot):
    """One pass over all rows, of which the loss takes those for training, as networks of graphs do."""

    def train(self, epochs):
        optimizer, (inputs, labels) = self.optimizer(), self.rows()
        everything = torch.cat([inputs, self.data.validation[0]])
        self.network.eval()
        for _ in range(8 * epochs):
            optimizer.zero_grad()
            F.cross_entropy(self.network(everything)[: len(labels)], labels).backward()
            optimizer.step()
            self.apply()


@REWINDS
class LooksAtGradientsAfterRewinding(OneShot):
    """A backward pass at the initial values, for a score, before the mask is applied."""

    def rewind(self):
        super().rewind()
        inputs, labels = self.rows()
        F.cross_entropy(self.network(inputs[:32]), labels[:32]).backward()
        self.network.zero_grad()
        self.network.load_state_dict(self.initial)


class Slow(torch.optim.SGD):
    """Holds copies of the weights from the beginning, as Lookahead does, and a mask."""

    def __init__(self, parameters, rate):
        super().__init__(parameters, rate)
        for parameter in self.param_groups[0]["params"]:
            self.state[parameter]["slow"] = parameter.detach().clone()
            self.state[parameter]["mask"] = (parameter != 0).float()


@REWINDS
class HoldsCopies(OneShot):
    def optimizer(self):
        return Slow(self.network.parameters(), 0.05)


CORRECT = {
    BeginsWithAConstant: ("finder-rewinds-optimizer", "passed"), HoldsCopies: ("finder-rewinds-optimizer", "passed"),
    LooksAtGradientsAfterRewinding: ("finder-rewinds", "passed"),
    NoisyPasses: ("finder-rewinds", "passed"),
    DropsConnections: ("finder-rewinds", "not-applicable"), StartsSparse: ("finder-sparsity-zero", "passed"),
    TrainsUnseen: ("finder-initial-is-initial", "not-applicable"),
    TriesTwoScales: ("finder-initial-is-initial", "passed"), PassesAllRows: ("finder-no-validation-rows", "passed"),
}  # fmt: skip


@pytest.mark.parametrize("finder", CORRECT, ids=lambda one: one.__name__)
def test_an_odd_finder_is_not_accused(finder):
    report = check(finder, budget="quick", seed=5)
    id, status = CORRECT[finder]
    assert report.ok, str(report)
    assert {row.id: row.status for row in report.invariants}[id] == status


@ONE_SHOT
class KeepsTheLastStatistics(OneShot):
    """The parameters of the second epoch, and the statistics of batch norm of the last."""

    def train(self, epochs):
        if not self.masks:
            super().train(epochs)
            return
        super().train(epochs - 1)
        best = [parameter.detach().clone() for parameter in self.network.parameters()]
        super().train(1)
        with torch.no_grad():
            for parameter, value in zip(self.network.parameters(), best, strict=True):
                parameter.copy_(value)


@STAYS
class ForgetsTheMaskOnce(OneShot):
    """After the eighth step under the mask it is not applied."""

    steps = 0

    def rewind(self):
        pass

    def apply(self):
        self.steps += bool(self.masks)
        if self.steps != 9:  # the first is before all steps
            super().apply()


@STAYS
class DrawsAnewAndSaysTheGiven(OneShot):
    """All training starts from weights of its own, and the caller's are answered for the initial ones."""

    def search(self):
        with torch.no_grad():
            for weight in self.prunable().values():
                weight.copy_(0.2 * torch.randn(weight.shape, generator=self.chance))
        super().search()

    def rewind(self):
        pass


@STOPS
class KeepsTheEpochAfter(StoppedTicket):
    """What is kept for the best epoch is the state after the next one."""

    kept, best, due = None, float("inf"), False

    def validation_loss(self):
        loss = super().validation_loss()
        if self.due:
            self.kept = self.remember()
        self.due, self.best = loss < self.best, min(loss, self.best)
        return loss

    def restore(self, state):
        super().restore(self.kept)


@STOPS
class RestoresTheWeightsAlone(StoppedTicket):
    """Biases stay those of the last epoch."""

    def restore(self, state):
        super().restore(self.remember() | {name: value for name, value in state.items() if value.dim() > 1})


@STAYS
class LearnsFromHeldOutRowsFirst(OneShot):
    """Two losses of one pass, of which the first is that of the validation rows in it."""

    def train(self, epochs):
        optimizer, (inputs, labels) = self.optimizer(), self.rows()
        held, answers = self.data.validation
        self.network.eval()
        for _ in range(4 * epochs):
            optimizer.zero_grad()
            logits = self.network(torch.cat([inputs, held[:8]]))
            F.cross_entropy(logits[len(labels) :], answers[:8]).backward(retain_graph=True)
            F.cross_entropy(logits[: len(labels)], labels).backward()
            optimizer.step()
            self.apply()

    def rewind(self):
        pass


@STAYS
class AnswersSparseTensors(OneShot):
    """A mask that is no dense tensor."""

    def finish(self):
        weights = super().finish()
        self.mask = {name: kept.to_sparse() for name, kept in self.mask.items()}
        return weights

    def rewind(self):
        pass


BROKEN = {
    KeepsTheLastStatistics: ("finder-self-contained", "the buffers (batch-norm statistics) of another"),
    ForgetsTheMaskOnce: ("finder-zero-after-every-step", "at the next use after optimizer step 8 under the mask"),
    DrawsAnewAndSaysTheGiven: ("finder-initial-is-initial", ".initial holds neither"),
    KeepsTheEpochAfter: ("finder-stops-early", "training goes on from the weights of epoch"),
    RestoresTheWeightsAlone: ("finder-stops-early", "of the best epoch, and with first.bias, "),
    LearnsFromHeldOutRowsFirst: ("finder-no-validation-rows", "a gradient from 8 validation rows"),
    AnswersSparseTensors: ("finder-form", ".mask['first.weight'] as a torch.sparse_coo tensor"),
}


@pytest.mark.parametrize("finder", BROKEN, ids=lambda one: one.__name__)
def test_a_nearly_correct_finder_is_accused_of_what_it_does(finder):
    id, got = BROKEN[finder]
    (row,) = check(finder, budget="quick", only=id, seed=5).invariants
    assert row.status == "violated" and got in row.got, row
