"""End points of one start: early-stopped, L2, UniLTH, DLTH, LTH and their kin, each with the way that training took."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unilth.sims import networks, zoo
from unilth.sims.data import Dataset
from unilth.sims.endpoints.plan import Plan
from unilth.sims.endpoints.section7 import SPARSITY, on
from unilth.sims.find import Budget, Search
from unilth.sims.masks import Mask
from unilth.sims.shortfalls import ran_out
from unilth.sims.stopping import EarlyStopping
from unilth.sims.streams import stream
from unilth.sims.training import Phase, evaluate, train

State = dict[str, Tensor]
Stopping = dict[str, bool | int]

# name (titles are in `nearest`), and the dense network's weight decay or the recipe's name in the zoo
ENDS: tuple[tuple[str, float | str], ...] = (
    ("unilth", "unilth"),
    ("unilth-again", "unilth"),
    ("stopped", 0.0),
    ("l2-weak", 5e-4),
    ("l2-strong", 5e-3),
    ("l2-pruned", "l2"),
    ("greg-1", "greg-1"),
    ("dlth", "dlth"),
    ("unidlth", "unidlth"),
    ("lth", "lth"),
)


@dataclass
class Walk:
    """States (parameters and buffers) after epochs with their training losses in nats; the last one is the end point.

    Of a sparse network only what comes after the last prune counts; ``mask`` is None for a dense one. ``stopping`` is
    of those that stop early.
    """

    states: list[State]
    losses: list[float]
    mask: Mask | None = None
    stopping: Stopping | None = None


@dataclass
class Bench:
    """One network and its data, to put states into and look at them."""

    network: nn.Module
    data: Dataset

    def __post_init__(self) -> None:
        self.train = self.data.prepare(self.data.train[0]), self.data.train[1]
        self.test = self.data.prepare(self.data.test[0]), self.data.test[1]

    def put(self, state: State) -> nn.Module:
        """The network in this state, in evaluation mode."""
        self.network.load_state_dict(state)
        return self.network.eval()

    def loss(self, state: State) -> float:
        """Training loss, nats."""
        return evaluate(self.put(state), self.train)[0]


def walk(name: str, plan: Plan, data: Dataset, seed: int, bench: Bench) -> Walk:
    """Train to one of `ENDS` from the start that all of a seed share."""
    device = data.train[0].device
    network = networks.build(plan.network, data.shape, data.classes, stream(seed, "initial")).to(device)
    kind = dict(ENDS)[name]
    states: list[State] = []
    if isinstance(kind, float):
        stop = EarlyStopping() if kind == 0 else None
        phase = Phase("free", 1, plan.epochs, Budget.lr, decay=kind, stop=stop)
        order, chance = stream(seed, "order"), on(device, stream(seed, "augment"))
        outcome = train(network, data, phase, order, chance=chance, tick=lambda: states.append(held(network)))
        states = states[: outcome.best_epoch]
        told = stopping(stop, len(outcome.rows), outcome.best_epoch, plan.epochs) if stop else None
        return Walk(states, [bench.loss(state) for state in states], stopping=told)
    turned = seed + 10**6 if name == "unilth-again" else seed

    def tick(used: int, total: int, what: str) -> None:
        if what.startswith("tune"):
            states.append(held(search.network))

    budget, recipe = Budget(epochs=plan.epochs), zoo.row(kind).recipe
    search = Search(recipe, network, data, SPARSITY, turned, budget, tick)
    mask, told = search.run().mask, None
    if isinstance(recipe.stop, EarlyStopping):
        free = search.phases[0]
        told = stopping(recipe.stop, free["epochs"], free["best_epoch"], search.free_epochs()[0])
    return Walk(states, [bench.loss(state) for state in states], mask, told)


def stopping(rule: EarlyStopping, epochs: int, best: int | None, most: int) -> Stopping:
    """Whether patience ran out within the ``most`` epochs of free training, how many passed, which was restored."""
    fired = ran_out(epochs, best, rule.patience)
    return {"fired": fired, "epochs": epochs, "best_epoch": best or 0, "most": most}


def held(network: nn.Module) -> State:
    """A copy of parameters and buffers."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def between(a: State, b: State, t: float) -> State:
    """The point (1-t) a + t b; what is no floating-point number comes from b."""
    return {name: torch.lerp(a[name], b[name], t) if b[name].is_floating_point() else b[name].clone() for name in b}


def matched(way: Walk, bench: Bench, target: float) -> State:
    """The first point of the way with the training loss ``target``, on the straight line between two epochs; its end
    where that is no better, and where the way begins below it, the epoch that comes nearest."""
    if way.losses[-1] >= target:
        return way.states[-1]
    later = next(k for k, loss in enumerate(way.losses) if loss <= target)
    if not later:
        nearest = min(range(len(way.losses)), key=lambda k: abs(math.log(way.losses[k] / target)))
        return way.states[nearest]
    low, high, loss, state = 0.0, 1.0, way.losses[later], way.states[later]
    for _ in range(25):
        if abs(math.log(loss / target)) < 1e-3:
            break
        middle = (low + high) / 2
        state = between(way.states[later - 1], way.states[later], middle)
        loss = bench.loss(state)
        low, high = (middle, high) if loss > target else (low, middle)
    return state
