"""How far end points of one start are apart: in weights, in functions, along straight lines, in sharpness."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unilth.sims import masks, networks
from unilth.sims.data import Dataset
from unilth.sims.endpoints.alignment import align, chain, permuted
from unilth.sims.endpoints.batch_norm import measure_statistics
from unilth.sims.endpoints.curvature import Device, Product, hutchinson_trace, top_eigenpairs
from unilth.sims.endpoints.ends import ENDS, Bench, State, Walk, between, matched, walk
from unilth.sims.endpoints.plan import Plan
from unilth.sims.masks import Mask
from unilth.sims.streams import stream
from unilth.sims.training import evaluate

POINTS = 11  # of a straight line, its ends included
REFERENCE = "unilth"


def distances(plan: Plan, data: Dataset, seed: int) -> dict[str, Any]:
    """Every end point of one seed, every pair of them, and every one against UniLTH's at equal training loss."""
    network = networks.build(plan.network, data.shape, data.classes, stream(seed, "initial")).to(data.train[0].device)
    bench = Bench(network, data)
    ways: dict[str, Walk] = {}
    at_loss: list[dict[str, Any]] = []
    for name, _ in ENDS:
        ways[name] = way = walk(name, plan, data, seed, bench)
        if name != REFERENCE:  # which is the first
            at_loss.append({"name": name, **at_equal_loss(bench, ways[REFERENCE], way)})
            del way.states[:-1], way.losses[:-1]
    ends = [
        {
            "name": name,
            "train_loss": way.losses[-1],
            **tested(bench, way.states[-1]),
            "sparsity": 0.0 if way.mask is None else masks.sparsity_of(way.mask),
            "sharpness": sharpness(bench.put(way.states[-1]), plan, data, way.mask),
            **({"early_stopping": way.stopping} if way.stopping else {}),
        }
        for name, way in ways.items()
    ]
    layers = chain(network, bench.test[0])
    said = {name: logits(bench, way.states[-1]) for name, way in ways.items()}
    pairs = [
        {
            **pair(bench, one, other, ways[one].states[-1], ways[other].states[-1], layers),
            **functions(said[one], said[other]),
        }
        for one, other in itertools.combinations(ways, 2)
    ]
    return {"ends": ends, "pairs": pairs, "matched": at_loss}


def at_equal_loss(bench: Bench, reference: Walk, other: Walk) -> dict[str, Any]:
    """Both at the larger of their two training losses: the one that ends lower is taken where it came by."""
    target = max(reference.losses[-1], other.losses[-1])
    a, b = (matched(way, bench, target) for way in (reference, other))
    first, second = ({"train_loss": bench.loss(state), **tested(bench, state)} for state in (a, b))
    return {
        "target": target,
        REFERENCE: first,
        "other": second,
        "weights": apart(a, b, names_of(bench.network)),
        **functions(logits(bench, a), logits(bench, b)),
    }


def pair(bench: Bench, one: str, other: str, a: State, b: State, layers: tuple[str, ...] | None) -> dict[str, Any]:
    """Two end points in weights, relative to the mean of their norms, per layer and over all, and between them."""
    network = bench.network
    found: dict[str, Any] = {
        "a": one,
        "b": other,
        "weights": apart(a, b, names_of(network)),
        "layers": {name: apart(a, b, (name,)) for name in masks.prunable(network)},
        **line(bench, a, b),
        "aligned": None,
    }
    if layers:
        orders = align(a, b, layers)
        moved = int(sum((order != np.arange(len(order))).sum() for order in orders))
        turned = permuted(b, layers, orders)
        found["aligned"] = {
            "moved": moved,
            "units": sum(map(len, orders)),
            "weights": apart(a, turned, names_of(network)),
            "barrier": line(bench, a, turned)["barrier"] if moved else found["barrier"],
        }
    return found


def names_of(network: nn.Module) -> tuple[str, ...]:
    return tuple(name for name, _ in network.named_parameters())


def apart(a: State, b: State, names: tuple[str, ...]) -> float:
    """||a - b|| over the mean of ||a|| and ||b||, in the parameters named; 0 where both are 0."""
    x, y = (torch.cat([state[name].double().reshape(-1) for name in names]) for state in (a, b))
    size = float(x.norm() + y.norm()) / 2
    return float((x - y).norm()) / size if size else 0.0


@torch.no_grad()
def logits(bench: Bench, state: State) -> Tensor:
    """On the inputs of the test split, (n, classes), float64; labels are not looked at."""
    network = bench.put(state)
    return torch.cat([network(batch) for batch in bench.test[0].split(512)]).double()


def functions(a: Tensor, b: Tensor) -> dict[str, float]:
    """Mean over inputs of the symmetrised KL divergence in nats, (KL(p|q) + KL(q|p))/2, and of the Euclidean distance
    of the probabilities; share of the inputs on which the predicted classes differ."""
    p, q = torch.log_softmax(a, 1), torch.log_softmax(b, 1)
    return {
        "kl": float(0.5 * ((p.exp() - q.exp()) * (p - q)).sum(1).mean()),
        "l2": float((p.exp() - q.exp()).norm(dim=1).mean()),
        "disagree": float((a.argmax(1) != b.argmax(1)).double().mean()),
    }


def line(bench: Bench, a: State, b: State) -> dict[str, Any]:
    """Training loss along the straight line, batch-norm statistics measured again at every point, and the barrier:
    how far it rises above the straight line between the losses at the ends (Entezari et al. 2022), nats."""
    losses = []
    for t in np.linspace(0, 1, POINTS):
        network = measure_statistics(bench.put(between(a, b, float(t))), bench.train[0])
        losses.append(evaluate(network, bench.train)[0])
    straight = np.linspace(losses[0], losses[-1], POINTS)
    return {"line": losses, "barrier": float((np.array(losses) - straight).max())}


def tested(bench: Bench, state: State) -> dict[str, float]:
    """Loss (nats) and accuracy on the test split."""
    loss, accuracy = evaluate(bench.put(state), bench.test)
    return {"test_loss": loss, "test_accuracy": accuracy}


def sharpness(network: nn.Module, plan: Plan, data: Dataset, mask: Mask | None) -> dict[str, Any]:
    """Top eigenvalue and trace of the Hessian of the mean cross-entropy on the first training examples: of all
    parameters, and with the pruned weights held at 0."""
    network = copy.deepcopy(network).double().eval()
    inputs, labels = data.prepare(data.train[0][: plan.examples]).double(), data.train[1][: plan.examples]
    product, size = curvature(network, inputs, labels)
    found = {"all": measured(product, size, plan.probes, inputs.device)}
    if mask is not None:
        named = network.named_parameters()
        kept = torch.cat([(mask[n] if n in mask else torch.ones_like(p)).reshape(-1) for n, p in named]).double()
        found["kept"] = measured(lambda v: kept * product(kept * v), size, plan.probes, inputs.device)
    return found


def measured(product: Product, size: int, probes: int, device: Device = "cpu") -> dict[str, float]:
    values, _ = top_eigenpairs(product, size, 1, tolerance=1e-3, device=device)
    trace = hutchinson_trace(product, size, probes, stream(0, "probes"), device)
    return {"top": float(values[0]), "trace": trace.value, "trace_error": trace.error}


def curvature(network: nn.Module, inputs: Tensor, labels: Tensor) -> tuple[Product, int]:
    """v (p,) -> H v of the mean cross-entropy in evaluation mode, and p; one graph is kept for all products."""
    parameters = list(network.parameters())
    loss = nn.functional.cross_entropy(network(inputs), labels)
    gradient = torch.autograd.grad(loss, parameters, create_graph=True)
    sizes = [p.numel() for p in parameters]

    def product(v: Tensor) -> Tensor:
        parts = [part.view_as(p) for part, p in zip(v.split(sizes), parameters, strict=True)]
        found = torch.autograd.grad(gradient, parameters, parts, retain_graph=True)
        return torch.cat([part.reshape(-1) for part in found])

    return product, sum(sizes)
