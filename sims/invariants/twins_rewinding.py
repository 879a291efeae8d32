"""More broken ticket finders: what goes wrong between the search and the final training."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unilth.sims.invariants.declarations import ticket_finder
from unilth.sims.invariants.reference import State
from unilth.sims.invariants.twin import Twin
from unilth.sims.invariants.twins_finder import ONE_SHOT, OneShot


@ONE_SHOT
class TrainsDense(OneShot):
    """The weights are rewound, and the mask is applied when the final training is over."""

    def apply(self) -> None:
        pass

    def finish(self) -> State:
        super().apply()
        return super().finish()


@ONE_SHOT
class ForgetsOneLayer(OneShot):
    """One layer is masked only when the final training is over."""

    @torch.no_grad()
    def apply(self) -> None:
        for name, weight in self.prunable().items():
            if not name.startswith("last"):
                weight.mul_(self.mask[name])

    def finish(self) -> State:
        super().apply()
        return super().finish()


@ONE_SHOT
class RemembersBiasesLate(OneShot):
    """`.initial` has the initial weights, and everything else as it was when the mask was taken."""

    def rewind(self) -> None:
        weights = {name: self.initial[name] for name in self.prunable()}
        self.initial = {**self.remember(), **weights}
        super().rewind()


@ONE_SHOT
class ChoosesAfterRewinding(OneShot):
    def choose(self, sparsity: float) -> State:
        self.rewind()
        return super().choose(sparsity)


@ONE_SHOT
class KeepsAnOptimizer(OneShot):
    """Two optimizers; that of the biases and of batch norm is made once."""

    others: torch.optim.Optimizer | None = None

    def optimizer(self) -> torch.optim.Optimizer:
        weights = list(self.prunable().values())
        rest = [p for p in self.network.parameters() if all(p is not weight for weight in weights)]
        self.others = self.others or torch.optim.SGD(rest, self.lr, self.momentum)
        return torch.optim.SGD(weights, self.lr, self.momentum, weight_decay=self.decay)

    def before_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self.others is not None:
            self.others.step()
            self.others.zero_grad()


@ONE_SHOT
class AnswersTheStart(OneShot):
    """Trains the ticket and answers the one that was not trained."""

    def finish(self) -> State:
        masked = {name: self.initial[name] * kept for name, kept in self.mask.items()}
        return {name: masked.get(name, value).clone() for name, value in self.initial.items()}


@ONE_SHOT
class SparesTheDense(OneShot):
    """Trains nothing where nothing is pruned: a baseline that was never trained."""

    def finish(self) -> State:
        return super().finish() if self.sparsity else {name: value.clone() for name, value in self.initial.items()}


@ticket_finder(keeps="other", scope="global")
class LeavesGradients(OneShot):
    """Scores by the gradients of the caller's network (SNIP), and leaves them there."""

    def duplicate(self, network: nn.Module) -> nn.Module:
        made = super().duplicate(network)
        inputs, labels = self.data.train
        network.eval()
        F.cross_entropy(network(inputs[:32]), labels[:32]).backward()
        network.train()
        return made


@ticket_finder(keeps="other", scope="global")
class LeavesAHook(OneShot):
    def duplicate(self, network: nn.Module) -> nn.Module:
        made = super().duplicate(network)
        network.register_forward_hook(lambda module, inputs, output: None)
        return made


@ticket_finder(keeps="other", scope="global")
class FreezesTheCallers(OneShot):
    def duplicate(self, network: nn.Module) -> nn.Module:
        made = super().duplicate(network)
        next(network.parameters()).requires_grad_(False)
        return made


@ONE_SHOT
class StandardisesEverything(OneShot):
    """Trains on all rows, standardised: none of them is one that it was given."""

    def rows(self) -> tuple[Tensor, Tensor]:
        inputs, labels = (torch.cat(pair) for pair in zip(self.data.train, self.data.validation, strict=True))
        return (inputs - inputs.mean()) / inputs.std(), labels


@ONE_SHOT
class LooksInTrainingMode(OneShot):
    """Looks at the validation loss after training and forgets `eval()`: the rows go into the statistics."""

    def train(self, epochs: int) -> None:
        super().train(epochs)
        with torch.no_grad():
            self.network(self.data.validation[0])


@ONE_SHOT
class AnswersTheDense(OneShot):
    """Answers the dense network's weights under the mask; the training under it is thrown away."""

    def rewind(self) -> None:
        self.dense = self.remember()
        super().rewind()

    def finish(self) -> State:
        return {name: value * self.mask[name] if name in self.mask else value for name, value in self.dense.items()}


REWINDING_TWINS = (
    Twin(TrainsDense, "forgets the mask in the final training", ("finder-rewinds",)),
    Twin(ForgetsOneLayer, "forgets the mask of one layer in the final training", ("finder-rewinds",)),
    Twin(RemembersBiasesLate, "saves biases and batch norm after training", ("finder-initial-is-initial",)),
    Twin(ChoosesAfterRewinding, "takes the mask after rewinding", ("finder-keeps-largest",)),
    Twin(KeepsAnOptimizer, "keeps the momentum of a second optimizer", ("finder-rewinds-optimizer",)),
    Twin(AnswersTheStart, "answers the ticket before it was trained", ("finder-self-contained",)),
    Twin(AnswersTheDense, "answers the dense weights under the mask", ("finder-rewinds",)),
    Twin(SparesTheDense, "trains nothing at sparsity 0", ("finder-sparsity-zero",)),
    Twin(LeavesGradients, "leaves gradients on the caller's network", ("finder-network-untouched",)),
    Twin(LeavesAHook, "leaves a hook on the caller's network", ("finder-network-untouched",)),
    Twin(FreezesTheCallers, "freezes a parameter of the caller's", ("finder-network-untouched",)),
    Twin(StandardisesEverything, "trains on validation rows, standardised", ("finder-no-validation-rows",)),
    Twin(LooksInTrainingMode, "looks at validation rows in training mode", ("finder-no-validation-rows",)),
)
