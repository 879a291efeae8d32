"""Hidden units matched between two networks: weight matching (Ainsworth et al. 2023) by linear assignment.

Two networks that differ by the order of their hidden units compute the same and may be far apart in weights. From one
start units keep their places unless training swaps them, so the matching begins at the identity and only improves it.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

State = dict[str, Tensor]
Order = NDArray[np.intp]
SWEEPS = 50


def chain(network: nn.Module, inputs: Tensor) -> tuple[str, ...] | None:
    """Names of the layers where the network is a chain of Linear layers with the same function after a permutation of
    the hidden units, tried on ``inputs``; otherwise None."""
    owners = {name: m for name, m in network.named_modules() if list(m.parameters(recurse=False))}
    layers = [m for m in owners.values() if isinstance(m, nn.Linear)]
    if len(layers) < 2 or len(layers) < len(owners):
        return None
    if any(a.out_features != b.in_features for a, b in itertools.pairwise(layers)):
        return None
    names = tuple(owners)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    # every layer turned by another number of places, so that what adds two layers up shows
    orders = [np.roll(np.arange(layer.out_features), k) for k, layer in enumerate(layers[:-1], start=1)]
    was_training = network.training
    with torch.no_grad():
        before = network.eval()(inputs)
        network.load_state_dict(permuted(state, names, orders))
        same = torch.allclose(network(inputs), before, rtol=1e-3, atol=1e-4 * float(before.abs().max()))
        network.load_state_dict(state)
    network.train(was_training)
    return names if same else None


def permuted(state: State, names: tuple[str, ...], orders: list[Order]) -> State:
    """The state with the hidden units of layer i in the order ``orders[i]``."""
    found = dict(state)
    for place, name in enumerate(names):
        weight = state[f"{name}.weight"]
        if place < len(orders):
            rows = torch.from_numpy(orders[place])
            weight = weight[rows]
            if f"{name}.bias" in state:
                found[f"{name}.bias"] = state[f"{name}.bias"][rows]
        if place:
            weight = weight[:, torch.from_numpy(orders[place - 1])]
        found[f"{name}.weight"] = weight
    return found


def align(a: State, b: State, names: tuple[str, ...]) -> list[Order]:
    """Orders of b's hidden units that bring it near to a: every sweep matches one layer after the other, given the
    rest, until none gains any more."""
    orders = [np.arange(len(b[f"{name}.weight"])) for name in names[:-1]]
    for _ in range(SWEEPS):
        gained = False
        for place in range(len(orders)):
            gains = likeness(a, b, names, orders, place)
            _, best = linear_sum_assignment(gains, maximize=True)
            rows = np.arange(len(best))
            if gains[rows, best].sum() > gains[rows, orders[place]].sum() * (1 + 1e-12) + 1e-12:
                orders[place], gained = best, True
        if not gained:
            break
    return orders


def likeness(a: State, b: State, names: tuple[str, ...], orders: list[Order], place: int) -> NDArray[np.float64]:
    """Inner products of unit i of a and unit j of b in one layer: weights in, bias, weights out, (units, units)."""
    name, after = names[place], names[place + 1]
    ins = [array(state, f"{name}.weight") for state in (a, b)]
    outs = [array(state, f"{after}.weight") for state in (a, b)]
    if place:
        ins[1] = ins[1][:, orders[place - 1]]
    if place + 1 < len(orders):
        outs[1] = outs[1][orders[place + 1]]
    found = ins[0] @ ins[1].T + outs[0].T @ outs[1]
    if f"{name}.bias" in a:
        found = found + np.outer(array(a, f"{name}.bias"), array(b, f"{name}.bias"))
    return found


def array(state: State, name: str) -> NDArray[np.float64]:
    return state[name].double().cpu().numpy()
