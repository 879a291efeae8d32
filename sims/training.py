"""The one training loop: SGD with momentum under a mask, with a penalty on the weights that go.

Masks hold for weights, gradients and optimizer state, so a pruned weight is exactly 0 after every optimizer step. The
whole training set lies on the device, where batches are drawn, augmented and prepared under explicit generators, and
nothing is read back to the host inside an epoch. A step takes nothing from the host that changes: batches, rate and
penalty lie on the device too, so that a GPU can record it once and replay it (`graphs`).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unilth.errors import UserError
from unilth.sims.data import Dataset
from unilth.sims.data.dataset import Split
from unilth.sims.forward import Forward, NetworkError, Precision, inside
from unilth.sims.graphs import Recorder, Replayed
from unilth.sims.masks import Mask, prunable
from unilth.sims.penalties import GrowingPenalty
from unilth.sims.stopping import EarlyStopping, MaskWatch, SettledMask, Watch

EVALUATION_BATCH = 512  # the activations of ResNet-18 on images of 64x64 then take some GB


@dataclass(frozen=True)
class Phase:
    """One stretch of training: ``epochs`` at most, under ``mask``, with ``penalty`` on the weights in ``goes``.

    ``recover`` x w is taken from the gradient of the weights in ``mask`` that do not go: a penalty below 0.
    """

    name: str
    round: int
    epochs: int
    lr: float
    momentum: float = 0.9
    batch: int = 64
    precision: Precision = "float32"
    anneal: bool = False  # cosine to 0 over the phase, otherwise a constant rate
    decay: float = 0.0
    lasso: float = 0.0
    mask: Mask | None = None
    goes: Mask | None = None
    penalty: GrowingPenalty | None = None
    recover: float = 0.0
    stop: EarlyStopping | SettledMask | None = None

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch (0 is the first)."""
        return self.lr * 0.5 * (1 + math.cos(math.pi * epoch / self.epochs)) if self.anneal else self.lr


@dataclass
class Outcome:
    """What a phase left behind besides the trained network: one row per epoch, and where it stopped early."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int | None = None
    snapshot: dict[str, Tensor] | None = None


@torch.no_grad()
def evaluate(network: nn.Module, split: Split, forward: Forward | None = None) -> tuple[float, float]:
    """Mean cross-entropy (nats) and accuracy on a split; the network is in evaluation mode meanwhile.

    ``forward`` is how stored inputs become logits; without one they are given to the network as they are.
    """
    was_training = network.training
    network.eval()
    losses, correct = [], []
    for inputs, labels in zip(*(tensor.split(EVALUATION_BATCH) for tensor in split), strict=True):
        with inside(network, inputs):
            logits = (forward or network)(inputs)
            losses.append(F.cross_entropy(logits, labels, reduction="sum"))
            correct.append((logits.argmax(1) == labels).sum())
    network.train(was_training)
    count = len(split[1])  # read back at the end and at once: every reading waits for the device
    return sum(torch.stack(losses).tolist()) / count, sum(torch.stack(correct).tolist()) / count


def steps_per_epoch(examples: int, batch: int) -> int:
    """Whole batches in an epoch; what is left over comes round in another order. A smaller set is one batch."""
    return max(1, examples // batch)


class SGD(torch.optim.SGD):
    """torch's SGD without the import of torch's compiler, which its methods do on their first call.

    The import costs seconds in every process and pulls SymPy in. The methods are torch's own, out of their wrappers;
    torch puts the hooks of an optimizer around ``step`` itself.
    """

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


class Masking:
    """Keeps an optimizer inside a mask and adds the penalty, through the optimizer's own hooks.

    ``step`` counts the optimizer's steps. `begin` puts the penalties of the steps to come on the device; without it
    every step takes its own from the host.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, network: nn.Module, phase: Phase) -> None:
        named = {name: p for name, p in network.named_parameters() if p.requires_grad}
        self.optimizer, self.penalty, self.step = optimizer, phase.penalty, 0
        self.values: Tensor | None = None
        self.place: Tensor | None = None
        self.masked = [(named[n], _like(named[n], kept)) for n, kept in (phase.mask or {}).items() if n in named]
        self.pressed = [(named[n], _like(named[n], goes)) for n, goes in (phase.goes or {}).items() if n in named]
        stays = {n: kept & ~phase.goes[n] for n, kept in (phase.mask or {}).items()} if phase.goes else {}
        self.recover, eased = phase.recover, stays if phase.recover else {}
        self.eased = [(named[n], _like(named[n], kept)) for n, kept in eased.items() if n in named]
        self.lasso, self.sparse = phase.lasso, [p for n, p in prunable(network).items() if phase.lasso and n in named]
        self.hooks = (optimizer.register_step_pre_hook(self._before), optimizer.register_step_post_hook(self._after))

    @property
    def value(self) -> float:
        """The penalty in the last step."""
        return self.penalty.value(self.step - 1) if self.penalty and self.step else 0.0

    def release(self) -> None:
        """Let the optimizer go: they hold each other, and neither's memory would come back by itself."""
        for hook in self.hooks:
            hook.remove()

    def begin(self, steps: int, place: Tensor) -> None:
        """Make ready for so many steps; ``place`` (1,) on the device holds which of them is next, 0 the first."""
        if self.penalty is None or not self.pressed:
            return
        like = self.pressed[0][0]
        values = torch.tensor([self.penalty.value(self.step + k) for k in range(steps)], dtype=like.dtype)
        if self.values is None:
            self.values, self.place = torch.empty_like(values, device=like.device), place
        self.values.copy_(values)

    @torch.no_grad()
    def _before(self, *_: object) -> None:
        pressed = [(p.grad, p, goes) for p, goes in self.pressed if p.grad is not None]
        if self.penalty is not None and pressed:
            gradients, weights, goes = map(list, zip(*pressed, strict=True))
            if self.values is None or self.place is None:
                torch._foreach_addcmul_(gradients, weights, goes, value=self.penalty.value(self.step))
            else:  # the same bits with a value on the device
                value = self.values.index_select(0, self.place)[0]
                torch._foreach_addcmul_(gradients, torch._foreach_mul(weights, value), goes)
        eased = [(p.grad, p, kept) for p, kept in self.eased if p.grad is not None]
        if eased:
            torch._foreach_addcmul_(*map(list, zip(*eased, strict=True)), value=-self.recover)
        for parameter in self.sparse:
            if parameter.grad is not None:
                parameter.grad.add_(parameter.sign(), alpha=self.lasso)
        masked = [(p.grad, kept) for p, kept in self.masked if p.grad is not None]
        if masked:
            torch._foreach_mul_(*map(list, zip(*masked, strict=True)))
        self.step += 1

    @torch.no_grad()
    def _after(self, *_: object) -> None:
        rows = []
        for parameter, kept in self.masked:
            state = self.optimizer.state.get(parameter, {})
            rows += [(t, kept) for t in (parameter, *state.values()) if torch.is_tensor(t) and t.shape == kept.shape]
        if rows:
            torch._foreach_mul_(*map(list, zip(*rows, strict=True)))


class Training:
    """One phase on its way: the network, its optimizer, what holds it inside the mask, and the rows so far.

    Between two epochs it can be saved (`state`) and, by another process, gone on with (`load`) to the same end.
    ``order`` draws the batches and ``chance`` what augmentation does to them (it may be left out where the data have
    none); ``snapshot`` asks for the state after that many optimizer steps. With a ``recorder`` a step is recorded and
    replayed: not for networks whose forward pass is decided by Python anew in every step, and hooks then see the first
    steps only. The optimizer is new, so its state starts at 0. Rows hold losses (nats), validation accuracy, learning
    rate and the penalty's last value.
    """

    def __init__(
        self, network: nn.Module, data: Dataset, phase: Phase, order: torch.Generator, *,
        chance: torch.Generator | None = None, snapshot: int = 0, recorder: Recorder | None = None,
    ) -> None:  # fmt: skip
        self.network, self.data, self.phase, self.order, self.snapshot = network, data, phase, order, snapshot
        self.chance = chance
        self.forward = Forward(network, data, phase.precision)
        self.parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        count, device = len(data.train[1]), data.train[1].device
        self.fused = device.type == "cuda" or recorder is not None  # rate and penalty are read on the device
        self.rate = torch.tensor(phase.lr, dtype=torch.float32, device=device)
        self.optimizer = SGD(
            self.parameters, self.rate if self.fused else phase.lr, phase.momentum, weight_decay=phase.decay,
            foreach=not self.fused, fused=self.fused,
        )  # fmt: skip
        self.masking = Masking(self.optimizer, network, phase)
        self.steps = steps_per_epoch(count, phase.batch)
        self.batches = torch.zeros(self.steps, min(count, phase.batch), dtype=torch.int64, device=device)
        self.place, self.total = torch.zeros(1, dtype=torch.int64, device=device), torch.zeros((), device=device)
        generators = [chance] if chance is not None else []
        self._replayed = Replayed(self._step, recorder, generators) if recorder else None
        self.watch: Watch | MaskWatch | None = None
        if phase.stop:
            self.watch = MaskWatch(phase.stop) if isinstance(phase.stop, SettledMask) else Watch(phase.stop)
        self.stopped = False
        self.outcome = Outcome()

    def run(self, tick: Callable[[], None] | None = None) -> Outcome:
        """Train to the end, in place; ``tick`` is called after every epoch. Returns a row per epoch."""
        self.network.train()
        while len(self.outcome.rows) < self.phase.epochs and not self.stopped:
            self._epoch(len(self.outcome.rows))
            if tick:
                tick()
        self._replayed = None  # with the recording's memory on the device
        self.masking.release()
        now = {id(parameter) for parameter in self.network.parameters()}
        if not all(id(parameter) in now for parameter in self.parameters):
            raise NetworkError(
                "the network replaces a parameter in a forward pass, which the optimizer does not train: compute with "
                "another tensor instead"
            )
        if self.watch and self.outcome.rows:
            self.watch.restore(self.network)
            self.outcome.best_epoch = self.watch.best_epoch
        return self.outcome

    def _epoch(self, epoch: int) -> None:
        phase = self.phase
        self.rate.fill_(phase.rate(epoch))
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate if self.fused else phase.rate(epoch)
        order = torch.randperm(len(self.data.train[1]), generator=self.order)[: self.batches.numel()]
        self.batches.copy_(order.view_as(self.batches))
        if self.fused:
            self.masking.begin(self.steps, self.place)
        self.place.zero_()
        self.total.zero_()
        first, do = self.masking.step, self._replayed or self._step
        for number in range(first + 1, first + self.steps + 1):
            do()
            self.masking.step = number  # by itself it counts what Python does, not what is replayed
            if number == self.snapshot:
                self.outcome.snapshot = {name: value.clone() for name, value in self.network.state_dict().items()}
        validation_loss, accuracy = evaluate(self.network, self.data.validation, self.forward)
        self.outcome.rows.append(
            {
                "phase": phase.name,
                "round": phase.round,
                "lr": phase.rate(epoch),
                "penalty": self.masking.value,
                "train_loss": float(self.total) / self.steps,
                "validation_loss": validation_loss,
                "validation_accuracy": accuracy,
            }
        )
        self.stopped = bool(self.watch and self.watch.update(validation_loss, self.network))

    def _step(self) -> None:
        """One optimizer step, on tensors that stay where they are."""
        inputs, labels = self.data.train
        chosen = self.batches.index_select(0, self.place)[0]
        self.optimizer.zero_grad(set_to_none=True)
        batch = self._drawn(inputs[chosen])
        with inside(self.network, batch):
            loss = F.cross_entropy(self.forward(batch), labels[chosen])
            loss.backward()
        self.optimizer.step()
        self.total += loss.detach()
        self.place += 1

    def _drawn(self, batch: Tensor) -> Tensor:
        """The batch as augmentation leaves it."""
        if self.data.augment is None:
            return batch
        if self.chance is None:
            raise UserError(f"the data {self.data.name!r} are augmented in training: give train a generator `chance`")
        return self.data.augment(batch, self.chance)

    def state(self) -> dict[str, Any]:
        """What decides how the phase goes on, the generators apart: a tree of plain values and tensors."""
        memory = [self.optimizer.state.get(parameter, {}) for parameter in self.parameters]
        return {
            "phase": [self.phase.name, self.phase.round],
            "network": self.network.state_dict(),
            "optimizer": memory,
            "step": self.masking.step,
            "rows": self.outcome.rows,
            "snapshot": self.outcome.snapshot,
            "stopped": self.stopped,
            "watch": self._watched(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned; KeyError, TypeError, ValueError or RuntimeError where it does not fit."""
        if state["phase"] != [self.phase.name, self.phase.round] or state["watch"].keys() != self._watched().keys():
            raise ValueError(f"the state is of another phase than {self.phase.name}, round {self.phase.round}")
        if len(state["rows"]) > self.phase.epochs:
            raise ValueError(f"the state has {len(state['rows'])} epochs of {self.phase.epochs}")
        self.network.load_state_dict(state["network"])
        for parameter, memory in zip(self.parameters, state["optimizer"], strict=True):
            for name, value in memory.items():
                if torch.is_tensor(value) and value.dim() and value.shape != parameter.shape:
                    raise ValueError(f"{name} has the shape {tuple(value.shape)} for {tuple(parameter.shape)}")
                like = torch.is_tensor(value) and value.shape == parameter.shape
                self.optimizer.state[parameter][name] = torch.empty_like(parameter).copy_(value) if like else value
        self.masking.step, self.stopped = int(state["step"]), bool(state["stopped"])
        self.outcome.rows, self.outcome.snapshot = list(state["rows"]), state["snapshot"]
        if self.watch:
            vars(self.watch).update(state["watch"])

    def _watched(self) -> dict[str, Any]:
        """What the stopping rule has seen so far."""
        return {name: value for name, value in vars(self.watch).items() if name != "rule"} if self.watch else {}


def train(
    network: nn.Module,
    data: Dataset,
    phase: Phase,
    order: torch.Generator,
    *,
    chance: torch.Generator | None = None,
    tick: Callable[[], None] | None = None,
    snapshot: int = 0,
) -> Outcome:
    """Train ``network`` in place for one phase, as `Training` says, and return a row per epoch."""
    return Training(network, data, phase, order, chance=chance, snapshot=snapshot).run(tick)


def _like(parameter: Tensor, mask: Tensor) -> Tensor:
    """A mask as numbers in the parameter's layout, without which one multiplication for all layers is not possible."""
    return torch.empty_like(parameter, requires_grad=False).copy_(mask)
