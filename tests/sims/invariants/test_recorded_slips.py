"""Masks that are missing for a while, weights that are moved for a pass, and what optimizers begin with."""

from __future__ import annotations

import copy

import pytest
import torch

from tests.sims.invariants.recorded import PRUNED, Tiny, forward, recorded, rows, state, step, verdict
from unilth.sims.invariants import finder_training as training
from unilth.sims.invariants import finder_validation as validation
from unilth.sims.invariants.observe import Event, Observer, _is_used
from unilth.sims.invariants.problems import Data

DENSE = {"a_weight": [[4, 3, 7, 8]], "b_weight": [[5], [9]]}
UNDER = PRUNED
TRAINED = {"a_weight": [[6, 5, 0, 0]], "b_weight": [[7], [0]]}
LATER = {"a_weight": [[6.5, 5.5, 0, 0]], "b_weight": [[7], [0]]}
SLIPPED = {"a_weight": [[6, 5, 1, 1]], "b_weight": [[7], [0]]}  # two of the three that are pruned
FEW = {"a_weight": [[6, 5, 1, 0]], "b_weight": [[7], [0]]}


def use(values, numbers=(1.0,), model=0):
    event = forward(state(**values), rows=None if numbers is None else rows(numbers))
    event.model = model
    return event


def left(values, model=0, **more):
    event = step(state(**values), **more)
    event.model = model
    return event


BEFORE = [use(DENSE), left(DENSE), use(UNDER), left(TRAINED)]
AFTER = [left(LATER), use(LATER), left(LATER)]


@pytest.mark.parametrize(
    ("between", "start"),
    [
        ([use(SLIPPED)], 2), ([use(SLIPPED, (1.0, 2.0))], 6), ([use(SLIPPED), left(SLIPPED), use(SLIPPED)], 8),
        ([use(FEW)], 6), ([use(SLIPPED, None)], 6), ([use(SLIPPED), left(SLIPPED), use(FEW, ())], 2 + 0),
        ([use(TRAINED, (1.0, 2.0, 3.0)), left(TRAINED), use(SLIPPED)], 2),  # rows under the mask are none without
        ([use(DENSE), left(TRAINED), use(TRAINED), left(TRAINED), use(DENSE)], 2),  # twice
    ],
)  # fmt: skip
def test_a_mask_that_is_missing_for_less_than_half_an_epoch_has_slipped(between, start):
    """Of three rows one is less than a half, and two are more."""
    seen = recorded([*BEFORE, *between, *AFTER], weights=state(**LATER))
    assert seen.final_phase() == start


def test_half_an_epoch_is_no_slip():
    for numbers, start in (((1.0,), 2), ((1.0, 2.0), 6)):
        seen = recorded([*BEFORE, use(SLIPPED, numbers), *AFTER], weights=state(**LATER))
        seen.pristine = Data((rows((1.0, 2.0, 3.0, 4.0)), torch.zeros(4)), seen.pristine.validation)
        assert seen.final_phase() == start


def test_a_slip_is_one_of_the_same_model():
    other = [use(SLIPPED, model=1), left(SLIPPED, 1), use(UNDER, model=1), left(LATER, 1), use(LATER, model=1)]
    assert recorded([*BEFORE, *other], weights=state(**LATER)).final_phase() == 6


def look(values):
    return forward(state(**values), learns=False, rows=rows((1.0, 2.0, 3.0)))


def test_passes_of_others_and_looks_are_no_training_without_the_mask():
    for more in (use(DENSE, (1.0, 2.0, 3.0), model=1), look(DENSE)):
        assert recorded([*BEFORE, use(SLIPPED), more, *AFTER], weights=state(**LATER)).final_phase() == 2
    unseen = [use(TRAINED, None), left(TRAINED), use(SLIPPED)]
    assert recorded([*BEFORE, *unseen, *AFTER], weights=state(**LATER)).final_phase() == 2, "it was masked"
    second = [copy.copy(event) for event in (*BEFORE, use(SLIPPED), *AFTER)]
    for event in second:
        event.model = 1
    other = [use(DENSE, (1.0, 2.0, 3.0))]
    assert recorded([*second[:5], *other, *second[5:]], weights=state(**LATER)).final_phase() == 2
    assert recorded([*second[:6], *BEFORE, *AFTER], weights=state(**LATER)).final_phase() == 8, "two models"


def test_most_of_the_weights_that_are_pruned_have_to_be_alive():
    """Two are pruned and four are kept."""
    mask = {"a.weight": [[1, 1, 0, 0]], "b.weight": [[1], [1]]}
    for between, start in ((SLIPPED, 2), (FEW, 6)):
        seen = recorded([*BEFORE, use(between), *AFTER], mask=mask, weights=state(**LATER))
        assert seen.final_phase() == start


def test_what_slipped_is_accused():
    seen = recorded([*BEFORE, use(SLIPPED), *AFTER], weights=state(**TRAINED))
    got = "2 pruned weights are not 0 at the next use after optimizer step 1 under the mask"
    assert verdict(training.check_zero_every_step, seen) == got


NOISY = {"a_weight": [[4.1, 3.1, 0, 0]], "b_weight": [[5], [0]]}
DIFFERS = "2 of 2 kept weights of 'a.weight' differ from .initial"


@pytest.mark.parametrize(
    ("first", "steps", "got"),
    [
        (use(UNDER), [left(TRAINED)], ""), (use(NOISY), [left(TRAINED)], DIFFERS),
        (use(NOISY), [left(TRAINED, before=state(**UNDER))], ""), (use(NOISY), [left(TRAINED, before=state())], ""),
        (use(NOISY), [left(TRAINED, before=state(**NOISY)), left(TRAINED, before=state())], DIFFERS),
        (use(NOISY), [left(TRAINED, 1, before=state()), left(TRAINED, before=state(**NOISY))], DIFFERS),
        (use(NOISY), [], DIFFERS),
    ],
)  # fmt: skip
def test_weights_may_be_moved_for_a_pass(first, steps, got):
    seen = recorded([use(DENSE), left(DENSE), first, *steps, use(TRAINED), left(TRAINED)], weights=state(**TRAINED))
    assert verdict(training.check_rewinds, seen) == got
    first.derived = True
    computed = "not judged: the weights are computed from other parameters, which are not seen"
    assert verdict(training.check_rewinds, seen) == (computed if first.state["a.weight"][0, 0] != 4 else "")


@pytest.mark.parametrize(
    ("pull", "guilty"),
    [
        (None, 1), (torch.zeros(2, 2), 0), (torch.tensor([[0.0, 0.0], [0.0, -1.0]]), 1), (torch.tensor(1.0), 1),
        (torch.tensor([[-1.0, 0.0], [0.0, 0.0]]), 0), (torch.ones(3, 2), 1), (torch.ones(2), 1), (torch.ones(1, 2), 1),
    ],
)  # fmt: skip
def test_rows_that_the_loss_leaves_out_are_not_learned_from(pull, guilty):
    """Row 1 is one for training, row 5 one of the validation split."""
    both = Event("forward", state(), True, rows([1.0, 5.0]), learns=True, taught=pull)
    found = verdict(
        validation.check_no_validation, recorded([Event("forward", state(), True, rows([1.0]), learns=True), both])
    )
    assert found == ("a gradient from 1 validation rows" if guilty else "")


@pytest.mark.parametrize(
    ("held", "carried"),
    [
        (torch.zeros(3), ()), (torch.full((3,), 0.1), ()), (torch.tensor([0.1, 0.1, 0.2]), ("sum",)),
        (torch.tensor([0.2, 0.1, 0.1]), ("sum",)), (torch.tensor([0.0, 1.0, 1.0]), ()), (-0.1 * torch.eye(3), ()),
        (torch.tensor([-0.5, 1.0, 1.0]), ("sum",)), (torch.tensor([0.0, 1.0, 2.0]), ("sum",)),
        ("weight", ()), ("less", ("sum",)), ("more", ("sum",)), ("above", ("sum",)), ("below", ("sum",)),
        ("flat", ()), ("whole", ()), (torch.tensor([True, False]), ()),
        (torch.tensor(1.0), ()), (torch.empty(0), ()), (3.0, ()), (torch.tensor(0.5), ()), (torch.tensor(2.5), ()),
        (torch.tensor([1j, 2j]), ("sum",)), (torch.eye(3).to_sparse(), ()), (torch.tensor([1, 2]), ("sum",)),
        (torch.tensor([1.0, 2.0, 0.0]).to_sparse(), ("sum",)), (2 * torch.eye(3), ()),
        (torch.tensor([1.0, 2.0]).to(torch.float8_e5m2), ("sum",)), (torch.tensor([-2.0, -2.0]), ()),
    ],
)  # fmt: skip
def test_an_optimizer_that_is_new_or_set_back_may_hold_a_constant(held, carried):
    model, observer = Tiny(), Observer(Tiny())
    model.a.weight.data = torch.tensor([[-0.2, 0.3, -0.1, 0.4]])
    model.a.bias.data.fill_(0.1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with observer.watching():
        model(torch.ones(1, 4)).square().sum().backward()
        form = held
        if isinstance(held, str):
            held = model.a.weight.detach().clone()
            held += {"less": -0.05, "more": 0.05, "above": 0.05 * (held > 0), "below": 0.05 * (held < 0)}.get(form, 0)
            held = held.flatten() if form == "flat" else held
        if isinstance(form, str) and form == "whole":  # of the weight as it was before it was masked
            model.a.weight.data[0, :2] = 0.0
        optimizer.state[model.a.weight]["sum"] = held.clone() if isinstance(held, torch.Tensor) else held
        optimizer.step(), optimizer.step()
    first, second = [event for event in observer.events if event.kind == "step"]
    again = ("sum",) if isinstance(form, str) else carried  # the first step moved the weight away from its copy
    assert first.carried == carried and second.carried == again


def test_what_an_optimizer_holds_for_no_parameter_blinds_nobody():
    """MADGRAD counts its steps in state["k"]."""
    model, observer = Tiny(), Observer(Tiny())
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    optimizer.state |= {"k": torch.tensor([0]), "n": 3}
    with observer.watching():
        for _ in range(3):
            model(torch.ones(1, 4)).square().sum().backward()
            optimizer.step()
            optimizer.state["k"] += 1
            optimizer.state[torch.nn.Parameter(torch.ones(2))] = torch.tensor([1.0, 2.0])
    held = [event.carried for event in observer.events if event.kind == "step"]
    assert held == [(), ("momentum_buffer", "state"), ("k", "momentum_buffer", "state")]
    assert {key for _, key, _ in observer.optimizer_state()} == {"momentum_buffer"}
    optimizer.state[model.a.weight] = 7
    assert {name for name, _, _ in observer.optimizer_state()} == {"a.bias", "b.weight", "b.bias"}


@pytest.mark.parametrize(
    ("key", "held", "carried"),
    [
        ("step", torch.tensor(0.0), [False, False]), ("step", torch.tensor(1.0), [True, True]),
        ("count", torch.tensor(18), [False, True]), ("count", torch.full((3,), 18.0), [False, True]),
        ("product", torch.tensor(1.0), [False, False]), ("rate", torch.tensor(0.05), [False, False]),
        ("rate", torch.tensor(1.5), [False, False]),
    ],
)  # fmt: skip
def test_a_count_is_set_back_when_it_is_0(key, held, carried):
    """A known optimizer's; a new one may have been given the step of an old one."""
    assert [_is_used(key, held, new, []) for new in (True, False)] == carried


def test_weights_that_are_computed_are_known_as_such():
    model, observer = Tiny(), Observer(Tiny())
    with observer.watching():
        model(torch.ones(1, 4))
        torch.nn.utils.parametrize.register_parametrization(model.b, "weight", torch.nn.Identity())
        model(torch.ones(1, 4))
    assert [event.derived for event in observer.events] == [False, True]
