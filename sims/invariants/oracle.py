"""Theory as oracle: our own engine's penalty and early stopping, run on quadratics, against the closed forms.

The engine's parts are driven as the training loop drives them (`Masking` through optimizer hooks, `Watch` once per
epoch); only the loss is a quadratic, for which `unilth.theory.models` knows the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from unilth.sims.penalties import GrowingPenalty
from unilth.sims.stopping import EarlyStopping, Watch
from unilth.sims.training import Masking, Phase
from unilth.theory.models.growing_penalty import Array, PenalisedQuadratic
from unilth.theory.models.quadratic import Quadratic
from unilth.theory.models.trajectory import Ramp, end_point


class QuadraticNetwork(nn.Module):
    """(w - w*)' H (w - w*) / 2 as a network without inputs; its weights are one parameter (n,)."""

    def __init__(self, problem: PenalisedQuadratic, start: Array) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(np.array(start, float)))
        self.hessian, self.minimiser = torch.from_numpy(problem.hessian), torch.from_numpy(problem.minimiser)

    def forward(self) -> Tensor:
        """The loss."""
        away = self.weight - self.minimiser
        return 0.5 * away @ self.hessian @ away


def press(problem: PenalisedQuadratic, start: Array, penalty: GrowingPenalty, steps: int, lr: float) -> Array:
    """Weights (n,) after ``steps`` optimizer steps of the engine's penalty phase, plain gradient descent."""
    network = QuadraticNetwork(problem, start)
    goes = {"weight": torch.from_numpy(~problem.kept)}
    optimizer = torch.optim.SGD(network.parameters(), lr)
    Masking(optimizer, network, Phase("press", 1, 1, lr, goes=goes, penalty=penalty))
    for _ in range(steps):
        optimizer.zero_grad()
        network().backward()
        optimizer.step()
    return network.weight.detach().numpy().copy()


def example(n: int = 6, seed: int = 0) -> tuple[PenalisedQuadratic, Array]:
    """A regular quadratic with eigenvalues from 0.3 to 2 in a random basis, half of its weights kept, and a start."""
    chance = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(chance.standard_normal((n, n)))
    hessian = (basis * np.linspace(0.3, 2.0, n)) @ basis.T
    kept = np.arange(n) % 2 == 0
    return PenalisedQuadratic((hessian + hessian.T) / 2, chance.standard_normal(n), kept), chance.standard_normal(n)


def ramp_error(lr: float, *, value: Callable[[GrowingPenalty, int], float] = GrowingPenalty.value) -> float:
    """Distance of the engine's end from T7.1's exact end of the same staircase ramp, 4 units of time to lambda = 2.

    ``value`` is the schedule that the oracle assumes; another one than the engine's must be noticed.
    """
    problem, start = example()
    steps = round(4.0 / lr)
    penalty = GrowingPenalty(step=2.0 / steps, every=1, ceiling=2.0, power=2, hold=0)
    exact = end_point(problem, start, Ramp(np.full(steps, lr), [value(penalty, k) for k in range(steps)]))
    return float(np.abs(press(problem, start, penalty, steps, lr) - exact).max())


def held_error(*, wrong: float = 1.0) -> float:
    """Distance from T6.1's ridge in the Schur complement after a long hold at lambda = 3 (times ``wrong``)."""
    problem, start = example(seed=1)
    penalty = GrowingPenalty(step=0.01, every=1, ceiling=3.0, hold=0)
    return float(np.abs(press(problem, start, penalty, 700, 0.3) - problem.weights(3.0 * wrong)).max())


def slow_limit_errors(ceilings: tuple[float, ...] = (5.0, 20.0, 80.0)) -> list[tuple[float, float]]:
    """Distances from the Schur-complement point after slow ramps to growing ceilings, each with T6.1's bound."""
    problem, start = example(seed=2)
    c = ~problem.kept
    reach = float(np.sqrt(1 + np.linalg.norm(problem.coupling, 2) ** 2))
    scale = reach * float(np.linalg.norm(problem.schur @ problem.minimiser[c]))
    found = []
    for ceiling in ceilings:
        lr = 1.0 / (ceiling + 2.0)  # T6.5: a growing penalty needs a step below 2 / (L + lambda)
        steps = round(40.0 / lr)
        penalty = GrowingPenalty(step=ceiling / (steps // 2), every=1, ceiling=ceiling, hold=0)
        end = press(problem, start, penalty, steps, lr)
        found.append((float(np.linalg.norm(end - problem.limit)), scale / ceiling))
    return found


@dataclass(frozen=True)
class Stopped:
    """Where the engine's early stopping stopped, what it restored, and what T1.1's closed form says."""

    epochs: int
    best: int
    predicted_best: int
    path_error: float
    restored_error: float


def stopping(patience: int = 3, seed: int = 3) -> Stopped:
    """Gradient descent on one quadratic, stopped by the loss of another ("validation") with its minimum on the way."""
    problem, start = example(seed=seed)
    training = Quadratic(problem.hessian, problem.minimiser)
    lr, most = 0.2, 200
    closed = training.gradient_descent(lr, np.arange(most + 1), start)
    aim = closed[12] + 0.01 * np.random.default_rng(seed).standard_normal(len(start))
    losses = ((closed - aim) ** 2).sum(-1)
    network = QuadraticNetwork(problem, start)
    optimizer = torch.optim.SGD(network.parameters(), lr)
    watch, error, epochs = Watch(EarlyStopping(patience)), 0.0, 0
    for epoch in range(1, most + 1):
        optimizer.zero_grad()
        network().backward()
        optimizer.step()
        now, epochs = network.weight.detach().numpy(), epoch
        error = max(error, float(np.abs(now - closed[epoch]).max()))
        if watch.update(float(((now - aim) ** 2).sum()), network):
            break
    watch.restore(network)
    best = int(losses[1:].argmin()) + 1
    restored = float(np.abs(network.weight.detach().numpy() - closed[best]).max())
    return Stopped(epochs, watch.best_epoch or 0, best, error, restored)
