"""A recipe: the five choices in which published ticket methods differ. Data, not code; `find.py` runs any of them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from unilth.errors import UserError
from unilth.sims import own_score
from unilth.sims.left_alone import Found
from unilth.sims.masks import Mask, Scope, exact_sparsity, keep_largest, prunable, pruned_of, size_of
from unilth.sims.penalties import L1, L2, GrowingPenalty
from unilth.sims.scores import Score, Sight
from unilth.sims.sorting import Sorting
from unilth.sims.stopping import EarlyStopping, Epochs, SettledMask

Target = Literal["initial", "step", "rate", "none"]


@dataclass(frozen=True)
class MaskRule:
    """Which weights are kept: those with the largest score, compared within ``scope`` (see `masks.keep_largest`).

    ``score`` is a name, an address to import one's own from (see `own_score`), or a function like those of `scores`.
    ``steps`` draws the mask in that many geometric steps, the score taken again under the last step's mask (SynFlow
    takes 100). ``spare`` leaves the first convolution and the last linear layer dense and prunes the sparsity of the
    rest, as RST's published code does; the sparsity counted over all weights is then below the nominal one.
    """

    score: str | Score = "magnitude"
    scope: Scope = "global"
    steps: int = 1
    spare: bool = False

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise UserError(f"MaskRule: score must be a name or a function, not {self.score!r}")
        if self.scope not in get_args(Scope):
            raise UserError(f"scope must be 'global', 'layer', 'erk' or 'balanced', not {self.scope!r}")
        if self.steps < 1:
            raise UserError(f"MaskRule: steps must be at least 1, not {self.steps}")
        if self.steps > 1 and self.scope != "global":
            raise UserError(
                f"the score {self.score!r} draws its mask in {self.steps} steps, over all layers together: give it the "
                f"scope 'global', not {self.scope!r}, or take another score"
            )

    @functools.cached_property
    def function(self) -> Score:
        """The score itself, looked up once: a file that changes meanwhile does not change the run."""
        return own_score.named(self.score) if isinstance(self.score, str) else self.score

    def draw(self, sight: Sight, sparsity: float) -> Mask:
        """A mask inside ``sight.mask`` that prunes ``sparsity`` of all weights (but for those that are spared)."""
        spared = first_and_last(sight.network) if self.spare else ()
        mask = {name: kept for name, kept in sight.mask.items() if name not in spared}
        dense = {name: sight.mask[name] for name in spared}
        already, asked = Fraction(pruned_of(mask), max(size_of(mask), 1)), exact_sparsity(sparsity)
        before = Found.of(sight.network)
        for step in range(1, self.steps + 1):
            between = 1 - float(1 - already) * (float(1 - asked) / float(1 - already)) ** (step / self.steps)
            target = asked if step == self.steps else min(max(Fraction(between), already), asked)
            seen = {name: kept.clone() for name, kept in (mask | dense).items()}  # whatever a score does to them
            scores = self._scores(replace(sight, mask=seen))
            mask = keep_largest({name: scores[name] for name in mask}, target, scope=self.scope, within=mask)
        changed = before.changed(sight.network)
        if changed:
            raise UserError(
                f"the score {self.score!r} changes {changed}: let it work on copy.deepcopy(sight.network), the network "
                "itself is trained on"
            )
        return {name: (mask | dense)[name] for name in sight.mask}

    def _scores(self, sight: Sight) -> Mapping[str, Tensor]:
        """What the score gives, checked; gradients are afterwards on or off as before, whatever the score does."""
        with torch.set_grad_enabled(torch.is_grad_enabled()):
            scores = self.function(sight)
            left = torch.is_grad_enabled()
        if left != torch.is_grad_enabled():
            state = "on" if left else "off"
            raise UserError(f"the score {self.score!r} leaves gradients switched {state}: use `with torch.no_grad():`")
        self._check(scores, sight)
        return scores

    def _check(self, scores: Mapping[str, Tensor], sight: Sight) -> None:
        shapes = {name: tuple(weight.shape) for name, weight in sight.weights.items()}
        given = scores if isinstance(scores, Mapping) and all(map(torch.is_tensor, scores.values())) else {}
        if {name: tuple(value.shape) for name, value in given.items()} != shapes:
            raise UserError(
                f"the score {self.score!r} must give one number for each of the weights {', '.join(shapes)}"
            )
        for name, value in given.items():
            gives = f"the score {self.score!r} gives"
            if value.is_meta:
                raise UserError(f"{gives} a tensor without values for the weight {name!r}: give one with values")
            if value.layout != torch.strided:
                raise UserError(f"{gives} a sparse tensor for the weight {name!r}: give a dense one")
            if value.is_floating_point() and value.detach().float().isnan().any():
                raise UserError(f"{gives} NaN for the weight {name!r}: give numbers, which can be compared")


def first_and_last(network: nn.Module) -> tuple[str, ...]:
    """The names of the first convolution's and the last linear layer's weight, where the network has them."""
    names = {id(weight): name for name, weight in prunable(network).items()}
    layers = [module for module in network.modules() if id(getattr(module, "weight", None)) in names]
    convolutions = [names[id(layer.weight)] for layer in layers if not isinstance(layer, nn.Linear)]
    linear = [names[id(layer.weight)] for layer in layers if isinstance(layer, nn.Linear)]
    return tuple(dict.fromkeys(convolutions[:1] + linear[-1:]))


@dataclass(frozen=True)
class Rounds:
    """How often the network is pruned: not at all (0), in one shot (1), or in several rounds.

    The geometric schedule keeps the same share of the survivors in every round: after round r of n the sparsity is
    1 - (1 - s)^(r/n). ``free`` says whether free training comes before every round or before the first one only.

    ``hard`` says which rounds end in a hard prune: ``each``, or only the ``last``, as in RST-Iter's public code. There
    an earlier round's weights are pressed and not zeroed; the next round takes as many of the smallest magnitudes of
    each layer for them, which after enough pressing are the same ones, adds to them by the mask rule, and presses on
    all of them from 0 again. So its masks are nested, and a random one random, only where the pressing was strong.
    """

    number: int = 1
    schedule: Literal["geometric"] | tuple[float, ...] = "geometric"
    free: Literal["each", "first"] = "first"
    hard: Literal["each", "last"] = "each"

    def __post_init__(self) -> None:
        if self.number < 0:
            raise UserError(f"Rounds: number must not be negative, not {self.number}")
        if self.schedule != "geometric":
            steps = self.schedule
            if len(steps) != self.number or any(not 0 < share <= 1 for share in steps) or list(steps) != sorted(steps):
                raise UserError(
                    f"Rounds: a schedule of {self.number} rounds is 'geometric' or that many growing shares "
                    f"of the sparsity, the last of them 1, not {steps!r}"
                )
            if steps and steps[-1] != 1:
                raise UserError(f"Rounds: the last share of a schedule must be 1, not {steps[-1]}")
        if self.free not in ("each", "first"):
            raise UserError(f"Rounds: free must be 'each' or 'first', not {self.free!r}")
        if self.hard not in ("each", "last"):
            raise UserError(f"Rounds: hard must be 'each' or 'last', not {self.hard!r}")

    def targets(self, sparsity: float) -> tuple[float, ...]:
        """The sparsity after each round; the last is the one asked, exactly."""
        if self.number == 0:
            return ()
        if self.schedule == "geometric":
            early = [1 - (1 - sparsity) ** (r / self.number) for r in range(1, self.number)]
        else:
            early = [share * sparsity for share in self.schedule[:-1]]
        return (*early, sparsity)


@dataclass(frozen=True)
class Rewind:
    """What happens to the kept weights after a prune, before they are trained freely again or fine-tuned.

    A round that goes on from the last one's weights (``Rounds.free`` is ``first``) is not rewound, only the last one.

    ``initial``: back to their initial values (Frankle and Carbin 2019). ``step``: back to their values after optimizer
    step ``step`` of the first free training (Frankle et al. 2020). ``rate``: they stay, the learning rate starts again
    (Renda et al. 2020; also RST's own fine-tuning). ``none``: they stay and are fine-tuned at a tenth of the rate.
    Rewinding to ``initial`` or ``step`` also starts the order of the data again.
    """

    to: Target = "rate"
    step: int = 0

    def __post_init__(self) -> None:
        if self.to not in ("initial", "step", "rate", "none"):
            raise UserError(f"rewind must be 'initial', 'step' (with a step), 'rate' or 'none', not {self.to!r}")
        if (self.to == "step") != (self.step > 0):
            raise UserError(f"rewind: step is for to='step' and at least 1 there, not {self.step} for to={self.to!r}")


@dataclass(frozen=True)
class Recipe:
    """Free training until ``stop``; then in rounds choose by ``mask``, press with ``penalty``, prune, ``rewind``.

    A `GrowingPenalty` presses on the weights that go, between the choice and the prune; `L2` and `L1` press on all
    weights all the time. ``decay`` is weight decay beside a growing penalty, where a published code has it; ``sorting``
    is what moves the weights before each choice. ``tune_decay`` is the weight decay of the fine-tuning, where it is not
    that of the other phases (``None``).
    """

    stop: Epochs | EarlyStopping | SettledMask
    mask: MaskRule
    penalty: GrowingPenalty | L2 | L1 | None
    rounds: Rounds
    rewind: Rewind
    decay: L2 | None = None
    sorting: Sorting | None = None
    tune_decay: float | None = None

    def __post_init__(self) -> None:
        if self.tune_decay is not None and not (type(self.tune_decay) in (int, float) and 0 <= self.tune_decay <= 1e30):
            raise UserError(f"Recipe: tune_decay must be a number from 0 (none) to 1e30, not {self.tune_decay!r}")
        if not isinstance(self.penalty, GrowingPenalty):
            if self.rounds.hard == "last":
                raise UserError(
                    "Recipe: hard='last' needs a growing penalty: the weights that go are told by being small"
                )
            if self.sorting is not None:
                raise UserError("Recipe: sorting needs a growing penalty: it takes a part of its steps")

    @property
    def weight_decay(self) -> float:
        """The strength of plain weight decay on everything: of an `L2` penalty and of ``decay``. Before fine-tuning."""
        pressing = self.penalty.strength if isinstance(self.penalty, L2) else 0.0
        return pressing + (self.decay.strength if self.decay else 0.0)

    @property
    def tuning_decay(self) -> float:
        """The strength of weight decay in fine-tuning."""
        return self.weight_decay if self.tune_decay is None else self.tune_decay

    @property
    def lasso(self) -> float:
        """The strength of an `L1` penalty on the prunable weights."""
        return self.penalty.strength if isinstance(self.penalty, L1) else 0.0
