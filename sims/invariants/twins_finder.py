"""Broken ticket finders, each a reference with one method broken after a real mistake."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unilth.sims.invariants.declarations import ticket_finder
from unilth.sims.invariants.ranking import ranked, shuffled
from unilth.sims.invariants.reference import (
    DropoutTicket,
    Lth,
    PressedTicket,
    RandomTicket,
    State,
    StoppedTicket,
    ramp,
)
from unilth.sims.invariants.twin import Twin

ONE_SHOT = ticket_finder(rewinds=True, keeps="largest", scope="global")


@ONE_SHOT
class OneShot(Lth):
    """The correct finder that most twins break: one round."""

    rounds = 1


@ONE_SHOT
class FloatMask(OneShot):
    def search(self) -> None:
        super().search()
        self.mask = {name: kept.float() for name, kept in self.mask.items()}


@ONE_SHOT
class PrunesBiases(OneShot):
    def search(self) -> None:
        super().search()
        bias = dict(self.network.named_parameters())["last.bias"]
        with torch.no_grad():
            bias[0] = 0.0
        self.mask = {**self.mask, "last.bias": bias != 0}


@ONE_SHOT
class RoundsUp(OneShot):
    def choose(self, sparsity: float) -> State:
        scores = {name: weight.detach().abs() for name, weight in self.prunable().items()}
        return ranked(scores, sparsity, self.mask, count=lambda s, n: math.ceil(s * n))


@ONE_SHOT
class MasksBeforeForward(OneShot):
    def train(self, epochs: int) -> None:
        hook = self.network.register_forward_pre_hook(lambda *_: Lth.apply(self))
        super().train(epochs)
        hook.remove()

    def apply(self) -> None:
        if self.masks and not self.network._forward_pre_hooks:
            super().apply()


@ticket_finder(keeps="largest", scope="global")
class MasksOnlyGradients(OneShot):
    def train(self, epochs: int) -> None:
        self.sparse = bool(self.masks)
        super().train(epochs)
        self.sparse = False
        self.apply()  # the answer is mended, the training was not sparse

    def apply(self) -> None:
        if not self.sparse:
            super().apply()

    def optimizer(self) -> torch.optim.Optimizer:
        if not hasattr(self, "adam"):  # its state is kept from the dense training
            self.adam = torch.optim.Adam(self.network.parameters(), 1e-3)
        return self.adam

    def before_step(self, optimizer: torch.optim.Optimizer) -> None:
        for name, weight in self.prunable().items():
            if weight.grad is not None:
                weight.grad.mul_(self.mask[name])


@ONE_SHOT
class AliasesInitial(OneShot):
    def remember(self) -> State:
        return dict(self.network.state_dict())

    def finish(self) -> State:
        return super().remember()


@ONE_SHOT
class SharesTheCallersMemory(OneShot):
    def __init__(self, network: nn.Module, data: Any, sparsity: float, *, seed: int) -> None:
        super().__init__(network, data, sparsity, seed=seed)
        self.initial = dict(network.state_dict())


@ONE_SHOT
class TrainsTheCallersNetwork(OneShot):
    def duplicate(self, network: nn.Module) -> nn.Module:
        return network


@ONE_SHOT
class NormalisesInPlace(OneShot):
    def rows(self) -> tuple[Tensor, Tensor]:
        inputs, labels = self.data.train
        inputs.sub_(inputs.mean())
        return inputs, labels


@ticket_finder(rewinds=True, scope="global", no_empty_layer=True)
class EmptiesLayers(OneShot):
    def choose(self, sparsity: float) -> State:
        weights = dict(reversed(self.prunable().items()))  # the last layer goes first
        start = 0
        scores = {}
        for name, weight in weights.items():
            scores[name] = torch.arange(start, start + weight.numel()).reshape(weight.shape).float()
            start += weight.numel()
        return ranked(scores, sparsity)


@ticket_finder(rewinds=True, scope="global", keeps="random", nested=True)
class RedrawsEachRound(Lth):
    def choose(self, sparsity: float) -> State:
        return shuffled({name: kept.float() for name, kept in self.mask.items()}, sparsity, None, self.chance)


@ONE_SHOT
class ForgetsStatistics(OneShot):
    def finish(self) -> State:
        buffers = {name for name, _ in self.network.named_buffers()}
        return {name: value for name, value in self.remember().items() if name not in buffers}


@ONE_SHOT
class KeepsLastStatistics(OneShot):
    def finish(self) -> State:
        parameters = {name for name, _ in self.network.named_parameters()}
        best = {name: value for name, value in self.remember().items() if name in parameters}
        self.network(self.data.train[0] * 2)  # goes on: the statistics move, the parameters do not
        self.train(1)
        return {**self.remember(), **best}


@ONE_SHOT
class PrunesOneAtZero(OneShot):
    def choose(self, sparsity: float) -> State:
        return super().choose(sparsity if sparsity else 1e-3)


@ONE_SHOT
class RewindsToLater(OneShot):
    def train(self, epochs: int) -> None:
        if not self.masks:
            super().train(1)
            self.later = self.remember()
        super().train(epochs)

    def rewind(self) -> None:
        self.network.load_state_dict(self.later)


@ONE_SHOT
class RewindsOnlyWeights(OneShot):
    def rewind(self) -> None:
        names = self.prunable()
        self.network.load_state_dict({name: self.initial[name] for name in names}, strict=False)


@ONE_SHOT
class KeepsItsMomentum(OneShot):
    def optimizer(self) -> torch.optim.Optimizer:
        if not hasattr(self, "sgd"):
            self.sgd = super().optimizer()
        return self.sgd


@ONE_SHOT
class ComparesSignedValues(OneShot):
    def choose(self, sparsity: float) -> State:
        return ranked({name: weight.detach() for name, weight in self.prunable().items()}, sparsity, self.mask)


@ONE_SHOT
class KeepsTheSmallest(OneShot):
    def choose(self, sparsity: float) -> State:
        return ranked({name: -weight.detach().abs() for name, weight in self.prunable().items()}, sparsity, self.mask)


_calls = [0]


@ONE_SHOT
class CountsItsCalls(OneShot):
    def order(self, n: int) -> Tensor:
        _calls[0] += 1
        return torch.randperm(n, generator=torch.Generator().manual_seed(_calls[0]))


@ONE_SHOT
class OrdersByGlobalNumpy(OneShot):
    def order(self, n: int) -> Tensor:
        return torch.from_numpy(np.random.permutation(n))  # noqa: NPY002  the mistake itself


@ticket_finder(keeps="random", scope="layer")
class OneMaskForAllSeeds(RandomTicket):
    def choose(self, sparsity: float) -> State:
        self.chance.manual_seed(0)
        return super().choose(sparsity)


@ticket_finder(keeps="random", scope="layer")
class CallsMagnitudeRandom(RandomTicket):
    def choose(self, sparsity: float) -> State:
        answer: State = {}
        for name, weight in self.prunable().items():
            answer |= ranked({name: weight.detach().abs()}, sparsity, {name: self.mask[name]})
        return answer


@ONE_SHOT
class TrainsOnValidation(OneShot):
    def rows(self) -> tuple[Tensor, Tensor]:
        splits = zip(self.data.train, self.data.validation, strict=True)
        inputs, labels = (torch.cat(pair) for pair in splits)
        return inputs, labels


@ticket_finder(keeps="largest", scope="layer", stops_early=2)
class KeepsTheLastWeights(StoppedTicket):
    def restore(self, state: State) -> None:
        pass


@ticket_finder(keeps="largest", scope="layer", stops_early=2)
class IgnoresItsPatience(StoppedTicket):
    patience = 6


@ticket_finder(keeps="largest", scope="global", handles=("dropout",))
class DropsOutGlobally(DropoutTicket):
    def train(self, epochs: int) -> None:
        Lth.train(self, epochs)


@ticket_finder(keeps="largest", scope="global", handles=("tied",))
class Unties(OneShot):
    def duplicate(self, network: nn.Module) -> nn.Module:
        made = super().duplicate(network)
        if hasattr(made, "third"):
            made.third.weight = nn.Parameter(made.third.weight.detach().clone())  # type: ignore[union-attr]
        return made


@ticket_finder(keeps="largest", scope="global", handles=("frozen",))
class ThawsTheFrozen(OneShot):
    def duplicate(self, network: nn.Module) -> nn.Module:
        return super().duplicate(network).requires_grad_(True)


@ticket_finder(keeps="largest", scope="global", handles=("bfloat16",))
class AnswersInFloat32(OneShot):
    def finish(self) -> State:
        return {
            name: value.float() if value.dtype == torch.bfloat16 else value for name, value in self.remember().items()
        }


@ticket_finder(keeps="largest", scope="global", handles=("optimizer-state",))
class LeavesMomentum(OneShot):
    """Correct but for the claim: zeros in the weights, momentum beneath them."""


PRESSED = ticket_finder(keeps="largest", scope="global", penalty=ramp)


@PRESSED
class PressesOnAll(PressedTicket):
    def pressed(self, name: str) -> Tensor:
        return torch.ones_like(self.goes[name])


@PRESSED
class PressesOnTheKept(PressedTicket):
    def pressed(self, name: str) -> Tensor:
        return ~self.goes[name]


@PRESSED
class PressesHalfAsHard(PressedTicket):
    def schedule(self, step: int) -> float:
        return ramp(step) / 2  # (lambda / 2) w^2 differentiated once too often by hand


@PRESSED
class StartsTheRampAnew(PressedTicket):
    def schedule(self, step: int) -> float:
        return ramp(step % 12)


@PRESSED
class NeverPresses(PressedTicket):
    def schedule(self, step: int) -> float:
        return 0.0


FINDER_TWINS = (
    Twin(FloatMask, "float masks", ("finder-form",)),
    Twin(PrunesBiases, "prunes a bias (shrinkbench, Lightning)", ("finder-prunable-only",)),
    Twin(RoundsUp, "rounds the count up (DLTH)", ("finder-exact-sparsity",)),
    Twin(MasksBeforeForward, "masks before the forward pass only (open_lth)", ("finder-zero-in-result",)),
    Twin(MasksOnlyGradients, "masks only the gradient, Adam's state moves the rest", ("finder-zero-after-every-step",)),
    Twin(AliasesInitial, "aliases the saved initial state", ("finder-initial-is-initial",)),
    Twin(SharesTheCallersMemory, "returns the caller's tensors", ("finder-own-memory",)),
    Twin(TrainsTheCallersNetwork, "trains the caller's network", ("finder-network-untouched",)),
    Twin(NormalisesInPlace, "normalises the data in place", ("finder-data-untouched",)),
    Twin(EmptiesLayers, "empties a layer without a word", ("finder-no-empty-layer",)),
    Twin(RedrawsEachRound, "draws each round's mask anew (SynFlow's Rand)", ("finder-nested",)),
    Twin(ForgetsStatistics, "leaves batch-norm statistics out", ("finder-self-contained",)),
    Twin(KeepsLastStatistics, "best parameters, last batch-norm statistics", ("finder-self-contained",)),
    Twin(PrunesOneAtZero, "prunes at sparsity 0 (open_lth)", ("finder-sparsity-zero",)),
    Twin(RewindsToLater, "rewinds to a later step", ("finder-rewinds", "finder-rewinds-the-rest")),
    Twin(RewindsOnlyWeights, "leaves biases and batch norm where they are (Lightning)", ("finder-rewinds-the-rest",)),
    Twin(KeepsItsMomentum, "rewinds and keeps the momentum (Lightning)", ("finder-rewinds-optimizer",)),
    Twin(ComparesSignedValues, "compares signed values", ("finder-keeps-largest",)),
    Twin(KeepsTheSmallest, "inverts the comparison", ("finder-keeps-largest",)),
    Twin(CountsItsCalls, "depends on what ran before", ("finder-deterministic",)),
    Twin(OrdersByGlobalNumpy, "draws the order from global NumPy (DLTH)", ("finder-ignores-global-state",)),
    Twin(OneMaskForAllSeeds, "draws one 'random' mask for all seeds", ("finder-seeds-differ",)),
    Twin(CallsMagnitudeRandom, "prunes the smallest and calls it random (DLTH)", ("finder-random-is-random",)),
    Twin(TrainsOnValidation, "trains on the validation rows too", ("finder-no-validation-rows",)),
    Twin(KeepsTheLastWeights, "stops early and keeps the last weights", ("finder-stops-early",)),
    Twin(IgnoresItsPatience, "waits longer than it says", ("finder-stops-early",)),
    Twin(DropsOutGlobally, "lets dropout draw from the global generator", ("finder-dropout",)),
    Twin(Unties, "unties tied weights", ("finder-tied",)),
    Twin(ThawsTheFrozen, "trains frozen parameters", ("finder-frozen",)),
    Twin(AnswersInFloat32, "answers a bfloat16 network in float32", ("finder-bfloat16",)),
    Twin(LeavesMomentum, "masks weights and leaves their momentum", ("finder-optimizer-state",)),
    Twin(PressesOnAll, "presses on all weights", ("finder-penalty-outside-mask",)),
    Twin(PressesOnTheKept, "presses on the kept weights", ("finder-penalty-outside-mask",)),
    Twin(PressesHalfAsHard, "presses half as hard as its schedule", ("finder-penalty-schedule",)),
    Twin(StartsTheRampAnew, "starts the ramp anew in the middle (RST-Iter)", ("finder-penalty-schedule",)),
    Twin(NeverPresses, "announces a penalty and applies none", ("finder-penalty-schedule",)),
)
