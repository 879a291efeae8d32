"""Whether a score left the network as it found it: what it changes would be trained on, and no record would say so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from unilth.sims.bits import same_bits


@dataclass(frozen=True)
class Found:
    """A network as it was found: every parameter and buffer with a copy of its values, what is trained, the hooks."""

    tensors: dict[str, tuple[Tensor, Tensor]]
    trained: dict[str, bool]
    hooks: dict[tuple[str, str], tuple[object, ...]]

    @staticmethod
    def of(network: nn.Module) -> Found:
        """Look at ``network``."""
        tensors = {name: (tensor, tensor.detach().clone()) for name, tensor in _tensors(network)}
        return Found(tensors, _trained(network), _hooks(network))

    def changed(self, network: nn.Module) -> str | None:
        """What is no longer so in the same network, in words that follow "changes", or None.

        A buffer may be replaced by another object with the same values, a parameter may not.
        """
        after = dict(_tensors(network))
        for name in {**self.tensors, **after}:
            tensor, value = self.tensors.get(name, (None, None))
            now = after.get(name)
            replaced = now is not tensor and any(isinstance(t, nn.Parameter) for t in (now, tensor))
            if replaced or now is None or value is None or not same_bits(now, value):
                return f"{name} of the network"
        if self.trained != _trained(network):
            return "what is trained"
        hooks = _hooks(network)
        for place in {**self.hooks, **hooks}:
            if self.hooks.get(place) != hooks.get(place):
                return f"the {'forward' if place[1] == 'forward' else 'hooks'} of {place[0] or 'the network'}"
        return None


def _tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from network.named_parameters()
    yield from network.named_buffers()


def _trained(network: nn.Module) -> dict[str, bool]:
    return {name: parameter.requires_grad for name, parameter in network.named_parameters()}


def _hooks(network: nn.Module) -> dict[tuple[str, str], tuple[object, ...]]:
    """What else decides what the network computes, by where it hangs and of which kind it is.

    These are hooks, of which torch keeps each kind in a dictionary of its own, and a ``forward`` put on a module.
    """
    found: dict[tuple[str, str], tuple[object, ...]] = {}
    for name, module in network.named_modules():
        for kind, value in vars(module).items():
            if kind.endswith("_hooks") and isinstance(value, dict):
                found[name, kind] = tuple(value.values())
            elif kind == "forward":
                found[name, kind] = (value,)
    for name, parameter in network.named_parameters():
        for kind in ("_backward_hooks", "_post_accumulate_grad_hooks"):
            found[name, kind] = tuple((getattr(parameter, kind, None) or {}).values())
    return {place: hooks for place, hooks in found.items() if hooks}
