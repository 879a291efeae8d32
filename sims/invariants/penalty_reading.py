"""A finder's penalty, told apart from the loss by repeating its backward pass.

The gradient that came back through the logits is known from outside. Sending it through the same network once more
gives the gradient of the loss alone, g; what an optimizer step used is c (g + lambda w) for a weight w, with the
penalty (and weight decay, where that is in the gradient) in lambda, and c = 1 unless the gradient was clipped or the
loss was scaled. Where c is not 1 the penalty may also have been added afterwards, c g + lambda w.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from unilth.sims.invariants import problems
from unilth.sims.invariants.finder_run import Run
from unilth.sims.invariants.globals import one_thread
from unilth.sims.invariants.invariant import Case, NotJudged
from unilth.sims.invariants.observe import Event

VISIBLE = 1e-4
"""A strength below this is not told from rounding."""

UNEXPLAINED = 1e-6
"""The share of a gradient's squared norm that loss and penalty may leave unexplained, for its step to be read."""

PROVEN = 1e-10
"""The share below which biases and normalisation prove that the loss's gradient is known, so that a rest is a force."""

FEW = 8
"""Among fewer weights two multiples are seen too easily."""

SCALED = 256.0
"""A loss is scaled by a power of two from here on (`GradScaler` begins with 2**16); a gradient is not clipped to less.
"""


class Strength(NamedTuple):
    """What one step's gradient says: lambda on the weights that go, on those that stay, and on everything else.

    ``kept``: by how much more some of the weights that stay are pressed than the others of their layer. ``odd``: how
    the force on the weights that go differs from lambda w with one lambda, where it is certain that it does. ``scale``:
    the c of c (g + lambda w). ``most``: the largest lambda on weights that stay, where their layers differ in it.
    """

    goes: float
    stays: float
    rest: float | None = None
    kept: float = 0.0
    odd: str = ""
    scale: float = 1.0
    most: float = 0.0

    def times(self, factor: float) -> Strength:
        """The strength where the penalty was scaled by another factor than the loss."""
        rest = None if self.rest is None else factor * self.rest
        goes, stays, kept, most = (factor * one for one in (self.goes, self.stays, self.kept, self.most))
        return Strength(goes, stays, rest, kept, self.odd, self.scale, most)


Columns = dict[str, tuple[Tensor, Tensor, Tensor]]
"""By tensor: the gradient used, the loss's, and the values; flat, in double precision."""


def loss_gradient(seen: Run, forward: Event, fresh: nn.Module) -> dict[str, Tensor]:
    """The gradient of the loss by the parameters, from a forward pass and what came back through its logits."""
    fresh.load_state_dict(forward.state)
    fresh.zero_grad()
    fresh.train(forward.training)
    fresh(forward.rows).backward(forward.pull)
    return {name: value.grad for name, value in fresh.named_parameters() if value.grad is not None}


def strengths(seen: Run, case: Case, first: int = 0, last: int | None = None) -> list[Strength | None]:
    """For each optimizer step before the final mask, over the events from ``first`` to ``last``, its strength.

    None for a step that cannot be read: of several forward passes, or with a gradient of another form. Raises NotJudged
    if no step can be.
    """
    key = (first, last)
    if key not in seen.memory:
        with one_thread():
            seen.memory[key] = list(_strengths(seen, problems.network(case), seen.events[first:last]))
    found: list[Strength | None] = seen.memory[key]
    if all(step is None for step in found):
        raise NotJudged("no optimizer step before the mask had one forward pass and a gradient of loss and L2 alone")
    return found


def readings(found: list[Strength | None]) -> list[list[Strength | None]]:
    """What the steps of one run may mean, likeliest first; whoever accuses has to hold it against each.

    The penalty is in the loss and was clipped and scaled with it, or it was added after that. A scaled loss may be
    unscaled first, with its penalty, and be clipped then: its scale is a power of two, and clipping only shrinks.
    """
    scales = [step.scale for step in found if step is not None]
    if all(scale == 1 for scale in scales):
        return [found]
    added = [step and step.times(step.scale) for step in found]
    if max(scales) > 1 / SCALED:
        return [found, added]
    unscaled, power = list[list[Strength | None]](), SCALED
    while power * max(scales) <= 1 + 1e-6:
        unscaled.append([step and step.times(1 / power) for step in found])
        power *= 2
    constant = max(scales) - min(scales) <= 1e-6 * max(scales) and math.frexp(max(scales))[0] - 0.5 < 1e-6
    return [added, *reversed(unscaled), *([] if constant else [found])]  # no clipping shrinks by one power of two


def scale_changes(found: list[Strength | None]) -> bool:
    """Whether some steps are of a loss that is scaled, and others of one that is scaled less or not at all."""
    scales = [step.scale for step in found if step is not None]
    return bool(scales) and min(scales) <= 1 / SCALED and max(scales) > 1.9 * min(scales)


def moved_otherwise(seen: Run) -> bool:
    """Whether an optimizer may have moved weights that go by more than the gradients that were seen.

    torch's own use those alone. Any other may press in its step, where no gradient shows it. It is known not to if the
    weights that stay obey a rule of the kind of SGD, and those that go obey the same one.
    """
    last: dict[tuple[int, int], Event] = {}
    for event in seen.events:
        if event.kind != "step":
            continue
        earlier = last.get((event.model, event.by))
        last[event.model, event.by] = event
        if event.plain or event.before is None or event.within(earlier) or seen.pruned_zero(event.before):
            continue
        if earlier is not None and earlier.before is None:  # the network's first pass was in the closure of that step
            continue
        if any(
            not _obeys(kept, goes, event, earlier, name)
            for (name, kept), goes in zip(seen.mask.items(), seen.goes().values(), strict=True)
            if name in event.grads
        ):
            return True
    return False


def _obeys(kept: Tensor, gone: Tensor, event: Event, earlier: Event | None, name: str) -> bool:
    """Whether the weights of a tensor that go moved by the rule that is read from those that stay.

    The rule: a movement is a sum of multiples of the gradient, the weight, and the last gradient and movement. That is
    SGD with any learning rate, decay and momentum, Nesterov's too. An adaptive optimizer has no such rule, so nothing
    is known of what it does to the weights that go.
    """
    gradient, weight, moved = _movement(event, name)
    if not gone.any() or not bool(moved.any()):
        return True
    columns = [gradient, weight]
    if earlier is not None and name in earlier.grads:
        columns += _movement(earlier, name)[::2]
    columns = [column / column.norm() for column in columns if bool(column.any())]
    if int(kept.sum()) < FEW * len(columns) or not bool(gradient.any()):
        return False
    stays, goes = (torch.stack([column[part] for column in columns], dim=1) for part in (kept, gone))
    rule = torch.linalg.lstsq(stays, moved[kept][:, None]).solution[:, 0]
    rate = float(rule[0] / gradient.norm())
    if rate >= 0 or not _explained(moved[kept], stays @ rule):
        return False
    left = weight[gone]
    pressed = float((moved[gone] - goes @ rule) @ left / rate)
    return abs(pressed) <= VISIBLE * float(left @ left)


def _movement(step: Event, name: str) -> tuple[Tensor, Tensor, Tensor]:
    before = step.state[name].double() if step.before is None else step.before[name].double()
    return step.grads[name].double(), before, step.state[name].double() - before


def _strengths(seen: Run, fresh: nn.Module, events: list[Event]) -> Iterator[Strength | None]:
    learned: list[Event] = []  # since the last step of an optimizer
    looks = {id(seen.events[index]) for index in seen.looks()}
    for event in events:
        if event.kind == "forward" and event.learns and id(event) not in looks:
            learned.append(event)
        elif event.kind == "step":
            if learned and not seen.pruned_zero(learned[0].state):
                yield _strength(seen, fresh, learned[0], event) if len(learned) == 1 and _repeats(*learned) else None
            learned = []


def _repeats(event: Event) -> bool:
    """Whether a pass took rows and answered with logits of each, as the network does (and not with its loss)."""
    return event.rows is not None and event.logits is not None and event.logits.shape[:1] == event.rows.shape[:1]


def _strength(seen: Run, fresh: nn.Module, before: Event, after: Event) -> Strength | None:
    pure = loss_gradient(seen, before, fresh)
    known = {
        name: (after.grads[name].double(), pure[name].double(), before.state[name].double())
        for name in pure
        if name in after.grads
    }
    goes, stays = (
        {name: tuple(part[kept] for part in known[name]) for name, kept in masks.items() if name in known}
        for masks in (seen.goes(), seen.mask)
    )
    rest = {name: tuple(part.reshape(-1) for part in known[name]) for name in known if name not in seen.mask}
    if not goes:
        return None
    goes_fit, stays_fit = (_scaled(*_join(part)) if part else None for part in (goes, stays))
    on_rest = _fit(*_join(rest)) if rest else None
    if rest and not _telling(*_join(rest)):
        on_rest = None
    if goes_fit is not None and stays_fit is not None:
        (on_goes, scale), (on_stays, around) = goes_fit, stays_fit
        if not scale and around:  # the loss's gradient is stopped, but what presses may be clipped
            on_goes, scale = on_goes / around, around
        return Strength(on_goes, on_stays, on_rest, scale=scale or 1.0)
    unread = [part for part, fit in ((goes, goes_fit), (stays, stays_fit)) if fit is None]
    if not rest or not _plain(*_join(rest), share=PROVEN) or any(_cut_off(*_join(part)) for part in unread):
        return None
    return _by_layer(goes, stays, on_rest)  # type: ignore[arg-type]


def _join(columns: Columns) -> tuple[Tensor, Tensor, Tensor]:
    used, loss, value = (torch.cat([part[i] for part in columns.values()]) for i in range(3))
    return used, loss, value


def _fit(used: Tensor, loss: Tensor, weight: Tensor) -> float | None:
    """lambda of used = c (loss + lambda weight), c > 0, or of lambda weight; None if that is not what the gradient is.

    0 without weights.
    """
    found = _scaled(used, loss, weight)
    return None if found is None else found[0]


def _scaled(used: Tensor, loss: Tensor, weight: Tensor) -> tuple[float, float] | None:
    """That lambda, and c; c is 0 where the loss's gradient is stopped."""
    if not bool(weight.any()):
        return 0.0, 0.0
    for known, scale in ((loss, 1.0), (torch.zeros_like(loss), 0.0)):  # neither clipped nor scaled; or stopped
        pressed = float((used - known) @ weight / (weight @ weight))
        if _explained(used, known + pressed * weight):
            return pressed, scale
    scale, pressed = torch.linalg.lstsq(torch.stack([loss, weight], dim=1), used[:, None]).solution[:, 0].tolist()
    return (pressed / scale, scale) if scale > 0 and _explained(used, scale * loss + pressed * weight) else None


def _explained(used: Tensor, model: Tensor, share: float = UNEXPLAINED) -> bool:
    return float((used - model).square().sum()) <= share * float(used.square().sum())


def _plain(used: Tensor, loss: Tensor, value: Tensor, *, share: float) -> bool:
    """Whether the gradient is that of the loss and of a decay, and was not clipped."""
    size = float(value @ value)
    pressed = float((used - loss) @ value) / size if size else 0.0
    return bool(loss.any()) and _explained(used, loss + pressed * value, share)


def _telling(used: Tensor, loss: Tensor, value: Tensor) -> bool:
    """Whether the values are large enough for a visible strength to stand out from the rounding of the gradient."""
    return float(value.norm()) * VISIBLE > 1e-5 * float(used.norm())


def _cut_off(used: Tensor, loss: Tensor, weight: Tensor) -> bool:
    """Whether what the loss and a decay leave unexplained may be an element-wise clipping: all of it at the bound."""
    bound = float(used.abs().max())
    inside = used.abs() < bound * (1 - 1e-6)
    if not bound:
        return False
    return not bool(inside.any()) or _fit(used[inside], loss[inside], weight[inside]) is not None


def _by_layer(goes: Columns, stays: Columns, rest: float | None) -> Strength | None:
    """The strength where it is not one for all weights that go, or not one for all that stay; None if neither is so."""
    kept = {name: _levels(*columns) for name, columns in stays.items()}
    if None in kept.values():
        return None
    low = {name: levels[0] for name, levels in kept.items() if levels is not None}
    more = max(levels[1] - levels[0] for levels in kept.values() if levels is not None)
    there = {name: columns for name, columns in goes.items() if bool(columns[2].any())}
    gone = {name: _levels(*columns) for name, columns in there.items()}
    if None in gone.values():  # some stop the loss's gradient where they press
        gone = {name: _levels(used, 0 * loss, weight) for name, (used, loss, weight) in there.items()}
    least, most = min(low.values()), max(levels[1] for levels in kept.values() if levels is not None)
    for name, levels in gone.items():
        if levels is None:
            text = f"a force on the weights that go in {name!r} that is no multiple of them"
            return Strength(least, least, rest, more, text, most=most)
    extra = {name: levels[1] - low[name] for name, levels in gone.items() if levels is not None}
    spared = {name: levels[2] for name, levels in gone.items() if levels is not None and levels[2]}
    odd = ""
    for name, n in spared.items():
        odd = odd or f"a penalty on all but {n} of the {len(there[name][2])} weights that go in {name!r}"
    strongest = max(extra.values())
    if strongest - min(extra.values()) > VISIBLE + 2e-3 * abs(strongest):
        high, weak = max(extra, key=extra.__getitem__), min(extra, key=extra.__getitem__)
        odd = odd or f"a penalty of {strongest:.4g} in {high!r} and of {round(extra[weak], 6):.4g} in {weak!r}"
    return Strength(least + strongest, least, rest, more, odd, most=most)


def _levels(used: Tensor, loss: Tensor, weight: Tensor) -> tuple[float, float, int] | None:
    """The one or two multiples of the weights that the force on them consists of: (low, high, how many feel the low).

    (d, d, 0) if it is one; None if it is neither one nor two.
    """
    force = used - loss
    if not bool(weight.any()):
        return 0.0, 0.0, 0
    one = float(force @ weight / (weight @ weight))
    if _explained(used, loss + one * weight):
        return one, one, 0
    if len(weight) < FEW:
        return None
    large = weight.abs() > 0.1 * weight.abs().max()
    ratio = force[large] / weight[large]
    middle = float(ratio.min() + ratio.max()) / 2
    upper = force / weight.where(weight != 0, 1.0) > middle
    low, high = (float(force[part] @ weight[part] / (weight[part] @ weight[part])) for part in (~upper, upper))
    if not high - low > VISIBLE or not _explained(used, loss + torch.where(upper, high, low) * weight):
        return None
    return low, high, int((~upper).sum())
