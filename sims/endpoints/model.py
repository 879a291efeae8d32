"""A model as a function of one flat parameter vector, with the square loss that every rung of the ladder shares.

L(theta) = sum over n examples of ||f(theta) - y||^2 / (2n). A model that is linear in theta makes this the quadratic of
catalogue T1.1; all rungs run through the same code, so that a gap on a higher rung is the network's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]
Predict = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Model:
    """``predict`` maps parameters (p,) to outputs (n, c); ``targets`` (n, c); ``start`` (p,); all float64.

    ``exact`` says that predict is affine, so that the closed forms must hold to rounding.
    """

    name: str
    predict: Predict
    targets: Tensor
    start: Tensor
    exact: bool = False

    def loss_gradient(self, theta: Tensor) -> tuple[float, Tensor]:
        """L and its gradient (p,)."""
        at = theta.detach().requires_grad_(True)
        loss = 0.5 * (self.predict(at) - self.targets).square().sum() / len(self.targets)
        (gradient,) = torch.autograd.grad(loss, at)
        return float(loss.detach()), gradient

    def outputs(self, theta: Tensor) -> Tensor:
        """Predictions (n, c), detached."""
        with torch.no_grad():
            return self.predict(theta)

    def gauss_newton(self, theta: Tensor) -> Callable[[Tensor], Tensor]:
        """v (p,) -> J'J v / n at theta, matrix-free: one forward and one reverse product."""
        _, pull = torch.func.vjp(self.predict, theta)

        def product(v: Tensor) -> Tensor:
            _, pushed = torch.func.jvp(self.predict, (theta,), (v,))
            return pull(pushed)[0] / len(self.targets)

        return product

    def hessian(self, theta: Tensor) -> Callable[[Tensor], Tensor]:
        """v (p,) -> H v at theta by differentiating the gradient once more."""
        at = theta.detach().requires_grad_(True)
        loss = 0.5 * (self.predict(at) - self.targets).square().sum() / len(self.targets)
        (gradient,) = torch.autograd.grad(loss, at, create_graph=True)

        def product(v: Tensor) -> Tensor:
            if not gradient.requires_grad:  # a loss without curvature
                return torch.zeros_like(v)
            return torch.autograd.grad(gradient, at, v, retain_graph=True)[0]

        return product


class LinearisedModel(Model):
    """f(theta0) + J (theta - theta0): the network's tangent at its start (catalogue T10.2); one J for all gradients."""

    def __init__(self, name: str, network: Model) -> None:
        start = network.start
        initial, pull = torch.func.vjp(network.predict, start)

        def predict(theta: Tensor) -> Tensor:
            return initial + torch.func.jvp(network.predict, (start,), (theta - start,))[1]

        super().__init__(name, predict, network.targets, start, exact=True)
        object.__setattr__(self, "_pull", pull)

    def loss_gradient(self, theta: Tensor) -> tuple[float, Tensor]:
        """L and J'(f - y)/n, without differentiating through the forward product."""
        wrong = self.predict(theta) - self.targets
        n = len(self.targets)
        gradient = self._pull(wrong)[0] / n  # type: ignore[attr-defined]
        return float(0.5 * wrong.square().sum() / n), gradient

    def gauss_newton(self, theta: Tensor) -> Callable[[Tensor], Tensor]:
        """As `Model.gauss_newton`, with the one J."""
        zero = self.predict(self.start)
        n = len(self.targets)
        return lambda v: self._pull(self.predict(self.start + v) - zero)[0] / n  # type: ignore[attr-defined]


def linear_model(name: str, design: Array, targets: Array, device: torch.device | str = "cpu") -> Model:
    """f(theta) = X theta for a design (n, d) and targets (n, c): parameters (d c,) from 0."""
    x, y = (torch.from_numpy(values).to(device) for values in (design, targets))
    shape = (x.shape[1], y.shape[1])
    start = torch.zeros(shape[0] * shape[1], dtype=x.dtype, device=device)
    return Model(name, lambda theta: x @ theta.view(shape), y, start, exact=True)


def flat(network: nn.Module) -> Tensor:
    """All parameters in the order of named_parameters, (p,), float64."""
    return torch.cat([p.detach().double().reshape(-1) for p in network.parameters()])


def network_model(name: str, network: nn.Module, inputs: Tensor, labels: Tensor, classes: int) -> Model:
    """A network in evaluation mode (batch-norm statistics fixed) on one-hot targets, in float64, on one device."""
    network = network.double().eval()
    named = [(n, p.shape, p.numel()) for n, p in network.named_parameters()]
    inputs, sizes = inputs.double(), [count for *_, count in named]

    def predict(theta: Tensor) -> Tensor:
        parts = theta.split(sizes)
        values = {n: part.view(shape) for (n, shape, _), part in zip(named, parts, strict=True)}
        return torch.func.functional_call(network, values, (inputs,))

    return Model(name, predict, nn.functional.one_hot(labels, classes).double(), flat(network))
