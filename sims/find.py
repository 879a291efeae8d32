"""The one algorithm behind every recipe."""

from __future__ import annotations

import copy
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unilth.errors import UserError
from unilth.sims import masks, zoo
from unilth.sims.checkpoints import REFUSED, Checkpoint
from unilth.sims.data import Dataset
from unilth.sims.forward import Forward, NetworkError, Precision
from unilth.sims.graphs import Recorder
from unilth.sims.masks import Mask, shuffled
from unilth.sims.penalties import GrowingPenalty
from unilth.sims.recipe import Recipe
from unilth.sims.scores import Sight
from unilth.sims.sound import diverged, no_ticket
from unilth.sims.stopping import Epochs, SettledMask
from unilth.sims.streams import seed_layers, seeded_layers, stream
from unilth.sims.tickets import Ticket
from unilth.sims.training import Phase, Training, steps_per_epoch

EXAMPLES = 512  # training examples that a score may look at
Progress = Callable[[int, int, str], None]  # epochs done, epochs in all, what is going on


@dataclass(frozen=True)
class Budget:
    """What a search may use: epochs in all, the share of them for fine-tuning, and how an optimizer step is done."""

    epochs: int = 60
    tune: float = 0.4
    batch: int = 64
    lr: float = 0.1
    momentum: float = 0.9
    precision: Precision = "float32"


class Search:
    """One run of the algorithm: free training, then rounds of choose, press, prune and rewind, then fine-tuning.

    The epochs of the budget that are not for fine-tuning are shared out as follows. With a growing penalty, free
    training may use half of them, and whatever it leaves goes to the penalty, in equal parts to the rounds; without
    one, free training has them all, in equal parts to the rounds that have any. What nobody used fine-tunes. Sorting
    takes its share of what goes to the penalty.

    With a ``checkpoint``, a search that was interrupted goes on: the masks and phases that were finished come from the
    checkpoint's log instead of being drawn and trained again, and the phase in which it was interrupted goes on from
    its last saved epoch with the generators as they were. On the CPU it ends with the same bits. With a ``recorder``
    every phase records its step on the GPU and replays it.

    There are two sanity controls. ``shuffled`` moves what is kept to random places, as many in each layer. Where the
    survivors are rewound and nothing presses, that is the finished mask, anywhere in the layer; elsewhere a round's
    choice is pressed on, or 0 in the next, so the choice of every round is shuffled, inside the last one's.
    ``reinitialised`` fine-tunes from ``fresh``, the state of the same network built anew: every parameter and buffer,
    frozen ones too, as the network's own code draws them.
    """

    def __init__(
        self, recipe: Recipe, network: nn.Module, data: Dataset, sparsity: float, seed: int, budget: Budget,
        progress: Progress | None = None, checkpoint: Checkpoint | None = None, control: str | None = None,
        recorder: Recorder | None = None, fresh: Mapping[str, Tensor] | None = None,
    ) -> None:  # fmt: skip
        if (control == "reinitialised") != (fresh is not None):
            raise UserError(
                f"fresh values are for the control 'reinitialised', not for {control!r}: give fresh with it"
            )
        self.recipe, self.data, self.sparsity, self.seed, self.budget = recipe, data, sparsity, seed, budget
        self.progress, self.checkpoint, self.recorder = progress, checkpoint, recorder
        self.control, self.fresh = control, fresh
        self.network = copy.deepcopy(network)
        self.forward = Forward(self.network, data, self.budget.precision)
        self.initial = self._state()
        self.rewound = self.initial
        self.mask: Mask = masks.full(masks.prunable(self.network))
        self._start_streams()
        self.draws = stream(seed, "mask")
        self.used = 0
        self.rows: list[dict[str, Any]] = []
        self.phases: list[dict[str, Any]] = []
        self.masks: list[Mask] = []
        self.chosen: list[Mask] = []  # as `masks`, and the one that a penalty is pressing for
        self.saved: dict[str, Any] | None = None  # the checkpoint, until the search is where it was
        self.began, self.seconds = time.perf_counter(), 0.0

    def run(self) -> Ticket:
        """The whole algorithm; the ticket's weights are those of the last epoch."""
        self.saved = self.checkpoint.read() if self.checkpoint else None
        with seeded_layers(self.seed):
            return self._run()

    def _start_streams(self) -> None:
        """The order of the data and what augmentation draws, from the start."""
        self.order = stream(self.seed, "order")
        self.chance = _on(self.data.train[0].device, stream(self.seed, "augment"))

    def _run(self) -> Ticket:
        recipe, rounds = self.recipe, self.recipe.rounds.number
        finding, free = self.finding, self.free_epochs()
        pressing, free_phases = isinstance(recipe.penalty, GrowingPenalty), len(free)
        if not rounds:
            self._free(0, free[0])
        for number, target in enumerate(recipe.rounds.targets(self.sparsity), start=1):
            if number <= free_phases:
                self._free(number, free[number - 1])
            epochs = 0
            if pressing:
                epochs = (finding - self.used - sum(free[number:])) // (rounds - number + 1)
                epochs -= self._sort(number, epochs)
            chosen = self._choose(target)
            self._press(number, epochs, chosen)
            self.masks.append(chosen)
            if recipe.rounds.hard == "each" or number == rounds:
                self.mask = self._shuffled() if number == rounds and self._shuffles_last else chosen
                self._prune_and_rewind(free_again=number == rounds or number < free_phases)
        if self.fresh is not None:
            self.network.load_state_dict(self.fresh)
            self._prune()
        rate = self.budget.lr * (0.1 if recipe.rewind.to == "none" else 1.0)
        self._train(Phase("tune", rounds, self.budget.epochs - self.used, rate, anneal=True, mask=self.mask))
        if self.saved:
            with self._fitting():
                raise ValueError("it has more phases than the run")
        weights, mask = self._state(), {name: kept.clone() for name, kept in self.mask.items()}
        fault = no_ticket(mask, weights, self.initial)
        if fault:
            raise NetworkError(f"the network {fault}")
        initial = self.initial
        if self.fresh is not None:
            initial = {name: self.fresh[name].to(value.device, copy=True) for name, value in initial.items()}
        return Ticket(mask=mask, weights=weights, initial=initial, sparsity=self.sparsity, masks=tuple(self.masks))

    def _choose(self, target: float) -> Mask:
        """The next mask, from the checkpoint's log where it was drawn before the interruption."""
        logged = self._logged("chosen")
        weights = masks.prunable(self.network)
        if len(self.chosen) < len(logged):
            with self._fitting():
                packed = logged[len(self.chosen)].numpy().tobytes()
                shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
                found = masks.unpacked(packed, shapes)
                chosen = {name: kept.to(weights[name].device) for name, kept in found.items()}
                if any(bool((chosen[name] & ~kept).any()) for name, kept in self.mask.items()):
                    raise ValueError("a mask of it revives weights")
        else:
            sight = self._sight()
            chosen = self.recipe.mask.draw(sight, target)
            if self.control == "shuffled" and not self._shuffles_last:
                # by a stream for each round: one that is logged draws nothing
                chosen = shuffled(chosen, stream(self.seed, f"control {len(self.chosen) + 1}"), within=sight.mask)
        self.chosen.append(chosen)
        return chosen

    @property
    def _shuffles_last(self) -> bool:
        """Whether the finished mask is shuffled and no round's: where nothing depends on what a round pruned."""
        rewound = self.recipe.rewind.to in ("initial", "step")
        return self.control == "shuffled" and rewound and not isinstance(self.recipe.penalty, GrowingPenalty)

    def _shuffled(self) -> Mask:
        """The finished mask at random places, in the place of those of the rounds, which led to another one."""
        self.masks = [shuffled(self.masks[-1], stream(self.seed, "control"))]
        return self.masks[0]

    def _sight(self) -> Sight:
        """What the mask rule may see: the network and some training examples, the same at every draw."""
        inputs, labels = self.data.train
        some = torch.randperm(len(labels), generator=stream(self.seed, "examples"))[:EXAMPLES].to(labels.device)
        seen = inputs[some] if inputs.is_floating_point() else self.data.prepare(inputs[some])
        return Sight(self.network, seen, labels[some], self._inside(), self.draws)

    def _inside(self) -> Mask:
        """What the next mask must lie inside of: where the last one was only pressed for, it is told by magnitude."""
        if self.recipe.rounds.hard == "each" or not self.chosen:
            return self.mask
        weights = masks.prunable(self.network)
        inside: Mask = {}
        for name, kept in self.chosen[-1].items():
            share = Fraction(masks.pruned_of({name: kept}), max(kept.numel(), 1))
            large = {name: weights[name].detach().abs()}
            inside |= {name: kept} if share == 1 else masks.keep_largest(large, share)  # a layer may be empty already
        return inside

    @property
    def finding(self) -> int:
        """The epochs before fine-tuning."""
        return self.budget.epochs - round(self.budget.tune * self.budget.epochs)

    def free_epochs(self) -> list[int]:
        """The most epochs of each free phase."""
        rounds, most = self.recipe.rounds, self.recipe.stop.most
        parts = rounds.number if rounds.number and rounds.free == "each" else 1
        if most is None:
            epochs = self.finding // 2 if isinstance(self.recipe.penalty, GrowingPenalty) else self.finding
            return [epochs * (part + 1) // parts - epochs * part // parts for part in range(parts)]
        if most * parts > self.budget.epochs:
            raise UserError(f"{parts} times {most} epochs of free training exceed the budget of {self.budget.epochs}")
        return [most] * parts

    def _free(self, number: int, epochs: int) -> None:
        rule = self.recipe.stop
        stop = None if isinstance(rule, Epochs) else rule
        if isinstance(stop, SettledMask):
            stop = dataclasses.replace(stop, sparsity=self.sparsity)
        keep = self.recipe.rewind.step if number == 1 else 0
        mask = self.mask if number > 1 else None
        state = self._train(Phase("free", number, epochs, self.budget.lr, mask=mask, stop=stop), keep)
        if keep:
            if state is None:
                raise UserError(f"rewinding to step {keep} needs that many steps of free training: raise epochs")
            self.rewound = state

    def _sort(self, number: int, epochs: int) -> int:
        """Press on all weights that are left, before the choice; how many of ``epochs`` that took."""
        sorting, penalty = self.recipe.sorting, self.recipe.penalty
        if sorting is None or not isinstance(penalty, GrowingPenalty):
            return 0
        share = sorting.share(epochs, penalty)
        if share:
            growing = sorting.penalty.scaled(self._steps(share))
            self._train(Phase("sort", number, share, self.budget.lr, mask=self.mask, goes=self.mask, penalty=growing))
        return share

    def _steps(self, epochs: int) -> int:
        return epochs * steps_per_epoch(len(self.data.train[1]), self.budget.batch)

    def _press(self, number: int, epochs: int, chosen: Mask) -> None:
        penalty = self.recipe.penalty
        if epochs < 1 or not isinstance(penalty, GrowingPenalty):
            return
        goes = {name: self.mask[name] & ~kept for name, kept in chosen.items()}
        growing = penalty.scaled(self._steps(epochs))
        recover = self.recipe.sorting.recover if self.recipe.sorting else 0.0
        self._train(
            Phase("press", number, epochs, self.budget.lr, mask=self.mask, goes=goes, penalty=growing, recover=recover)
        )

    def _prune_and_rewind(self, free_again: bool) -> None:
        if free_again and self.recipe.rewind.to in ("initial", "step"):
            self.network.load_state_dict(self.rewound)
            self._start_streams()
            seed_layers(self.seed)
        self._prune()

    def _prune(self) -> None:
        with torch.no_grad():  # in place, so that every name of a tied weight sees it
            for name, weight in masks.prunable(self.network).items():
                weight.masked_fill_(~self.mask[name], 0.0)

    def _train(self, phase: Phase, keep: int = 0) -> dict[str, Tensor] | None:
        decay = self.recipe.tuning_decay if phase.name == "tune" else self.recipe.weight_decay
        phase = dataclasses.replace(
            phase, momentum=self.budget.momentum, batch=self.budget.batch, decay=decay, lasso=self.recipe.lasso,
            precision=self.budget.precision,
        )  # fmt: skip
        finished = self._logged("phases")
        if self.saved and len(self.phases) < len(finished):
            with self._fitting():
                entry = finished[len(self.phases)]
                if (entry["phase"], entry["round"]) != (phase.name, phase.round) or entry["epochs"] > phase.epochs:
                    raise ValueError(f"it has another phase than {phase.name}, round {phase.round}")
                if keep and self.saved["rewound"] is None:
                    raise ValueError("it has no state to rewind to")
                self.phases.append(entry)
                until = self.used + self.phases[-1]["epochs"]
                self.rows += self.saved["rows"][self.used : until]
                self.used = until
                return self.saved["rewound"] if keep else None
        training = Training(
            self.network, self.data, phase, self.order, chance=self.chance, snapshot=keep, recorder=self.recorder
        )
        if self.saved:
            with self._fitting():
                self._go_on(training, self.saved)
            self.saved = None

        def tick() -> None:
            self.used += 1
            if self.checkpoint:
                self.checkpoint.note(functools.partial(self._tree, training))
            if self.progress:
                self.progress(self.used, self.budget.epochs, f"{phase.name}, round {phase.round}")

        outcome = training.run(tick)
        last = outcome.rows[(outcome.best_epoch or 0) - 1] if outcome.rows else None  # the one that was restored
        what = diverged(self.network.state_dict(), self.initial, last)
        if what:
            if self.checkpoint:
                self.checkpoint.remove()  # it would only diverge again
            raise UserError(f"training diverged in the phase {phase.name!r} (lr {phase.lr}), {what}")
        self.rows += outcome.rows
        self.phases.append(
            {
                "phase": phase.name,
                "round": phase.round,
                "epochs": len(outcome.rows),
                "best_epoch": outcome.best_epoch,
                **({"settled": training.stopped} if isinstance(phase.stop, SettledMask) else {}),
                "weight_decay": phase.decay,
                "l1": phase.lasso,
                "recover": phase.recover,
                "penalty": dataclasses.asdict(phase.penalty) if phase.penalty else None,
                "sparsity": masks.sparsity_of(self.mask),
            }
        )
        return outcome.snapshot

    def _tree(self, training: Training) -> dict[str, Any]:
        """What a checkpoint holds: the log of what is finished, the phase on its way, and every generator."""
        device = self.data.train[0].device
        return {
            "phases": self.phases,
            "rows": self.rows,
            "chosen": [torch.from_numpy(np.frombuffer(masks.packed(mask), np.uint8).copy()) for mask in self.chosen],
            "rewound": None if self.rewound is self.initial else self.rewound,
            "training": training.state(),
            "order": self.order.get_state(),
            "draws": self.draws.get_state(),
            "chance": self.chance.get_state(),
            "layers": torch.get_rng_state(),
            "layers on the device": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
            "seconds": self.seconds + time.perf_counter() - self.began,
        }

    def _go_on(self, training: Training, saved: dict[str, Any]) -> None:
        """Put everything back to where `_tree` found it."""
        training.load(saved["training"])
        self.order.set_state(saved["order"])
        self.draws.set_state(saved["draws"])
        self.chance.set_state(saved["chance"])
        torch.set_rng_state(saved["layers"])
        if saved["layers on the device"] is not None:
            torch.cuda.set_rng_state(saved["layers on the device"], self.data.train[0].device)
        self.used += len(training.outcome.rows)
        self.seconds = float(saved["seconds"])

    def _logged(self, name: str) -> list[Any]:
        with self._fitting():
            return list(self.saved[name]) if self.saved else []

    @contextmanager
    def _fitting(self) -> Iterator[None]:
        """A checkpoint that passed every check and still does not fit was made by hand: refused in a sentence."""
        try:
            yield
        except (torch.OutOfMemoryError, torch.AcceleratorError):  # RuntimeErrors that say nothing of the checkpoint
            raise
        except REFUSED as error:
            if self.checkpoint is None:
                raise
            why = " ".join(str(error).split())[:120]
            raise UserError(f"the checkpoint {self.checkpoint.path} does not fit its run ({why}): remove it") from None

    def _state(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.network.state_dict().items()}


def _on(device: torch.device, generator: torch.Generator) -> torch.Generator:
    """A generator on ``device`` with the seed of ``generator``: a draw there waits for nobody."""
    return torch.Generator(device).manual_seed(generator.initial_seed())


def find(
    recipe: Recipe | str,
    network: nn.Module,
    data: Dataset | Any,
    sparsity: float,
    *,
    seed: int,
    budget: Budget | None = None,
    progress: Progress | None = None,
) -> Ticket:
    """Find a ticket of ``sparsity`` with a recipe (or the name of one) and fine-tune it; ``network`` is left as it is.

    The network's present values are the ticket's initial values. ``seed`` decides the order of the data and random
    masks. ``data`` is a `Dataset`, or anything with ``train`` and ``validation`` (inputs, labels) in floating-point
    numbers; nothing else of it is read.
    """
    chosen = zoo.row(recipe).recipe if isinstance(recipe, str) else recipe
    if not isinstance(data, Dataset):
        classes = 1 + max(int(labels.max()) for _, labels in (data.train, data.validation))
        data = Dataset("given", classes, data.train, data.validation, data.validation)
    masks.exact_sparsity(sparsity)
    ticket = Search(chosen, network, data, sparsity, seed, budget or Budget(), progress).run()
    return dataclasses.replace(ticket, recipe=recipe) if isinstance(recipe, str) else ticket
