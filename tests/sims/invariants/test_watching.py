"""The observer: what it takes for the network, and what it keeps of it (what mutation testing found untested)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.sims.invariants.recorded import Tiny
from unilth.sims.invariants.observe import Observer, places


class Other(Tiny):
    """Another class with the network's tensors, called with as many arguments as one likes."""

    def forward(self, x, *more):
        return super().forward(x)


ROWS = torch.arange(8.0).reshape(2, 4)


def seen(model, *args, network=None, **kwargs):
    """The events of one call of the model, where the network given to the finder was ``network``."""
    observer = Observer(Tiny() if network is None else network)
    with observer.watching():
        model(*args, **kwargs)
    assert not observer.blind
    return observer.events


def test_the_network_is_known_by_its_class_or_by_its_tensors():
    assert len(seen(Tiny(), ROWS)) == 1
    assert len(seen(Other(), ROWS)) == 1, "a copy of another class"
    assert seen(Other(), ROWS, 2.0) == [], "what is called otherwise is something else"
    (by_name,) = seen(Tiny(), x=ROWS)
    assert torch.equal(by_name.rows, ROWS) and by_name.logits is not None


def test_the_rows_are_the_first_argument():
    for more in ((), (2.0,), (torch.ones(3),)):
        (event,) = seen(Other(), ROWS, *more, network=Other())
        assert torch.equal(event.rows, ROWS)


def test_a_number_is_no_rows():
    (event,) = seen(Shifted(), torch.tensor(2.0), ROWS, network=Shifted())
    assert event.rows is None and event.logits is not None
    (event,) = seen(Halves(), x=torch.tensor(2.0), network=Halves())
    assert event.rows is None and event.logits is not None


class Shifted(Tiny):
    """Takes a number first."""

    def forward(self, shift, x):
        return super().forward(x + shift)


class Halves(Tiny):
    """Takes a number by keyword."""

    def forward(self, x):
        return super().forward(x * ROWS)


@pytest.mark.parametrize("width", [3, 5])
def test_a_module_with_tensors_of_other_shapes_is_none_of_ours(width):
    model = Tiny()
    model.a = nn.Linear(width, 1)
    assert Observer(Tiny()).values(model) is None
    assert seen(model, torch.ones(2, width)) == []
    model.a.weight = None
    assert Observer(Tiny()).values(model) is None


def test_a_weight_is_masked_where_it_has_a_mask():
    model = Tiny()
    model.a.register_buffer("weight_orig", torch.full((1, 4), 3.0))
    values = Observer(Tiny()).values(model)
    assert torch.equal(values["a.weight"], model.a.weight), "a buffer of that name alone is nothing to us"
    model.a.register_buffer("weight_mask", torch.tensor([[1.0, 0.0, 1.0, 0.0]]))
    values = Observer(Tiny()).values(model)
    assert values["a.weight"].tolist() == [[3.0, 0.0, 3.0, 0.0]]


def test_the_state_is_that_of_the_optimizer_that_stepped_last():
    model, observer = Tiny(), Observer(Tiny())
    first = torch.optim.SGD(model.a.parameters(), 0.1, momentum=0.9)
    last = torch.optim.SGD(model.b.parameters(), 0.1, momentum=0.9)
    with observer.watching():
        for optimizer in (first, last):
            optimizer.zero_grad()
            model(ROWS).sum().backward()
            optimizer.step()
    assert {name for name, _, _ in observer.optimizer_state()} == {"b.weight", "b.bias"}
    last.state[model.b.weight] |= {"fewer": torch.ones(1, 1), "more": torch.ones(3, 3), "number": 2.0}
    assert {key for _, key, _ in observer.optimizer_state()} == {"momentum_buffer"}
    with observer.watching():
        model(ROWS).sum().backward()
        first.step()
    assert {name for name, _, _ in observer.optimizer_state()} == {"a.weight", "a.bias"}
    assert [event.by for event in observer.events if event.kind == "step"] == [0, 1, 0]


def test_rows_of_another_width_are_none_of_the_known():
    known = torch.eye(4)
    assert places(torch.eye(4)[[2, 0]], known) == [2, 0]
    for width in (3, 5):
        assert places(torch.ones(2, width), known) == [None, None]
    assert places(torch.empty(0, 4), known) == []


def zeroes(module, args, name="weight"):
    with torch.no_grad():
        getattr(module, name)[0, 0] = 0.0


def fills(weight):
    weight.data.fill_(7.0)  # and no answer, which a hook would put in the place of the output


def test_a_parameter_is_what_its_layer_used():
    model = Tiny()
    first = model.a.weight[0, 0].item()
    handle = model.a.register_forward_pre_hook(zeroes)
    later = model.a.register_forward_hook(lambda module, args, output: fills(module.weight))
    (event,) = seen(model, ROWS)
    assert event.state["a.weight"][0, 0] == 0 and bool((event.state["a.weight"] != 7).all())
    handle.remove(), later.remove()
    model.a.weight.data.fill_(first)
    model.register_forward_pre_hook(lambda module, args: zeroes(module.a, args))
    (event,) = seen(model, ROWS)
    assert event.state["a.weight"].tolist() == [[0.0, *[pytest.approx(first)] * 3]]


class Functional(Tiny):
    """Uses a weight without its layer."""

    def forward(self, x):
        return self.b((x @ self.a.weight.T).relu())


def test_a_parameter_of_no_layer_is_looked_at_when_the_pass_is_over():
    model = Functional()
    model.register_forward_pre_hook(lambda module, args: zeroes(module.a, args))
    model.register_forward_hook(lambda module, args, output: fills(module.a.weight))
    (event,) = seen(model, ROWS, network=Functional())
    assert event.state["a.weight"][0, 0] == 0 and bool((event.state["a.weight"] != 7).all())


def test_buffers_are_those_that_the_pass_was_entered_with():
    model = nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2))
    for _ in range(2):
        before = {name: value.clone() for name, value in model.state_dict().items()}
        (event,) = seen(model, ROWS, network=model)
        assert all(torch.equal(event.state[name], value) for name, value in before.items())
    assert int(event.state["1.num_batches_tracked"]) == 1


def test_states_are_shared_where_nothing_changed():
    model, observer = Tiny(), Observer(Tiny())
    with observer.watching():
        model(ROWS), model(ROWS)
        model.b(torch.ones(1, 1))  # a layer by itself
    first, second = observer.events
    assert first.state is second.state and not observer.blind


def test_rows_given_by_keyword_are_seen():
    model, observer = Tiny(), Observer(Tiny())
    with observer.watching():
        model(x=ROWS)
    (event,) = observer.events
    assert torch.equal(event.rows, ROWS) and event.rows is not ROWS

    class Loose(Tiny):
        def forward(self, x=None, scale=1.0):
            return super().forward(ROWS if x is None else x)

    loose, observer = Loose(), Observer(Loose())
    with observer.watching():
        loose(), loose(scale=2.0), loose(x=ROWS, scale=2.0), loose(ROWS[:1], scale=2.0)
    assert [None if event.rows is None else len(event.rows) for event in observer.events] == [None, None, None, 1]
    assert not observer.blind and seen(Other(), x=ROWS) == [], "of another class, and by keyword"


def test_the_last_gradient_is_kept_and_what_all_taught():
    model, observer = Tiny(), Observer(Tiny())
    with observer.watching():
        logits = model(ROWS)
        (-logits).sum().backward(retain_graph=True)
        (2 * logits).sum().backward()
    (event,) = observer.events
    assert event.learns and event.pull.tolist() == [[2.0, 2.0]] * 2 and event.taught.tolist() == [[3.0, 3.0]] * 2


def test_a_module_without_the_networks_layers_is_none_of_ours():
    others = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))
    assert seen(others, ROWS) == [] and len(seen(Other(), ROWS)) == 1
    assert Observer(Tiny()).values(others) is None
