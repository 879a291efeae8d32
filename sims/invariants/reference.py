"""Correct, independent ticket finders: small, plain, and made to be broken one method at a time by the twins.

A class is the finder and its instance the ticket: calling it runs the search. Nothing of our own engine is used.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd

from unilth.sims.invariants.declarations import ticket_finder
from unilth.sims.invariants.ranking import ranked, shuffled

State = dict[str, Tensor]


@ticket_finder(rewinds=True, keeps="largest", scope="global", nested=True, handles=("tied", "frozen", "bfloat16"))
class Lth:
    """Iterative magnitude pruning with rewinding (Frankle and Carbin 2019), two rounds."""

    free_epochs, tune_epochs, rounds = 3, 3, 2
    lr, momentum, decay, batch = 0.05, 0.9, 1e-3, 32

    def __init__(self, network: nn.Module, data: Any, sparsity: float, *, seed: int) -> None:
        self.chance = torch.Generator().manual_seed(seed)
        self.seed, self.sparsity, self.data = seed, sparsity, data
        self.network = self.duplicate(network)
        self.initial = self.remember()
        self.mask: State = {name: torch.ones_like(w, dtype=torch.bool) for name, w in self.prunable().items()}
        self.masks: list[State] = []
        self.search()
        self.weights = self.finish()

    def duplicate(self, network: nn.Module) -> nn.Module:
        """The network that is trained."""
        return copy.deepcopy(network).train()

    def prunable(self) -> dict[str, nn.Parameter]:
        """The weights that may be pruned."""
        layers = {id(m.weight) for m in self.network.modules() if isinstance(m, nn.Linear | _ConvNd)}
        return {name: p for name, p in self.network.named_parameters() if id(p) in layers and p.requires_grad}

    def remember(self) -> State:
        """A copy of the whole state."""
        return {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    def finish(self) -> State:
        """The weights of the answer."""
        return self.remember()

    def search(self) -> None:
        """Rounds of free training, choice, rewinding; then training under the mask."""
        for number in range(1, self.rounds + 1):
            self.train(self.free_epochs)
            self.mask = self.choose(self.sparsity if number == self.rounds else self.sparsity / 2)
            self.masks.append(self.mask)
            self.rewind()
            self.apply()
        self.train(self.tune_epochs)

    def choose(self, sparsity: float) -> State:
        """The largest magnitudes among what is left."""
        scores = {name: weight.detach().abs().float() for name, weight in self.prunable().items()}
        return ranked(scores, sparsity, self.mask)

    def rewind(self) -> None:
        """Everything back to its initial value."""
        self.network.load_state_dict(self.initial)

    @torch.no_grad()
    def apply(self) -> None:
        """Zeros where the mask prunes."""
        for name, weight in self.prunable().items():
            weight.mul_(self.mask[name])

    def optimizer(self) -> torch.optim.Optimizer:
        """SGD with momentum and weight decay, the case in which masking gradients is not enough."""
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        return torch.optim.SGD(parameters, self.lr, self.momentum, weight_decay=self.decay)

    def rows(self) -> tuple[Tensor, Tensor]:
        """What is trained on."""
        inputs, labels = self.data.train
        return inputs, labels

    def order(self, n: int) -> Tensor:
        """The order of the rows in an epoch."""
        return torch.randperm(n, generator=self.chance)

    def train(self, epochs: int) -> None:
        """Plain training; the mask is applied after every step."""
        optimizer = self.optimizer()
        inputs, labels = self.rows()
        for _ in range(epochs):
            for chosen in self.order(len(labels)).split(self.batch):
                optimizer.zero_grad()
                F.cross_entropy(self.network(inputs[chosen]), labels[chosen]).backward()
                self.before_step(optimizer)
                optimizer.step()
                self.apply()

    def before_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Between the backward pass and the optimizer's step."""

    def validation_loss(self) -> float:
        """Mean cross-entropy on the validation split."""
        self.network.eval()
        inputs, labels = self.data.validation
        with torch.no_grad():
            loss = float(F.cross_entropy(self.network(inputs), labels))
        self.network.train()
        return loss


@ticket_finder(keeps="random", scope="layer", nested=True, no_empty_layer=True)
class RandomTicket(Lth):
    """A random mask in every layer, drawn at initialisation in two nested steps; no rewinding."""

    def choose(self, sparsity: float) -> State:
        """Uniformly at random in each layer, inside the last mask."""
        answer: State = {}
        for name, kept in self.mask.items():
            answer |= shuffled({name: kept.float()}, sparsity, {name: kept}, self.chance)
        return answer

    def rewind(self) -> None:
        """Weights stay where they are."""


@ticket_finder(keeps="largest", scope="layer", stops_early=2)
class StoppedTicket(Lth):
    """Free training until the validation loss has not improved for two epochs; the best weights are restored."""

    rounds, patience, most = 1, 2, 25

    def train(self, epochs: int) -> None:
        """The first training stops early, the last one does not."""
        if self.masks:
            super().train(epochs)
            return
        best, waited, state = float("inf"), 0, self.remember()
        self.first = super().optimizer()
        for _ in range(self.most):
            super().train(1)
            loss = self.validation_loss()
            if loss < best:
                best, waited, state = loss, 0, self.remember()
            else:
                waited += 1
            if waited >= self.patience:
                break
        self.restore(state)

    def optimizer(self) -> torch.optim.Optimizer:
        """One optimizer for all epochs of the first training, another one afterwards."""
        return super().optimizer() if self.masks else self.first

    def restore(self, state: State) -> None:
        """Back to the best epoch."""
        self.network.load_state_dict(state)

    def choose(self, sparsity: float) -> State:
        """The largest magnitudes of each layer."""
        answer: State = {}
        for name, weight in self.prunable().items():
            answer |= ranked({name: weight.detach().abs()}, sparsity)
        return answer

    def rewind(self) -> None:
        """Weights stay where they are."""


@ticket_finder(keeps="largest", scope="global", handles=("dropout",))
class DropoutTicket(Lth):
    """Dropout draws from the global generator, so that is forked and seeded for each training."""

    rounds = 1

    def train(self, epochs: int) -> None:
        """Under a forked global generator, seeded from the ticket's own."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**31, (), generator=self.chance)))
            super().train(epochs)


def ramp(step: int) -> float:
    """lambda of the pressed tickets: 0.02 more at each step, 0.5 at most."""
    return min(0.02 * step, 0.5)


@ticket_finder(keeps="largest", scope="global", penalty=ramp)
class PressedTicket(Lth):
    """One shot; a growing penalty presses on the weights that go, then they are cut off."""

    rounds, press_epochs, press_step = 1, 6, -1

    def search(self) -> None:
        """Free training, choice, press, prune, training under the mask."""
        self.train(self.free_epochs)
        chosen = self.choose(self.sparsity)
        self.goes = {name: ~kept for name, kept in chosen.items()}
        self.press_step = 0
        self.train(self.press_epochs)
        self.press_step = -1
        self.mask = chosen
        self.apply()
        self.train(self.tune_epochs)

    def schedule(self, step: int) -> float:
        """lambda at a step of the press."""
        return ramp(step)

    def pressed(self, name: str) -> Tensor:
        """Where the penalty presses."""
        return self.goes[name]

    def before_step(self, optimizer: torch.optim.Optimizer) -> None:
        """grad += lambda w on the weights that go."""
        if self.press_step < 0:
            return
        for name, weight in self.prunable().items():
            if weight.grad is not None:
                weight.grad.add_(self.schedule(self.press_step) * weight.detach() * self.pressed(name))
        self.press_step += 1


REFERENCES = (Lth, RandomTicket, StoppedTicket, DropoutTicket, PressedTicket)
