"""A run trains copies of a network: what a copy still takes from its original would be neither trained nor pruned."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from unilth.errors import UserError
from unilth.sims.bits import plain, same_bits
from unilth.sims.imported import global_generator
from unilth.sims.networks.trial import chance_kept


def copy_of(network: nn.Module, name: str) -> nn.Module:
    """A copy as a run makes it; UserError where there is none or it cannot be trained."""
    for key, parameter in network.named_parameters():
        if any(getattr(parameter, kind, None) for kind in ("_backward_hooks", "_post_accumulate_grad_hooks")):
            raise UserError(
                f"the network {name!r} has a hook on the parameter {key}, which a copy loses, and runs train copies: "
                "compute it in forward, as with weight * mask, or put a hook on the layer"
            )
    try:
        copied = copy.deepcopy(network)
    except Exception as error:
        raise UserError(f"the network {name!r} cannot be copied ({type(error).__name__}): runs train copies") from None
    trained = {key: parameter.requires_grad for key, parameter in copied.named_parameters() if parameter.is_leaf}
    odd = [key for key, parameter in network.named_parameters() if trained.get(key) != parameter.requires_grad]
    if odd:
        raise UserError(
            f"the network {name!r}: {odd[0]} cannot be trained in a copy of it, and runs train copies: keep the layer "
            "plain, without torch.jit"
        )
    return copied


@torch.no_grad()
def check_apart(original: nn.Module, copied: nn.Module, name: str, shape: tuple[int, ...]) -> None:
    """UserError where ``copied`` reads or changes what ``original`` holds, as the copy of a lambda over self does.

    It answers the same inputs several times, each time from the same state_dict, while the original holds other values
    and is in the other mode. It does so in evaluation and in training, on two inputs, so that it takes little time.
    """
    inputs = torch.rand(2, *shape)
    state = copy.deepcopy(copied.state_dict())
    before = {key: value.clone() for key, value in _tensors(original).items()}
    apart = all(_apart(original, copied, state, inputs, training) for training in (False, True))
    after = _tensors(original)
    if not apart or before.keys() != after.keys() or any(not _same(before[key], after[key]) for key in before):
        raise UserError(
            f"the network {name!r}: a copy of it computes with the weights, buffers or mode of the original, as "
            "with a lambda over self or a module kept outside of it, and runs train copies: use a method instead"
        )


def _apart(original: nn.Module, copied: nn.Module, state: dict[str, Any], inputs: Tensor, training: bool) -> bool:
    """Whether it answers the same whatever the original holds.

    Where it does not, another answer, with the original as it was, tells this from a network that never answers the
    same twice; in such a network only NaN is noticed.
    """
    _set_mode(copied, training)
    _set_mode(original, training)
    first = _answer(copied, state, inputs)
    if first is None:
        return True
    for nan in (True, False):
        without = _answer(copied, state, inputs, original, nan)
        if _same(first, without):
            continue
        third = _answer(copied, state, inputs)
        if _same(first, third) or (_spoilt(without) and not _spoilt(third)):
            return False
    return True


def _set_mode(network: nn.Module, training: bool) -> None:
    network.train() if training else network.eval()  # either may be overridden


def _answer(
    network: nn.Module, state: dict[str, Any], inputs: Tensor, other: nn.Module | None = None, nan: bool = True
) -> Tensor | None:
    """Its logits from this state, with the generators as they are, which stay so, while ``other`` holds other values.

    None where it raises or gives no tensor.
    """
    with chance_kept(), global_generator(torch.get_rng_state()):
        try:
            network.load_state_dict(state)  # before the other values are there: nothing would be noticed of them
            with nullcontext() if other is None else _other_values(other, nan):
                logits = network(inputs)
        except KeyboardInterrupt:
            raise
        except BaseException:  # it may be of a kind of its own that is no Exception
            return None
    return logits.clone() if torch.is_tensor(logits) else None


def _same(first: Tensor | None, second: Tensor | None) -> bool:
    return first is not None and second is not None and same_bits(first, second)


def _spoilt(answer: Tensor | None) -> bool:
    return answer is None or bool(plain(answer).isnan().any())


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


@contextmanager
def _other_values(network: nn.Module, nan: bool) -> Iterator[None]:
    """Every parameter and buffer is NaN (where it is no float, 1), or the largest number (0), and the mode the other.

    They lie in memory of their own meanwhile, shared as before: theirs may be read-only or belong to somebody else.
    """
    training = network.training
    held = [(tensor, tensor.data) for tensor in _tensors(network).values() if tensor.numel()]
    storages: dict[int, torch.UntypedStorage] = {}
    try:
        for tensor, values in held:
            storage = values.untyped_storage()
            if storage.data_ptr() not in storages:
                storages[storage.data_ptr()] = _filled(storage.nbytes(), values.dtype, nan)
            tensor.data = torch.empty(0, dtype=values.dtype).set_(
                storages[storage.data_ptr()], values.storage_offset(), values.shape, values.stride()
            )
        _set_mode(network, not training)
        yield
    finally:
        for tensor, values in held:
            tensor.data = values
        _set_mode(network, training)


def _filled(size: int, dtype: torch.dtype, nan: bool) -> torch.UntypedStorage:
    """At least ``size`` bytes."""
    if dtype.is_floating_point:
        number = float("nan") if nan else torch.finfo(dtype).max
    else:
        number = int(nan)  # small, as it may be an index
    return torch.full((-(-size // dtype.itemsize),), number, dtype=dtype).untyped_storage()
