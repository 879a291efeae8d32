"""What a step beside a scaled loss may mean, and steps of unknown optimizers, on runs written down by hand."""

from __future__ import annotations

import pytest
import torch

from tests.sims.invariants.recorded import forward, recorded, verdict
from unilth.sims.invariants import finder_penalty as penalty
from unilth.sims.invariants.finder_stopping import _phase_over
from unilth.sims.invariants.observe import Event, _plain
from unilth.sims.invariants.penalty_reading import Strength, _scaled, moved_otherwise, readings, scale_changes

TINY = 2.0**-16


def ramp(step):
    return 0.1 * step


def steps(*pairs, stays=0.0, rest=None):
    """Strengths by lambda and c of c (g + lambda w)."""
    return [pair and Strength(pair[0] + stays, stays, rest, scale=pair[1]) for pair in pairs]


NOTHING = "no penalty on the weights that go at any step"
CHANGES = "not judged: the loss is scaled, and by factors that change"


def schedule(found):
    seen = recorded()
    seen.memory[(0, None)] = found
    return verdict(penalty.check_schedule, seen, penalty=ramp)


@pytest.mark.parametrize(
    ("found", "got"),
    [
        (steps((0, 1), (0.1, 0.5), (0.2, 0.8)), ""),  # clipped whole
        (steps((0, 1), (0.1 / 0.5, 0.5), (0.2 / 0.8, 0.8), (0.3, 1)), ""),  # added afterwards
        (steps((0, 1), (0.1, 0.5), (0.2 / 0.8, 0.8)), "a penalty of 0.25 at step 2 of the ramp"),  # not consistent
        (steps((0, 1), (0.1 / 0.5, 0.5), (0.2, 0.8)), "a penalty of 0.2 at step 1 of the ramp"),
        (steps((0, 1), (0.2, 0.5), (0.4, 0.8)), "a penalty of 0.2 at step 1 of the ramp"),  # twice the strength
        (steps((0.1, 1), (0.4, 1)), "a penalty of 0.4 at step 2 of the ramp"),
        (steps((0, TINY), (0.1 / TINY, TINY), (0.2 / TINY, TINY)), ""),  # a scaled loss
        (steps((0, TINY), (0.1 / TINY, TINY / 3), (0.2 / TINY, TINY / 2)), ""),  # and clipped
        (steps((0, TINY / 2), (0.1 / TINY, TINY / 3), (0.2 / TINY, TINY / 2)), ""),  # clipped throughout
        (steps((0, TINY), (0.1, TINY), (0.2, TINY)), NOTHING),  # it was added before the gradient was unscaled
        (steps((0, TINY), (0.1, TINY), (0.2, TINY / 1.5)), ""),  # a gradient that is cut to nearly nothing
        (steps((0, TINY), (0.4 / TINY, TINY), (0.6 / TINY, TINY / 1.5)), "a penalty of"),
        (steps((0, TINY), (0.1, 0.75 * TINY), (0.2, 0.75 * TINY)), ""),
        (steps((0, TINY), (0.1 / TINY, TINY), (0.2 / TINY * 2, TINY / 3), stays=0.05 / TINY), CHANGES),
        (steps((0, TINY), (1e-6, TINY), (1e-6, TINY / 3)), NOTHING),
        (steps((0, 1), (0.1 / TINY, TINY / 1.5), (0.2 / TINY, TINY)), CHANGES),
        (steps((0, 1), (0.3 / TINY, TINY), (0.6 / TINY, TINY)), "a penalty of"),
        (steps((0, TINY), (0.2 / TINY, TINY), (0.4 / TINY, TINY)), "a penalty of 0.2 at step 1 of the ramp"),
        (steps((0, TINY), (0.1 / TINY, TINY), (0.2 / TINY * 2, TINY / 3)), CHANGES),
        (steps((0, TINY), (0.3 / TINY, TINY), (0.6 / TINY, TINY / 2)), "a penalty of 0.3 at step 1 of the ramp"),
        (steps((0, TINY), None, (0.1 / TINY, TINY), (0.2 / TINY * 2.02, TINY / 2)), "not judged: the step at"),
        (steps((0, TINY), (0.1 / TINY, TINY), None, (0.3 / TINY * 2, TINY / 3)), CHANGES),
        (steps((0, TINY), (0.1 / TINY, TINY), (0.2 / TINY * 2.02, TINY / 2)), "a penalty of"),
        (steps((0, TINY), (0.1 / TINY, TINY), (0.2 / TINY * 1.98, TINY / 2)), "a penalty of"),
        (steps((0, 0.5), (0.3, 0.5), (0.6, 0.2)), "a penalty of 0.3 at step 1 of the ramp"),  # clipped, not scaled
        (steps(None, (0.2, 0.5)), "not judged: the step at which the penalty sets in could not be read"),
    ],
)
def test_a_strength_is_held_against_the_schedule_by_each_reading(found, got):
    assert schedule(found)[: len(got) or None] == got


def test_readings_are_few():
    whole = steps((0.1, 1), None, (0.2, 1))
    assert readings(whole) == [whole]
    assert [[step and step.goes for step in found] for found in readings(steps((0.4, 0.5), None))] == [
        [0.4, None],
        [0.2, None],
    ]
    found = [one[0].goes for one in readings(steps((1.0, 2.0**-10)))]
    assert found == [2.0**-10, 2.0**-10, 2.0**-9, 2.0**-8]
    found = [one[0].goes for one in readings(steps((1.0, 2.0**-10 * 0.9)))]
    assert found == pytest.approx([0.9 * 2.0**-10, 2.0**-10, 2.0**-9, 2.0**-8, 1.0])
    assert [one[0].goes for one in readings(steps((1.0, 2.0**-10), (1.0, 2.0**-7)))] == [1.0, 2.0**-10]


def test_a_scale_changes_by_powers_of_two_at_least():
    for one, other, changes in (
        (300, 120, True),
        (300, 200, False),
        (200, 80, False),
        (300, 1, True),
        (512, 512, False),
    ):
        assert scale_changes([*steps((0.1, 1 / one)), None, *steps((0.1, 1 / other))]) == changes
    assert not scale_changes([]) and not scale_changes([None])


def test_all_that_a_step_says_is_scaled():
    one = Strength(4.0, 2.0, 1.0, 3.0, "odd", 0.5, 8.0)
    assert one.times(0.5) == Strength(2.0, 1.0, 0.5, 1.5, "odd", 0.5, 4.0)
    assert Strength(4.0, 2.0).times(0.5) == Strength(2.0, 1.0)


@pytest.mark.parametrize(
    ("found", "got"),
    [
        (steps((0.1, 0.5), (0.2, 1), stays=1.0), ""),
        ([Strength(0.1 + 2, 2.0, scale=0.5), Strength(0.2 + 1, 1.0)], ""),  # a decay after the clipping
        ([Strength(0.1, 2.0, scale=0.5), Strength(0.2, 3.0)], "a penalty on kept weights that varies from 2 to 3"),
        (
            [Strength(0.1, 0.0, 2.0, scale=0.5), Strength(0.2, 0.0, 3.0)],
            "a penalty on biases or normalisation that varies from 2 to 3",
        ),
        ([Strength(0.1, 0.0, 2.0, scale=0.5), Strength(0.2, 0.0, 1.0)], ""),
    ],
)
def test_a_constant_decay_is_one_by_either_reading(found, got):
    seen = recorded()
    seen.memory[(0, None)] = found
    assert verdict(penalty.check_outside, seen) == got


@pytest.mark.parametrize(("goes", "scale", "over"), [(5e-5, 1, False), (5e-5, 4, True), (5e-4, 0.1, True)])
def test_a_penalty_that_is_seen_by_either_reading_begins_a_phase(goes, scale, over):
    seen = recorded([forward({}, False)])
    seen.memory[(0, 1)] = [Strength(goes, 0.0, scale=scale)]
    assert _phase_over(seen, {}, 0, 1) == over


def test_the_scale_is_read_with_the_strength():
    loss, weight = torch.tensor([1.0, -2.0, 0.5]).double(), torch.tensor([2.0, 1.0, -1.0]).double()
    for scale in (1.0, 0.5, TINY):
        assert _scaled(scale * (loss + 0.3 * weight), loss, weight) == pytest.approx((0.3, scale))
    assert _scaled(0.3 * weight, loss, weight) == pytest.approx((0.3, 0.0))
    assert _scaled(loss, loss, 0 * weight) == (0.0, 0.0) and _scaled(-loss, loss, weight) is None


CHANCE = torch.Generator().manual_seed(3)
KEPT = torch.arange(120).reshape(2, 60) % 3 > 0
NAME = "a.weight"


def trained(pressed=0.0, kept=KEPT, rule="sgd", plain=False, n=3, part=slice(None)):
    """Steps with momentum and decay; ``pressed`` times the weights that go is felt, too, and in no gradient."""
    weight, speed, events = torch.randn(KEPT.shape, generator=CHANCE), 0.0, []
    for _ in range(n):
        gradient = torch.randn(KEPT.shape, generator=CHANCE)
        force = gradient + 0.01 * weight + pressed * weight * ~KEPT
        speed = 0.9 * speed + force
        along = {"sgd": speed, "ahead": force + 0.9 * speed, "sign": speed.sign(), "up": -speed}[rule]
        before, weight = weight, weight - 0.05 * along
        events.append(
            Event("step", {NAME: weight}, True, grads={NAME: gradient}, before={NAME: before}, plain=plain, by=0)
        )
    seen = recorded(events[part], mask={NAME: kept.tolist()})
    seen.given[NAME] = torch.zeros(KEPT.shape)
    return seen


@pytest.mark.parametrize(
    ("seen", "moved"),
    [
        (trained(), False), (trained(0.01), True), (trained(1e-3), True), (trained(-0.01), True),
        (trained(2e-5), False),
        (trained(rule="ahead"), False), (trained(0.01, rule="ahead"), True), (trained(0.01, plain=True), False),
        (trained(rule="sign"), True), (trained(rule="sign", plain=True), False), (trained(rule="up"), True),
        (trained(part=slice(1, None)), True),  # the last movement was not seen
        (trained(0.01, n=1), True), (trained(n=1), False),
        (trained(0.01, kept=KEPT | True), False),  # nothing goes
        (trained(kept=(torch.arange(120) < 31).reshape(2, 60)), True),  # too few stay to read a rule from
        (trained(kept=(torch.arange(120) < 32).reshape(2, 60)), False),
    ],
)  # fmt: skip
def test_a_step_of_an_unknown_optimizer_is_compared_with_that_of_the_weights_that_stay(seen, moved):
    assert moved_otherwise(seen) == moved


def test_only_steps_that_can_be_compared_are():
    seen = trained(0.01)
    for event in seen.events:
        event.before = {NAME: event.before[NAME] * KEPT}
    assert not moved_otherwise(seen), "under the mask"
    seen = trained(0.01, n=2)
    seen.events[0].before = None
    assert not moved_otherwise(seen), "nothing was seen before the first step, so no movement either"
    seen = trained()
    seen.events += [Event("step", {NAME: seen.events[-1].state[NAME] * 2}, True, grads=seen.events[-1].grads, by=0)]
    seen.events[-1].before = seen.events[-2].before
    assert not moved_otherwise(seen), "one that extends the step before"
    seen.events[-1].by = 1
    assert moved_otherwise(seen)
    still = Event("step", seen.events[0].state, True, grads=seen.events[0].grads, before=seen.events[0].state, by=0)
    assert not moved_otherwise(recorded([still], mask={NAME: KEPT.tolist()})), "a step of length 0"
    seen = trained(0.01)
    for event in seen.events:
        event.grads = {}
    assert not moved_otherwise(seen), "an optimizer of other weights"


def test_no_penalty_is_told_only_where_every_step_is_explained():
    for seen, got in ((trained(), "no penalty on the weights that go at any step"), (trained(0.01), "not judged: an")):
        seen.memory[(0, None)] = [Strength(0.0, 0.0)]
        seen.memory["looks"], seen.names = set(), [NAME]
        assert verdict(penalty.check_schedule, seen, penalty=ramp).startswith(got)


class Own(torch.optim.SGD):
    pass


def test_torchs_own_optimizers_are_known():
    weight = [torch.nn.Parameter(torch.ones(2))]
    plain = torch.optim.SGD(weight, 0.1)
    assert (
        _plain(plain, (plain,), {}) and _plain(plain, (plain, None), {}) and _plain(plain, (plain,), {"closure": None})
    )
    assert not _plain(plain, (plain, print), {}) and not _plain(plain, (plain,), {"closure": print})
    assert _plain(torch.optim.AdamW(weight), (plain,), {}) and not _plain(Own(weight, 0.1), (plain,), {})
    hook = plain.register_step_pre_hook(print)
    assert not _plain(plain, (plain,), {})
    hook.remove()
    plain.register_step_post_hook(print)
    assert not _plain(plain, (plain,), {})


@pytest.mark.parametrize(
    ("found", "judged"),
    [
        ([Strength(0.0, 0.0), None, Strength(0.2, 0.0)], True), ([Strength(0.0, 0.0), None], False),
        ([Strength(0.1, 0.1), None], False), ([Strength(0.0, 0.0)], True), ([None, Strength(-0.2, 0.0)], False),
    ],
)  # fmt: skip
def test_where_no_press_was_read_nothing_is_said_of_kept_weights(found, judged):
    seen = recorded()
    seen.memory[(0, None)] = found
    why = "not judged: the steps at which the penalty presses could not be read"
    assert verdict(penalty.check_outside, seen, penalty=ramp) == ("" if judged else why)


def test_a_schedule_that_falls_to_nothing_is_no_power_of_two():
    seen = recorded()
    seen.memory[(0, None)] = steps((0, TINY), (0.1 / TINY, TINY), (0.1 / TINY, TINY / 3))
    once = [0.0, 0.1]
    found = verdict(penalty.check_schedule, seen, penalty=lambda step: once[step] if step < 2 else 0.0)
    assert found.startswith("a penalty of")


@pytest.mark.parametrize(
    ("last", "got"),
    [(0.0, CHANGES), (-1e-3, CHANGES), (9e-5, CHANGES), (1.2e-4, CHANGES), (0.05 / TINY, "a penalty of")],
)
def test_nothing_is_nothing_in_whatever_power(last, got):
    """Rounding grows with the scale: beside a penalty of 13107, 0.00012 is none."""
    seen = recorded()
    seen.memory[(0, None)] = steps((0, TINY), (0.1 / TINY, TINY), (0.2 / TINY * 2, TINY / 3), (last, TINY / 3))
    found = verdict(penalty.check_schedule, seen, penalty=lambda step: 0.1 * step if step < 3 else 0.0)
    assert found[: len(got)] == got


@pytest.mark.parametrize(
    ("declared", "level", "first"),
    [
        ([0.0, 0.1], 0, 1), ([0.1], 0, 0), ([1e-4, 1e-4, 2e-4], 1, 2), ([0.0, 0.995e-4, 1.3e-4], 1, 2),
        ([0.985e-4, 0.1], 0, 1), ([1.015e-4, 0.1], 0, 0), ([1e-4, 1.1e-4, 0.1], 2, 2), ([0.0, 5e-5], 0, None),
        ([1e-4 * (1 + 1e-3 * k) for k in range(2000)], None, 1), ([0.0, *[1e-4] * 9, 1.001e-4], None, 10),
    ],
)  # fmt: skip
def test_a_ramp_sets_in_at_a_strength_that_rounding_does_not_reach(declared, level, first):
    def schedule(step):
        return declared[min(step, len(declared) - 1)]

    wanted = penalty.LEVELS[level] if level is not None else penalty.VISIBLE
    assert penalty._sets_in(schedule) == (wanted, first)


@pytest.mark.parametrize("first", [1e-4 * (1 - 1e-7), 1e-4 * (1 + 1e-7)])
def test_a_penalty_that_begins_at_what_is_just_visible_and_doubles(first):
    def doubles(step):
        return 1e-4 * 2.0 ** (step // 2)

    def found(*strengths):
        seen = recorded()
        seen.memory[(0, None)] = steps(*((strength, 1) for strength in strengths))
        return verdict(penalty.check_schedule, seen, penalty=doubles)

    assert found(first, first, 2e-4, 2e-4, 4e-4, 4e-4, 8e-4, 8e-4) == ""
    assert found(first, first, 2e-4, 2e-4, 4e-4, 8e-4) == "a penalty of 0.0008 at step 5 of the ramp"
