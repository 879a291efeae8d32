"""A run trains copies of a network: what a copy still takes from its original would be neither trained nor pruned."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from unilth.errors import UserError
from unilth.sims.bits import plain, same_bits
from unilth.sims.imported import global_generator
from unilth.sims.networks.trial import chance_kept


def copy_of(network: nn.Module, name: str) -> nn.Module:
    """A copy as a run makes it; UserError where there is none or it cannot be trained."""
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
    """UserError where ``copied`` computes with what ``original`` holds, as the copy of a lambda over self does.

    It answers the same inputs twice, the second time while the original's values are NaN and its mode is the other
    one. Where the answers differ, a third one, with the original as it was, tells this from a network that never
    answers the same twice; in such a network only NaN is noticed. It does so in evaluation and in training, on two
    inputs, so that it takes little time.
    """
    inputs = torch.rand(2, *shape)
    for training in (False, True):
        _set_mode(copied, training)
        _set_mode(original, training)
        first = _answer(copied, inputs)
        with _without_values(original):
            _set_mode(original, not training)
            without = _answer(copied, inputs)
            _set_mode(original, training)
        if first is None or _same(first, without):
            continue
        third = _answer(copied, inputs)
        if _same(first, third) or (_spoilt(without) and not _spoilt(third)):
            raise UserError(
                f"the network {name!r}: a copy of it computes with the weights, buffers or mode of the original, as "
                "with a lambda over self or a module kept outside of it, and runs train copies: use a method instead"
            )


def _set_mode(network: nn.Module, training: bool) -> None:
    network.train() if training else network.eval()  # either may be overridden


def _answer(network: nn.Module, inputs: Tensor) -> Tensor | None:
    """Its logits, with the generators as they are, which stay so; None where it raises or gives no tensor."""
    with chance_kept(), global_generator(torch.get_rng_state()):
        try:
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


@contextmanager
def _without_values(network: nn.Module) -> Iterator[None]:
    """Every floating-point parameter and buffer is NaN meanwhile, and then as it was.

    It is the memory that is filled, which can also be done where several values share it.
    """
    tensors = [tensor for tensor in [*network.parameters(), *network.buffers()] if tensor.is_floating_point()]
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage() for tensor in tensors if tensor.numel()}
    values = {place: storage.clone() for place, storage in storages.items()}
    try:
        for storage in storages.values():
            storage.fill_(0xFF)  # NaN in every floating-point type but the "fnuz" ones, where it is a large number
        yield
    finally:
        for place, storage in storages.items():
            storage.copy_(values[place])
