"""Correct finders whose penalty is hard to read, each as somebody would write it, and broken ones like them."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unilth.sims.invariants import check
from unilth.sims.invariants.reference import PressedTicket
from unilth.sims.invariants.twins_finder import PRESSED


class StepsByItself(torch.optim.SGD):
    """SGD with momentum that adds the penalty to what it steps by, out of place: no gradient ever holds it."""

    def __init__(self, parameters, lr, momentum, **more):
        super().__init__(parameters, lr, momentum, **more)
        self.where, self.strength = {}, 0.0

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    force = weight.grad + group["weight_decay"] * weight
                    if weight in self.where:
                        force = force + self.strength * weight * self.where[weight]
                    held = self.state[weight]
                    held["speed"] = group["momentum"] * held.get("speed", 0.0) + force
                    along = force + group["momentum"] * held["speed"] if group["nesterov"] else held["speed"]
                    weight.sub_(group["lr"] * along)


@PRESSED
class PressesInTheStep(PressedTicket):
    """The optimizer is told where and how strongly to press."""

    kind, ahead = StepsByItself, False

    def optimizer(self):
        return self.kind(self.network.parameters(), self.lr, self.momentum, **self.more())

    def more(self):
        return {"weight_decay": self.decay, "nesterov": self.ahead}

    def before_step(self, optimizer):
        if self.press_step >= 0:
            optimizer.where = {weight: self.pressed(name) for name, weight in self.prunable().items()}
            optimizer.strength = self.schedule(self.press_step)
            self.press_step += 1


@PRESSED
class PressesInTheStepAhead(PressesInTheStep):
    ahead = True


class ShrinksAfterwards(torch.optim.SGD):
    """torch's own step, and the penalty's shrinkage after it, decoupled from the momentum."""

    def __init__(self, *given, **more):
        super().__init__(*given, **more)
        self.where, self.strength = {}, 0.0

    def step(self, closure=None):
        super().step(closure)
        with torch.no_grad():
            for weight, where in self.where.items():
                weight.mul_(1 - self.defaults["lr"] * self.strength * where)


@PRESSED
class PressesAfterTheInnerStep(PressesInTheStep):
    kind = ShrinksAfterwards


@PRESSED
class PressesInAHookOfTheStep(PressesInTheStep):
    """torch's own optimizer, with a hook that shrinks the weights that go after each step."""

    kind = torch.optim.SGD

    def optimizer(self):
        made = super().optimizer()
        made.where, made.strength = {}, 0.0
        made.register_step_post_hook(lambda optimizer, *_: self.shrink(optimizer))
        return made

    @torch.no_grad()
    def shrink(self, optimizer):
        for weight, where in optimizer.where.items():
            weight.mul_(1 - self.lr * optimizer.strength * where)


@PRESSED
class PressesInTheClosure(PressedTicket):
    """torch's own optimizer is given a closure that shrinks the weights that go after the backward pass."""

    def train(self, epochs):
        optimizer = self.optimizer()
        inputs, labels = self.rows()
        for _ in range(epochs):
            for chosen in self.order(len(labels)).split(self.batch):

                def closure(chosen=chosen):
                    optimizer.zero_grad()
                    F.cross_entropy(self.network(inputs[chosen]), labels[chosen]).backward()
                    self.before_step(optimizer)

                optimizer.step(closure)
                self.apply()

    @torch.no_grad()
    def before_step(self, optimizer):
        if self.press_step >= 0:
            for name, weight in self.prunable().items():
                weight.mul_(1 - self.lr * self.schedule(self.press_step) * self.pressed(name))
            self.press_step += 1


class Signs(torch.optim.Optimizer):
    """A sign method: of what else it may do to weights that go, those that stay tell nothing."""

    def __init__(self, parameters, lr, momentum, **more):
        super().__init__(parameters, {"lr": lr / 50})
        self.where, self.strength = {}, 0.0

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                force = weight.grad + self.strength * weight * self.where.get(weight, 0.0)
                weight.sub_(group["lr"] * force.sign())


@PRESSED
class PressesByTheSign(PressesInTheStep):
    kind = Signs


UNSEEN = (
    PressesInTheStep, PressesInTheStepAhead, PressesAfterTheInnerStep, PressesInAHookOfTheStep, PressesInTheClosure,
    PressesByTheSign,
)  # fmt: skip


def judged(finder, rule="finder-penalty-schedule", seed=0):
    report = check(finder, budget="quick", only=rule, seed=seed)
    return {row.id: row for row in report.invariants}[rule]


@pytest.mark.parametrize("finder", UNSEEN, ids=lambda finder: finder.__name__)
def test_a_penalty_that_only_the_step_holds_is_not_judged(finder):
    row = judged(finder)
    assert row.status == "not-applicable", row
    assert "outside the optimizer" in row.note or "more than the gradients that were seen" in row.note


def never(finder):
    """The same finder without its penalty."""

    class Never(finder):
        def schedule(self, step):
            return 0.0

    return PRESSED(Never)


@PRESSED
class StepsByAdam(PressedTicket):
    """An optimizer of torch's own that obeys no linear rule uses the gradients that were seen, and nothing else."""

    def optimizer(self):
        return torch.optim.Adam(self.network.parameters(), 2e-3)


NEVER = (*(finder for finder in UNSEEN if finder is not PressesByTheSign), StepsByAdam)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("finder", NEVER, ids=lambda finder: finder.__name__)
def test_a_step_that_obeys_the_gradients_proves_that_nothing_presses(finder, seed):
    row = judged(never(finder), seed=seed)
    assert row.status == "violated" and row.got == "no penalty on the weights that go at any step", row


class Scaled(PressedTicket):
    """The loss, with the penalty in it, is scaled before its backward pass (`torch.amp.GradScaler`)."""

    most_norm, factor = None, 1.0

    def train(self, epochs):
        optimizer, scaler = self.optimizer(), torch.amp.GradScaler("cpu")
        inputs, labels = self.rows()
        for _ in range(epochs):
            for chosen in self.order(len(labels)).split(self.batch):
                optimizer.zero_grad()
                loss = F.cross_entropy(self.network(inputs[chosen]), labels[chosen])
                scaler.scale(loss + self.penalty()).backward()
                if self.most_norm is not None:
                    scaler.unscale_(optimizer)
                    nn.utils.clip_grad_norm_(self.network.parameters(), self.most_norm)
                scaler.step(optimizer)
                scaler.update()
                self.apply()

    def penalty(self):
        if self.press_step < 0:
            return 0.0
        strength = self.factor * self.schedule(self.press_step)
        self.press_step += 1
        return strength / 2 * sum((weight[self.goes[name]] ** 2).sum() for name, weight in self.prunable().items())


@PRESSED
class ScalesTheLoss(Scaled):
    pass


@PRESSED
class ScalesTheLossAndClips(Scaled):
    most_norm = 0.5


class Clipped(PressedTicket):
    """The loss's gradient is clipped, and the penalty is added to what is left of it."""

    factor = 1.0

    def before_step(self, optimizer):
        self.shorten()
        super().before_step(optimizer)

    def shorten(self):
        nn.utils.clip_grad_norm_(self.network.parameters(), 0.5)

    def schedule(self, step):
        return self.factor * super().schedule(step)


@PRESSED
class PressesAfterClipping(Clipped):
    pass


@PRESSED
class NormalisesTheGradient(Clipped):
    """Every gradient is of length 1 before the penalty is added."""

    def shorten(self):
        norm = torch.stack([parameter.grad.norm() for parameter in self.network.parameters()]).norm()
        for parameter in self.network.parameters():
            parameter.grad.div_(norm)


@PRESSED
class ClipsTheWhole(Clipped):
    """The penalty is clipped with the loss's gradient, and so is a decay of all weights."""

    decay = 0.0

    def before_step(self, optimizer):
        for parameter in self.network.parameters():
            parameter.grad.add_(1e-3 * parameter.detach())
        PressedTicket.before_step(self, optimizer)
        self.shorten()


@PRESSED
class LogsTheGradientFirst(ClipsTheWhole):
    """The gradient of the loss is taken once more, for a log, before the backward pass that is stepped by."""

    def train(self, epochs):
        optimizer, (inputs, labels) = self.optimizer(), self.rows()
        for _ in range(epochs):
            for rows in self.order(len(labels)).split(self.batch):
                optimizer.zero_grad()
                loss = F.cross_entropy(self.network(inputs[rows]), labels[rows])
                torch.autograd.grad(loss, list(self.network.parameters()), retain_graph=True)
                loss.backward()
                self.before_step(optimizer)
                optimizer.step()
                self.apply()


SHORT = (
    ScalesTheLoss,
    ScalesTheLossAndClips,
    PressesAfterClipping,
    NormalisesTheGradient,
    ClipsTheWhole,
    LogsTheGradientFirst,
)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("finder", SHORT, ids=lambda finder: finder.__name__)
def test_a_penalty_beside_a_shortened_gradient_is_read(finder, seed):
    report = check(finder, budget="quick", seed=seed)
    assert report.ok, str(report)
    assert {row.id: row.status for row in report.invariants}["finder-penalty-schedule"] == "passed"


@pytest.mark.parametrize("factor", [0.7, 1.5])
@pytest.mark.parametrize("finder", SHORT, ids=lambda finder: finder.__name__)
def test_another_strength_is_found_beside_a_shortened_gradient(finder, factor):
    row = judged(PRESSED(type("Other", (finder,), {"factor": factor})))
    assert row.status == "violated" and row.got.startswith("a penalty of"), row


@pytest.mark.parametrize("finder", SHORT[2:], ids=lambda finder: finder.__name__)
def test_kept_weights_that_are_pressed_are_found_beside_a_shortened_gradient(finder):
    class Everywhere(finder):
        def pressed(self, name):
            return torch.ones_like(self.goes[name])

    row = judged(PRESSED(Everywhere), "finder-penalty-outside-mask")
    assert row.status == "violated" and row.got.startswith("a penalty on kept weights"), row
