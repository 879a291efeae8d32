"""A penalty in several rounds: each is judged by the mask that it prunes to, careful ones and broken ones."""

from __future__ import annotations

import copy

import pytest
import torch

from unilth.sims.invariants import check, ticket_finder
from unilth.sims.invariants.declarations import claims_of
from unilth.sims.invariants.reference import PressedTicket, ramp
from unilth.sims.invariants.twins_finder import PRESSED

STEPS = 12
"""Of a press in these tickets; 0.02 more at each step, so that it ends at 0.22."""


class Rounds(PressedTicket):
    """Free training, choice, press, prune, and again; the ramp starts anew."""

    rounds, press_epochs, free_epochs, number = 3, 2, 2, 0

    def search(self):
        for number in range(1, self.rounds + 1):
            self.number = number
            self.free()
            chosen = self.choose(self.sparsity * self.number / self.rounds)
            self.goes = self.target(chosen)
            self.press_step = self.begin()
            self.train(self.press_epochs)
            self.press_step = -1
            self.mask = chosen
            self.masks.append(self.mask)
            self.rewind_after()
            self.apply()
        self.train(self.tune_epochs)

    def free(self):
        self.train(self.free_epochs)

    def target(self, chosen):
        return {name: ~kept for name, kept in chosen.items()}

    def begin(self):
        return 0

    def rewind_after(self):
        pass


class Rewinding(Rounds):
    def rewind_after(self):
        self.rewind()


class GoesOn(Rounds):
    """The clock of the schedule stands still between the rounds."""

    def begin(self):
        return STEPS * (self.number - 1)


class RunsOn(Rounds):
    """And here it runs on in the free training."""

    def begin(self):
        return 2 * STEPS * (self.number - 1)


class InsideOnly(Rounds):
    """What went before is not pressed again."""

    def target(self, chosen):
        return {name: self.mask[name] & ~kept for name, kept in chosen.items()}


class GradientsMasked(Rounds):
    """Of what went before no gradient is left."""

    def before_step(self, optimizer):
        for name, weight in self.prunable().items():
            weight.grad.mul_(self.mask[name])
        super().before_step(optimizer)


class NotedOnly(PressedTicket):
    """All that goes is pressed at once; on the way it is noted what would go first, and nothing is cut off."""

    def search(self):
        super().search()
        self.masks = [{name: torch.ones_like(kept) for name, kept in self.mask.items()}, self.mask]
        first, *_ = self.mask
        self.masks.insert(1, self.masks[0] | {first: self.mask[first]})


class FirstLayerFirst(Rounds):
    """All that goes is pressed from the start, in one ramp; what goes in the first layer is cut off on the way."""

    rounds, free_epochs = 2, 0

    def choose(self, sparsity):
        if self.number == 1:
            self.final = super().choose(self.sparsity)
            first, *_ = self.final
            return {name: kept if name == first else torch.ones_like(kept) for name, kept in self.final.items()}
        return self.final

    def target(self, chosen):
        return {name: ~kept for name, kept in self.final.items()}

    def begin(self):
        return STEPS * (self.number - 1)


class StoppedRounds(Rounds):
    """UniLTH: each round stops early before it presses."""

    rounds = 2

    def free(self):
        best, state, waited = float("inf"), self.remember(), 0
        while waited < 2:
            self.train(1)
            loss = self.validation_loss()
            best, state, waited = (loss, self.remember(), 0) if loss < best else (best, state, waited + 1)
        self.network.load_state_dict(state)


class ControlBefore(Rounds):
    """Before the second choice another network is trained under the same mask, from the start."""

    def compare(self):
        own, number, press = self.network, self.number, self.press_step
        self.network, self.press_step = copy.deepcopy(own), -1
        self.network.load_state_dict(self.initial)
        self.apply()
        self.train(2)
        self.network, self.number, self.press_step = own, number, press

    def free(self):
        super().free()
        if self.number == 2:
            self.compare()


class ControlAfter(ControlBefore):
    """And here after the second press, before its weights are cut off."""

    def free(self):
        Rounds.free(self)

    def train(self, epochs):
        pressed = self.press_step >= 0
        super().train(epochs)
        if pressed and self.number == 2:
            self.compare()


class CutToCompare(Rounds):
    """Before each press a copy is cut off at once and tuned, to compare with: its mask is no end of a round."""

    def begin(self):
        own, mask = self.network, self.mask
        self.network, self.press_step = copy.deepcopy(own), -1
        self.mask = {name: ~gone for name, gone in self.goes.items()}
        self.apply()
        self.train(1)
        self.network, self.mask = own, mask
        return super().begin()


class CutAtTheEnd(Rounds):
    """What is pressed in the first round is cut off with the rest."""

    rounds = 2

    def apply(self):
        if self.number == self.rounds and len(self.masks) == self.rounds:
            super().apply()


CAREFUL = (
    Rounds,
    Rewinding,
    GoesOn,
    RunsOn,
    InsideOnly,
    GradientsMasked,
    NotedOnly,
    FirstLayerFirst,
    StoppedRounds,
    ControlBefore,
)


@pytest.mark.parametrize("finder", CAREFUL, ids=lambda one: one.__name__)
@pytest.mark.parametrize("rule", ["finder-penalty-schedule", "finder-penalty-outside-mask"])
def test_a_penalty_in_rounds_is_judged_round_by_round(finder, rule):
    (row,) = check(PRESSED(finder), budget="quick", only=rule, seed=3).invariants
    assert row.status == "passed", row


class OnlyOnce(Rounds):
    """The press of the later rounds was forgotten."""

    def schedule(self, step):
        return ramp(step) * (self.number == 1)


class OnlyTheLast(Rounds):
    """And here that of the earlier ones; their weights are 0 in the last press, so that it presses on all that goes."""

    rounds = 2

    def schedule(self, step):
        return ramp(step) * (self.number == self.rounds)


@ticket_finder(keeps="largest", scope="global", penalty=ramp, stops_early=2)
class ForgottenAfterAStop(StoppedRounds):
    """The best weights are restored, and the second press is forgotten."""

    def schedule(self, step):
        return ramp(step) * (self.number == 1)


class HalfAsHard(Rounds):
    def schedule(self, step):
        return ramp(step) * (0.5 if self.number == 2 else 1)


class ByEpoch(Rounds):
    """The second time the ramp grows by epochs."""

    def schedule(self, step):
        return ramp(step if self.number == 1 else 8 * (step // 8 + 1))


class FirstRoundsMask(Rounds):
    """What is pressed is chosen once: in the later rounds nothing is left of it (RST-Iter without a new mask)."""

    def target(self, chosen):
        return super().target(chosen) if self.number == 1 else self.goes


class FinalMask(Rounds):
    """The second time all is pressed that does not belong to a mask drawn anew (DLTH on resume)."""

    def target(self, chosen):
        if self.number != 2:
            return super().target(chosen)
        return {name: ~kept.flatten().roll(7).view_as(kept) for name, kept in chosen.items()}


BROKEN = (
    (OnlyOnce, "finder-penalty-schedule", "no penalty on the weights that go at any step"),
    (OnlyTheLast, "finder-penalty-schedule", "no penalty on the weights that go at any step"),
    (ForgottenAfterAStop, "finder-penalty-schedule", "no penalty on the weights that go at any step"),
    (HalfAsHard, "finder-penalty-schedule", "a penalty of 0.01 at step 1"),
    (ByEpoch, "finder-penalty-schedule", "a penalty of 0.16 at step 1"),
    (FirstRoundsMask, "finder-penalty-schedule", "no penalty on the weights that go at any step"),
    (FinalMask, "finder-penalty-outside-mask", "a penalty on some kept weights that varies from 0 to 0.22"),
)


@pytest.mark.parametrize(("finder", "rule", "got"), BROKEN, ids=[one[0].__name__ for one in BROKEN])
def test_a_broken_round_is_a_violation(finder, rule, got):
    claimed = finder if claims_of(finder).stops_early else PRESSED(finder)
    (row,) = check(claimed, budget="quick", only=rule, seed=3).invariants
    assert row.status == "violated" and row.got.startswith(got), row


def unclaimed(finder):
    """The same without the masks of its rounds."""

    class Alone(finder):
        def finish(self):
            del self.masks
            return super().finish()

    return Alone


@pytest.mark.parametrize(
    "finder",
    [unclaimed(Rounds), unclaimed(HalfAsHard), ControlAfter, CutAtTheEnd],
    ids=["no masks", "no masks, half as hard", "a control", "only pressed"],
)
def test_without_masks_or_beside_others_rounds_are_not_judged(finder):
    (row,) = check(PRESSED(finder), budget="quick", only="finder-penalty-schedule", seed=3).invariants
    assert row.status == "not-applicable" and row.note.startswith("several masks or trainings came before"), row
