"""Networks that a user imports: ``package.module:callable`` or ``path/to/file.py:callable``, any nn.Module.

The callable is code of the user's and is run. Its own initialisation stays; it draws from torch's global generator,
which is set from the run's seed meanwhile and put back afterwards.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from unilth.errors import UserError
from unilth.sims import imported
from unilth.sims.bits import same_bits
from unilth.sims.imported import global_generator, in_short
from unilth.sims.networks.copies import check_apart, copy_of
from unilth.sims.networks.parts import check_parts
from unilth.sims.networks.trial import try_out

ABOUT = "a network of your own is given as package.module:callable or path/to/file.py:callable"
GIVE = "give a class or function that builds one"
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
    from anything but torch's generator would not be the same again; a copy of the second one is tried as it will be
    used, in training on ``batch`` inputs, and both are thrown away. UserError for whatever cannot be trained here.
    """
    build = locate(name)
    state = torch.Generator().manual_seed(int(torch.randint(2**62, (1,), generator=generator))).get_state()
    with global_generator(state):
        network = _call(build, name, shape, classes)
    check_parts(network, name)
    with global_generator(state):
        again = _call(build, name, shape, classes)
    first, second = network.state_dict(), again.state_dict()
    same = first.keys() == second.keys() and all(same_bits(first[key], second[key]) for key in first)
    if not same or again is network:
        raise UserError(
            f"the network {name!r} is not built anew and the same at every call: draw its weights from torch's global "
            "generator only, and return a new network"
        )
    copied = copy_of(again, name)  # before it has computed anything, as in a run
    with global_generator(state):
        try_out(copied, name, shape, classes, batch)
        check_apart(again, copied, name, shape)
    return network


def _call(build: Callable[..., Any], name: str, shape: tuple[int, ...], classes: int) -> nn.Module:
    places, named = _arguments(build, name, shape, classes)
    try:
        network = build(*places, **named)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # it may be of a kind of its own that is no Exception
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
