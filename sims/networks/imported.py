"""Networks that a user imports: ``package.module:callable`` or ``path/to/file.py:callable``, any nn.Module.

The callable is code of the user's and is run. Its own initialisation stays; it draws from torch's global generator,
which is set from the run's seed meanwhile and put back afterwards.
"""

from __future__ import annotations

import copy
import inspect
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy

from unilth.errors import UserError
from unilth.sims import imported
from unilth.sims.imported import global_generator, in_short
from unilth.sims.masks import prunable

ABOUT = "a network of your own is given as package.module:callable or path/to/file.py:callable"
GIVE = "give a class or function that builds one"
MOST = 512  # inputs that a network is tried on: a whole batch made for a GPU could take minutes here
CHANNELS = ("channels", "in_channels", "in_chans")


def locate(name: str) -> Callable[..., Any]:
    """What ``name`` addresses; UserError where there is no such module, file or callable, or its import fails."""
    found = imported.locate(name, "network", about=ABOUT, give=GIVE)
    if isinstance(found, nn.Module):
        raise UserError(f"the network {name!r} is a {type(found).__name__}: {GIVE}")
    return found


def origin(name: str) -> dict[str, Any]:
    """Where an imported network came from: module, file name, SHA-256 of the file (None without source) and version."""
    return imported.origin(name, locate(name))


def build_imported(
    name: str, shape: tuple[int, ...], classes: int, generator: torch.Generator, batch: int
) -> nn.Module:
    """Call what ``name`` addresses and check what it returns: logits (n, classes) of inputs (n, *shape), on the CPU.

    Parameters called ``shape``, ``classes`` (or ``num_classes``) and ``channels`` (``in_channels``, ``in_chans``) are
    filled by name, two others without defaults as (shape, classes). It is called twice, because a network that draws
    from anything but torch's generator would not be the same again; the second one is tried as it will be used, in
    training on ``batch`` inputs, and thrown away. UserError for whatever cannot be trained here.
    """
    build = locate(name)
    state = torch.Generator().manual_seed(int(torch.randint(2**62, (1,), generator=generator))).get_state()
    with global_generator(state):
        network = _call(build, name, shape, classes)
    _check_parts(network, name)
    with global_generator(state):
        again = _call(build, name, shape, classes)
    first, second = network.state_dict(), again.state_dict()
    same = first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
    if not same or again is network:
        raise UserError(
            f"the network {name!r} is not built anew and the same at every call: draw its weights from torch's global "
            "generator only, and return a new network"
        )
    with global_generator(state):
        _check_uses(again, name, shape, classes, batch)
    return network


def _call(build: Callable[..., Any], name: str, shape: tuple[int, ...], classes: int) -> nn.Module:
    places, named = _arguments(build, name, shape, classes)
    try:
        network = build(*places, **named)
    except (Exception, SystemExit) as error:
        given = ", ".join([*map(str, places), *(f"{key}={value}" for key, value in named.items())])
        raise UserError(f"the network {name!r}, called with ({given}), fails: {in_short(error)}") from None
    if not isinstance(network, nn.Module):
        raise UserError(f"the network {name!r} returned a {type(network).__name__}, not an nn.Module")
    return network


def _arguments(
    build: Callable[..., Any], name: str, shape: tuple[int, ...], classes: int
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    known = {"shape": shape, "classes": classes, "num_classes": classes, **dict.fromkeys(CHANNELS, shape[0])}
    try:
        parameters = inspect.signature(build).parameters.values()
    except (TypeError, ValueError):
        return (shape, classes), {}
    plain = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    needed = [p for p in plain if p.default is p.empty and p.name not in known]
    if len(needed) == 2 and all(p.kind != p.KEYWORD_ONLY for p in needed) and plain[:2] == needed:
        return (shape, classes), {}
    if needed:
        asked = ", ".join(p.name for p in needed)
        raise UserError(
            f"the network {name!r} needs the arguments {asked}: give a callable of (shape, classes) or of none, for "
            f"example a function that calls it"
        )
    named = {p.name: known[p.name] for p in plain if p.name in known and p.kind != p.POSITIONAL_ONLY}
    if not named.keys() & {"shape", "classes", "num_classes"} and any(p.kind == p.VAR_KEYWORD for p in parameters):
        named["num_classes"] = classes  # torchvision's and timm's functions hand **kwargs to the network
    return (), named


def _check_parts(network: nn.Module, name: str) -> None:
    for key, module in network.named_modules():
        if isinstance(module, (nn.Linear, _ConvNd)) and module._parameters.get("weight") is None:
            raise UserError(
                f"the network {name!r}: the weight of the layer {key!r} is computed from other tensors, which no mask "
                "holds at 0: remove that, for example with torch.nn.utils.parametrize.remove_parametrizations"
            )
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    for key, tensor in tensors.items():
        if is_lazy(tensor):
            raise UserError(f"the network {name!r}: {key} is lazy, its size still unknown: give the layer its sizes")
        if tensor.is_complex():
            raise UserError(f"the network {name!r}: {key} is complex: masks are for real weights only")
        if tensor.device.type != "cpu":
            raise UserError(f"the network {name!r}: {key} is on {tensor.device}: build it on the CPU")
    if not any(weight.requires_grad for weight in prunable(network).values()):
        raise UserError(f"the network {name!r} has no Linear or Conv layer whose weight is trained: none to prune")
    for key, value in network.state_dict().items():
        if not torch.is_tensor(value):
            raise UserError(
                f"the network {name!r}: its state_dict has {key}, a {type(value).__name__}: tickets hold tensors only, "
                "keep it in a buffer or leave get_extra_state out"
            )
    try:
        copy.deepcopy(network)
    except Exception as error:
        raise UserError(f"the network {name!r} cannot be copied ({type(error).__name__}): runs train copies") from None


@torch.no_grad()
def _check_uses(network: nn.Module, name: str, shape: tuple[int, ...], classes: int, batch: int) -> None:
    """Evaluation on two inputs of zeros and training on a batch of noise, by a network that is thrown away."""
    with _chance_kept():
        _check_logits(network.eval(), name, torch.zeros(2, *shape), classes)
        left_out = {key: value for key, value in network.named_buffers() if key not in network.state_dict()}
        before = {key: value.clone() for key, value in left_out.items()}
        _check_logits(network.train(), name, torch.rand(min(batch, MOST), *shape), classes)
    after = dict(network.named_buffers())
    for key, value in before.items():
        if not _same(value, after.get(key)):
            raise UserError(
                f"the network {name!r}: the buffer {key} changes in training and is not in its state_dict: register it "
                "with persistent=True, or early stopping, rewinding, checkpoints and tickets would miss it"
            )


def _check_logits(network: nn.Module, name: str, inputs: Tensor, classes: int) -> None:
    count, shape = len(inputs), tuple(inputs.shape[1:])
    training = " in training" if network.training else ""
    try:
        logits = network(inputs)
    except (Exception, SystemExit) as error:
        size = f"{training}, {count} at a time" if training else ""
        raise UserError(f"the network {name!r} cannot take inputs of shape {shape}{size}: {in_short(error)}") from None
    if not torch.is_tensor(logits) or logits.shape != (count, classes) or not logits.is_floating_point():
        got = f"{tuple(logits.shape)} in {logits.dtype}" if torch.is_tensor(logits) else type(logits).__name__
        raise UserError(
            f"the network {name!r} must map {count} inputs of shape {shape}{training} to ({count}, {classes}) logits, "
            f"not to {got}"
        )


def _same(first: Tensor, second: Tensor | None) -> bool:
    """Equal in every element, NaN being equal to itself."""
    if second is None or first.shape != second.shape:
        return False
    return bool(((first == second) | ((first != first) & (second != second))).all())


@contextmanager
def _chance_kept() -> Iterator[None]:
    """Python's and NumPy's global generators are afterwards as they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (a network of the user's may draw from it)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
