"""Catalogue section 7 on a network: does a slow ramp forget the stop, when is the mask best, what does the ramp buy?

Every part trains with the package's one training loop (cross-entropy, SGD with momentum) and returns raw numbers; the
verdicts are `verdicts.py`'s.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from unilth.sims import masks, networks
from unilth.sims.data import Dataset
from unilth.sims.endpoints.model import flat
from unilth.sims.masks import Mask
from unilth.sims.penalties import GrowingPenalty
from unilth.sims.streams import stream
from unilth.sims.training import Phase, evaluate, steps_per_epoch, train

SPARSITY = 0.9
RATE = 0.05
SHAPES = ("x", "x2", "x3", "hyperbolic")


@dataclass(frozen=True)
class HyperbolicPenalty(GrowingPenalty):
    """sigma u/(1-u) with u the share of the ramp that is over, cut at the ceiling (T7.10 iii); sigma = ceiling/20."""

    def value(self, step: int) -> float:
        """The penalty at optimizer step ``step``, never decreasing."""
        u = min(step / self.growth, 1.0)
        return self.ceiling if u >= 1 else min(self.ceiling, self.ceiling / 20 * u / (1 - u))


@dataclass
class Study:
    """One network, one seed: a start that every part copies."""

    network: str
    data: Dataset
    seed: int

    @property
    def device(self) -> torch.device:
        """Where the data lie, and everything else."""
        return self.data.train[0].device

    def fresh(self) -> nn.Module:
        """The network at its initial values."""
        built = networks.build(self.network, self.data.shape, self.data.classes, stream(self.seed, "initial"))
        return built.to(self.device)

    def free(self, network: nn.Module, epochs: int, mask: Mask | None = None, name: str = "order") -> None:
        """Train without a penalty, in place."""
        phase = Phase("free", 1, epochs, RATE, mask=mask)
        train(network, self.data, phase, stream(self.seed, name), chance=self.chance(name))

    def chance(self, name: str) -> torch.Generator:
        """What augmentation draws from."""
        return on(self.device, stream(self.seed, f"{name} chance"))

    def press(self, network: nn.Module, goes: Mask, epochs: int, shape: str = "x") -> list[float]:
        """A ramp to the ceiling 1 in `epochs`; the training loss after every epoch."""
        steps = epochs * steps_per_epoch(len(self.data.train[1]), 64)
        power = {"x": 1, "x2": 2, "x3": 3, "hyperbolic": 1}[shape]
        kind = HyperbolicPenalty if shape == "hyperbolic" else GrowingPenalty
        phase = Phase("press", 1, epochs, RATE, goes=goes, penalty=kind(1 / steps, 1, 1.0, power, 0))
        losses: list[float] = []
        order = stream(self.seed, "ramp")
        train(
            network, self.data, phase, order, chance=self.chance("ramp"), tick=lambda: losses.append(self.loss(network))
        )
        return losses

    def loss(self, network: nn.Module) -> float:
        """Training loss, nats."""
        prepared = self.data.prepare(self.data.train[0]), self.data.train[1]
        return evaluate(network, prepared)[0]


def on(device: torch.device, generator: torch.Generator) -> torch.Generator:
    """A generator on the device with the same seed: a draw there waits for nobody; on the CPU the same draws."""
    return torch.Generator(device).manual_seed(generator.initial_seed())


def complement(mask: Mask) -> Mask:
    return {name: ~kept for name, kept in mask.items()}


@torch.no_grad()
def pruned(network: nn.Module, mask: Mask) -> nn.Module:
    """A copy with the weights outside the mask at 0."""
    other = copy.deepcopy(network)
    for name, weight in masks.prunable(other).items():
        weight.masked_fill_(~mask[name], 0.0)
    return other


def forgetting(study: Study, ramps: tuple[int, ...], stops: tuple[int, int] = (1, 8)) -> list[dict[str, float]]:
    """T7.2: for each ramp length in epochs, how far apart two stops end, over how far apart the ramps started.

    The mask is random and the same, the batches of the ramp too.
    """
    draws, weights = stream(study.seed, "mask"), masks.prunable(study.fresh())
    drawn = {name: torch.rand(weights[name].shape, generator=draws) for name in sorted(weights)}
    scores = {name: score.to(study.device) for name, score in drawn.items()}
    mask = masks.keep_largest(scores, SPARSITY, scope="layer")
    starts = []
    for stop in stops:
        network = study.fresh()
        study.free(network, stop)
        starts.append(network)
    before = float((flat(starts[0]) - flat(starts[1])).norm())
    rows = []
    for ramp in ramps:
        ends = [copy.deepcopy(network) for network in starts]
        for network in ends:
            study.press(network, complement(mask), ramp)
        left = [flat(pruned(network, mask)) for network in ends]
        rows.append({"ramp": ramp, "apart": float((left[0] - left[1]).norm()), "start_apart": before})
    return rows


def fisher_diagonal(network: nn.Module, data: Dataset, examples: int) -> dict[str, torch.Tensor]:
    """The diagonal of the Gauss-Newton matrix of the cross-entropy, E_c (d log p_c)^2, per prunable weight."""
    network = copy.deepcopy(network).eval()
    values = {name: p.detach() for name, p in network.named_parameters()}
    inputs = data.prepare(data.train[0][:examples])
    total = {name: torch.zeros_like(weight) for name, weight in masks.prunable(network).items()}

    def log_probability(given: dict[str, torch.Tensor], x: torch.Tensor, c: int) -> torch.Tensor:
        logits = torch.func.functional_call(network, given, (x[None],))
        return torch.log_softmax(logits, 1)[0, c]

    with torch.no_grad():
        probability = torch.softmax(network(inputs), 1)
    for c in range(data.classes):
        gradient = torch.func.vmap(torch.func.grad(log_probability), in_dims=(None, 0, None))
        for part, weight in zip(inputs.split(64), probability[:, c].split(64), strict=True):
            found = gradient(values, part, c)
            for name in total:
                total[name] += torch.einsum("n...,n->...", found[name].square(), weight)
    return {name: value.detach() / len(inputs) for name, value in total.items()}


def mask_quality(study: Study, epochs: int, examples: int) -> dict[str, Any]:
    """T7.5: the loss of the converged weights pruned by the magnitudes of every earlier epoch, and by OBD."""
    network, found = study.fresh(), []
    order, chance = stream(study.seed, "order"), study.chance("order")
    magnitudes = [{name: weight.detach().abs().clone() for name, weight in masks.prunable(network).items()}]
    train(
        network,
        study.data,
        Phase("free", 1, epochs, RATE),
        order,
        chance=chance,
        tick=lambda: magnitudes.append({n: w.detach().abs().clone() for n, w in masks.prunable(network).items()}),
    )
    for scores in magnitudes:
        found.append(study.loss(pruned(network, masks.keep_largest(scores, SPARSITY))))
    fisher = fisher_diagonal(network, study.data, examples)
    saliency = {name: fisher[name] * weight.detach().square() for name, weight in masks.prunable(network).items()}
    oracle = study.loss(pruned(network, masks.keep_largest(saliency, SPARSITY)))
    return {"losses": found, "oracle": oracle, "dense": study.loss(network)}


def ramp_or_prune(study: Study, stop: int, ramp: int, tune: int) -> dict[str, Any]:
    """T7.10: peak and end of the training loss, pruning at once against ramps of every shape, in equal time."""
    network = study.fresh()
    study.free(network, stop)
    mask = masks.keep_largest(
        {name: weight.detach().abs() for name, weight in masks.prunable(network).items()}, SPARSITY
    )
    found: dict[str, Any] = {"before": study.loss(network)}
    instant = pruned(network, mask)
    first = study.loss(instant)
    study.free(instant, ramp + tune, mask, "tune")
    found["instant"] = {"peak": first, "pruned": first, "end": study.loss(instant), "test": tested(instant, study.data)}
    for shape in SHAPES:
        other = copy.deepcopy(network)
        during = study.press(other, complement(mask), ramp, shape)
        other = pruned(other, mask)
        at = study.loss(other)
        study.free(other, tune, mask, "tune")
        peak = max(*during, at)
        found[shape] = {"peak": peak, "pruned": at, "end": study.loss(other), "test": tested(other, study.data)}
    return found


def tested(network: nn.Module, data: Dataset) -> float:
    """Accuracy on the test split."""
    return evaluate(network, (data.prepare(data.test[0]), data.test[1]))[1]
