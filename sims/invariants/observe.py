"""A finder, watched from outside: every forward pass and every optimizer step, through torch's global hooks.

The variant needs nothing of ours. A module is recognised by holding, at the paths of the problem's network, tensors of
the same shapes; so deep copies, wrappers and `torch.nn.utils.prune` are seen as well. What cannot be seen (another
process, `network.forward` without hooks) is not judged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.nn.utils.parametrize import is_parametrized
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

State = dict[str, Tensor]


def _transformed() -> bool:
    """Whether torch.func transforms what runs now (vmap, grad): its tensors stand for others and cannot be kept."""
    level = getattr(torch._C._functorch, "maybe_current_level", None)
    return level is not None and level() is not None


def _is_used(key: str, value: Tensor, new: bool, weights: list[Tensor]) -> bool:
    """Whether what an optimizer holds comes from training.

    A new one, or one that was set back, may begin with a constant, as Adagrad does, with a multiple of the identity, a
    mask, or a copy of a weight. A count is set back when it is 0: Adam's step, or what counts in a known optimizer.
    """
    value = torch.view_as_real(value) if value.is_complex() else value
    flat = (value.to_dense() if value.layout is not torch.strided else value).reshape(-1).double()
    if not len(flat) or key == "step":
        return bool(flat.any())
    top = flat[flat.abs().argmax()]
    if bool(((flat == 0) | (flat == top)).all()):
        return not new and float(top) > 1 and float(top).is_integer() and bool((flat == top).all())
    known = [weight.reshape(-1) for weight in weights if weight.numel() == len(flat) and bool(weight.any())]
    return not any(bool(((flat == weight) | (weight == 0)).all()) for weight in known)  # or of what was masked since


def _rows(given: object) -> Tensor | None:
    """What a forward pass was given, if that may be rows."""
    return given.detach().clone() if isinstance(given, Tensor) and given.dim() else None


@dataclass
class Event:
    """Something that happened: "forward" (used these values) or "step" (left these values behind).

    Buffers are those that a forward pass was entered with. Parameters are those that their layers used, as a finder may
    change them in hooks of its own, which torch runs after the observer's.
    ``model`` numbers the module, as a finder may have several (a teacher, candidates). ``rows`` are the inputs of a
    forward pass, ``logits`` its answers, ``learns`` whether a gradient came back through it, ``pull`` the last one,
    ``taught`` the sum of all in absolute value;
    ``grads`` are the gradients that an optimizer step used, ``before`` the values that it found, ``by`` numbers the
    optimizer, ``carried`` names what its state held before the step that was not 0, ``plain`` says that the optimizer
    is torch's own, with no hooks and no closure: such a one moves the weights by these gradients alone. ``derived``: a
    forward pass computed its weights from other parameters (torch.nn.utils.parametrize).
    """

    kind: str
    state: State
    training: bool = False
    rows: Tensor | None = None
    logits: Tensor | None = None
    learns: bool = False
    pull: Tensor | None = None
    grads: State = field(default_factory=dict)
    by: int = -1
    carried: tuple[str, ...] = ()
    model: int = 0
    before: State | None = None
    derived: bool = False
    taught: Tensor | None = None
    plain: bool = False

    def within(self, other: Event | None) -> bool:
        """Whether another step is one that this one took on its way, as an optimizer that extends another's does."""
        return other is not None and other.by == self.by and self.before is not None and self.before is other.before


def _plain(optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    given = [*args[1:], *kwargs.values()]  # the optimizer itself comes first
    hooks = [*optimizer._optimizer_step_pre_hooks, *optimizer._optimizer_step_post_hooks]
    return type(optimizer).__module__.startswith("torch.optim.") and not hooks and all(one is None for one in given)


class Observer:
    """Collects the events of one run of a finder on (copies of) one network."""

    def __init__(self, made: nn.Module) -> None:
        self.kind = type(made)
        self.shapes = {name: value.shape for name, value in made.state_dict().items()}
        self.buffers = {name for name, _ in made.named_buffers()}
        self.events: list[Event] = []
        self.models: list[nn.Module] = []  # held, so that an id is never given to another module
        self.optimizers: list[torch.optim.Optimizer] = []
        self.blind = False  # something could not be kept: then nothing that was seen counts
        self._open: list[tuple[Event, nn.Module, State]] = []  # with what the model's layers used so far
        self._last: State | None = None
        self._carried: tuple[str, ...] = ()
        self._before: dict[int, State] = {}

    def values(self, model: nn.Module) -> State | None:
        """The model's tensors at the network's paths, or None if it is another kind of module."""
        found: State = {}
        for name in self.shapes:
            path, _, attribute = name.rpartition(".")
            try:
                value = self._value(model.get_submodule(path), name, attribute)
            except AttributeError:
                return None
            if value is None:
                return None
            found[name] = value
        return found

    def _value(self, module: nn.Module, name: str, attribute: str) -> Tensor | None:
        """The tensor with this name, which a module holds in an attribute; None if it has another form."""
        value = getattr(module, attribute)
        if hasattr(module, f"{attribute}_orig") and hasattr(module, f"{attribute}_mask"):
            # torch.nn.utils.prune computes the weight when its layer is entered; until then it is an old one.
            value = getattr(module, f"{attribute}_orig") * getattr(module, f"{attribute}_mask")
        return value if isinstance(value, Tensor) and value.shape == self.shapes[name] else None

    def snapshot(self, model: nn.Module) -> State:
        """A copy of the model's tensors, shared with the last one if nothing changed."""
        values = self.values(model) or {}
        last = self._last
        if last is None or any(not torch.equal(value, last[name]) for name, value in values.items()):
            self._last = last = {name: value.detach().clone() for name, value in values.items()}
        return last

    def _enter(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if _transformed():
            return
        if type(module) is self.kind or (len(args) == 1 and len(module._modules) > 1 and self.values(module)):
            if self.values(module) is None:
                return
            if all(module is not model for model in self.models):
                self.models.append(module)
            number = next(i for i, model in enumerate(self.models) if model is module)
            rows = _rows(args[0]) if args else None
            derived = any(map(is_parametrized, module.modules()))
            event = Event("forward", self.snapshot(module), module.training, rows, model=number, derived=derived)
            self._open.append((event, module, {}))

    def _leave(self, module: nn.Module, args: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        if not self._open or _transformed():
            return
        if all(module is not model for model in self.models):
            self._used(module)
            return
        event, model, used = self._open.pop()
        if not args and len(named) == 1:  # a hook on entering is not told what was given by keyword
            event.rows = _rows(*named.values())
        used = {**(self.values(model) or {}), **used}  # what is in no layer of its own is looked at now
        changed = {
            name: value.detach().clone()
            for name, value in used.items()
            if name not in self.buffers and not torch.equal(value, event.state[name])
        }
        if changed:
            event.state = {**event.state, **changed}
        self.events.append(event)
        if isinstance(output, Tensor):
            event.logits = output.detach().clone()
            if output.requires_grad:

                def learns(gradient: Tensor) -> None:
                    event.learns = True  # more than once where a loop goes backward for a log or for parts of its loss
                    event.pull = gradient.detach().clone()
                    event.taught = event.pull.abs() if event.taught is None else event.taught + event.pull.abs()

                output.register_hook(learns)

    def _used(self, layer: nn.Module) -> None:
        """Keep what a layer of the model that is at work used, if that is not what it had on entering the model."""
        event, model, used = self._open[-1]
        for name in self.shapes:
            path, _, attribute = name.rpartition(".")
            if name not in used and model.get_submodule(path) is layer:
                value = self._value(layer, name, attribute)
                if value is not None:
                    same = torch.equal(value, event.state[name])
                    used[name] = event.state[name] if same else value.detach().clone()

    def _steps(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        held = [  # some hold a count of their steps beside what they hold for each parameter
            (key if isinstance(key, str) else "state", value)
            for name, state in optimizer.state.items()
            for key, value in (state.items() if isinstance(state, dict) else [(name, state)])
        ]
        new = all(optimizer is not known for known in self.optimizers)
        values = [parameter.detach() for parameter in optimizer.state if isinstance(parameter, Tensor)]
        self._carried = tuple(
            sorted({key for key, value in held if isinstance(value, Tensor) and _is_used(key, value, new, values)})
        )
        moved = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        self._before = {
            number: self.snapshot(model)
            for number, model in enumerate(self.models)
            if any(id(parameter) in moved for parameter in model.parameters())
        }

    def _stepped(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if all(optimizer is not known for known in self.optimizers):
            self.optimizers.append(optimizer)
        by = next(i for i, known in enumerate(self.optimizers) if known is optimizer)
        moved = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        for number, model in enumerate(self.models):
            named = [(name, parameter) for name, parameter in model.named_parameters() if id(parameter) in moved]
            if named:
                grads = {name: p.grad.detach().clone() for name, p in named if p.grad is not None}
                self.events.append(
                    Event(
                        "step", self.snapshot(model), model.training,
                        grads=grads, by=by, carried=self._carried, model=number, before=self._before.get(number),
                        plain=_plain(optimizer, args, kwargs),
                    )
                )  # fmt: skip

    def optimizer_state(self) -> list[tuple[str, str, Tensor]]:
        """What the optimizer that stepped last holds for the network: (weight's name, key, tensor of its shape)."""
        steps = [event.by for event in self.events if event.kind == "step"]
        held = self.optimizers[steps[-1]].state if steps else {}
        return [
            (name, key, value.detach().clone())
            for model in self.models
            for name, parameter in model.named_parameters()
            for key, value in (held[parameter].items() if isinstance(held.get(parameter), dict) else ())
            if isinstance(value, Tensor) and value.shape == self.shapes.get(name)
        ]

    def _quietly(self, hook: Callable[..., None]) -> Callable[..., None]:
        """The hook, without its exceptions: whoever is watched must not be stopped by it."""

        def quiet(*args: Any) -> None:
            if self.blind:
                return
            try:
                hook(*args)
            except Exception:  # a kind of tensor that cannot be compared or copied
                self.blind = True
                self.events.clear()

        return quiet

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hooks on for the block, and off again whatever happens."""
        handles = [
            register_module_forward_pre_hook(self._quietly(self._enter)),
            register_module_forward_hook(self._quietly(self._leave), with_kwargs=True),
            register_optimizer_step_pre_hook(self._quietly(self._steps)),
            register_optimizer_step_post_hook(self._quietly(self._stepped)),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


SAME_ROW = 0.9999
"""Correlation from which two rows are one: different digits of the problems reach 0.976, bfloat16 costs 1e-5."""


def places(rows: Tensor, known: Tensor) -> list[int | None]:
    """For each row its place among the known ones, None where it is none of them.

    Rows are compared up to their mean and scale, so that a loop that standardises its inputs is seen as well.
    """
    flat, table = (part.detach().reshape(len(part), math.prod(part.shape[1:])).double() for part in (rows, known))
    if not len(flat) or flat.shape[1] != table.shape[1]:
        return [None] * len(flat)
    flat, table = (part - part.mean(1, keepdim=True) for part in (flat, table))
    alike = F.normalize(flat, dim=1) @ F.normalize(table, dim=1).T
    best, place = alike.max(1)
    return [int(at) if like >= SAME_ROW else None for like, at in zip(best.tolist(), place, strict=True)]
