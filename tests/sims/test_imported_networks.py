"""Networks of the user's own: found, called, drawn under the seed, and refused in a sentence where they cannot be."""

from __future__ import annotations

import hashlib
import sys

import pytest
import torch
from torch import nn

from tests.sims.own_folder import own_folder
from unilth.errors import UserError
from unilth.sims import masks
from unilth.sims.bits import same_bits
from unilth.sims.data import Dataset
from unilth.sims.find import Budget, find
from unilth.sims.networks import build, lookup, origin
from unilth.sims.streams import stream

SHAPE, CLASSES = (1, 4, 4), 3

GOOD = """
from collections import OrderedDict
import torch
from torch import nn


class Both(nn.Sequential):
    def __init__(self, shape, classes):
        super().__init__(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, classes))


def others(inputs, outputs):
    return Both(inputs, outputs)


def none():
    return Both((1, 4, 4), 3)


def by_name(depth=2, num_classes=1000, in_chans=3):
    return nn.Sequential(nn.Conv2d(in_chans, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, num_classes))


def hands_on(*, weights=None, **kwargs):  # as torchvision's
    return by_name(in_chans=1, **kwargs)


class Library:
    by_name = staticmethod(by_name)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(16, 16), nn.Linear(16, 16)
        self.second.weight = self.first.weight
        self.last = nn.Linear(16, 3)

    def forward(self, x):
        return self.last(self.second(self.first(x.flatten(1)).relu()).relu())


def ranks():
    return nn.Sequential(
        nn.Flatten(2), nn.Conv1d(1, 2, 3), nn.Unflatten(2, (2, 7)), nn.ConvTranspose2d(2, 2, 2),
        nn.Unflatten(1, (1, 2)), nn.Conv3d(1, 2, 2), nn.Flatten(), nn.Linear(28, 3),
    )


class Causal(Both):
    def __init__(self, shape, classes):
        super().__init__(shape, classes)
        self.register_buffer("causal", torch.full((4, 4), -torch.inf).triu(1))
        self.register_buffer("eight", torch.arange(4.0).to(torch.float8_e4m3fn))
        self.register_parameter("closed", nn.Parameter(torch.tensor([-torch.inf]), requires_grad=False))


class Frozen(Both):
    def __init__(self, shape, classes):
        super().__init__(shape, classes)
        self[1].requires_grad_(False)
"""

BAD = """
import numpy as np
import torch
from torch import nn

made = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
number = 3


def shared():
    return made


def three(a, b, c):
    return made


def wrong():
    raise RuntimeError("broken\\nhere")


def no_module():
    return 3


def lazy():
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(3))


def complex_weights():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3, dtype=torch.complex64))


def double():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3, dtype=torch.float64))


def unprunable():
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16))


def all_frozen():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).requires_grad_(False)


def many_classes():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 1000))


def other_shape():
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 3))


def somewhere():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3, device="meta"))


def with_buffer(value):
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    network.register_buffer("odd", value)
    return network


def sparse():
    return with_buffer(torch.eye(4).to_sparse())


def nan_buffer():
    return with_buffer(torch.tensor([1.0, torch.nan]))


def nan_buffer_in_eight_bits():
    return with_buffer(torch.tensor([1.0, torch.nan]).to(torch.float8_e4m3fn))


def unset():
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    network[1].weight.data[0, 0] = torch.inf
    return network


class Hooked(nn.Sequential):
    def __init__(self, hook=None, load=None):
        super().__init__(nn.Flatten(), nn.Linear(16, 3))
        self.register_buffer("count", torch.zeros(2))
        self._register_state_dict_hook(hook or (lambda *_: None))
        self._register_load_state_dict_pre_hook(load or (lambda *_: None))


def rename(old, new):
    def hook(state):
        for key in [key for key in state if key.startswith(old)]:
            state[new + key.removeprefix(old)] = state.pop(key)

    return hook


def renamed():
    there, again = rename("1.", "x."), rename("x.", "1.")
    return Hooked(lambda module, state, *_: there(state), lambda state, *_: again(state))


def half_of_it():
    return Hooked(lambda module, state, *_: state.update({"1.weight": state["1.weight"] / 2}))


def without_a_bias():
    return Hooked(lambda module, state, *_: state.__delitem__("1.bias"))


def other_buffer():
    return Hooked(lambda module, state, *_: rename("count", "counted")(state))


def fails():
    return Hooked(lambda module, state, *_: state["none"])


def other_buffer_and_back():
    there, again = rename("count", "counted"), rename("counted", "count")
    return Hooked(lambda module, state, *_: there(state), lambda state, *_: again(state))


def scripted():
    return nn.Sequential(nn.Flatten(), torch.jit.script(nn.Linear(16, 16)), nn.Linear(16, 3))


class Pair(nn.Linear):
    def forward(self, x):
        return super().forward(x.flatten(1)), x


def pair():
    return Pair(16, 3)


def from_numpy():
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    network[1].weight.data = torch.from_numpy(np.random.default_rng().normal(size=(3, 16)).astype(np.float32))
    return network
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with a user's files, which is the current one."""
    with own_folder(tmp_path, monkeypatch, mine=GOOD, bad=BAD) as folder:
        yield folder


def made(name: str, seed: int = 0) -> nn.Module:
    return build(name, SHAPE, CLASSES, stream(seed, "initial"))


@pytest.mark.parametrize(
    "what", ["Both", "others", "none", "by_name", "hands_on", "Library.by_name", "Tied", "ranks", "Frozen", "Causal"]
)
def test_any_module_is_built_and_the_seed_decides_its_weights(what, own):
    before, path = torch.get_rng_state(), list(sys.path)
    first, again, other = made(f"mine.py:{what}"), made(f"mine:{what}"), made(f"mine.py:{what}", seed=1)
    assert torch.equal(torch.get_rng_state(), before) and sys.path == path
    states = [network.state_dict() for network in (first, again, other)]
    assert all(same_bits(states[0][key], states[1][key]) for key in states[0])
    assert all(not torch.equal(weight, states[2][key]) for key, weight in masks.prunable(first).items())
    assert first(torch.zeros(5, *SHAPE)).shape == (5, CLASSES) and first.training


def test_hooks_of_a_state_dict_may_rename_a_buffer_there_and_back(own):
    assert set(made("bad.py:other_buffer_and_back").state_dict()) == {"1.weight", "1.bias", "counted"}


def test_the_user_s_own_initialisation_stays(own):
    (own / "zeros.py").write_text(
        "from torch import nn\n\n\ndef net():\n    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))\n"
        "    nn.init.constant_(network[1].weight, 0.25)\n    return network\n"
    )
    assert bool((made("zeros.py:net")[1].weight == 0.25).all())


def test_layers_of_any_rank_are_prunable_and_tied_ones_once(own):
    weights = masks.prunable(made("mine.py:ranks"))
    assert sorted(weight.ndim for weight in weights.values()) == [2, 3, 4, 5]
    assert set(masks.prunable(made("mine.py:Tied"))) == {"first.weight", "last.weight"}


@pytest.mark.parametrize("what", ["Both", "Tied", "ranks"])
def test_a_ticket_is_found_in_a_network_of_one_s_own(what, own):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(48) % CLASSES
    inputs = torch.randn(48, *SHAPE, generator=generator) + labels[:, None, None, None]
    splits = [(inputs[part], labels[part]) for part in (slice(32), slice(32, 40), slice(40, 48))]
    data = Dataset("blobs", CLASSES, *splits)
    ticket = find("unilth", made(f"mine.py:{what}"), data, 0.5, seed=0, budget=Budget(epochs=6, batch=16, lr=0.01))
    assert masks.pruned_of(ticket.mask) == masks.size_of(ticket.mask) // 2
    for name, kept in ticket.mask.items():
        assert not ticket.weights[name][~kept].any() and ticket.weights[name][kept].all()


def test_the_record_says_where_a_network_came_from(own):
    digest = hashlib.sha256(GOOD.encode()).hexdigest()
    facts = origin("mine.py:Both")
    assert facts == {
        "kind": "imported", "name": "mine.py:Both", "module": None, "file": "mine.py", "sha256": digest,
        "version": None,
    }  # fmt: skip
    assert origin("mine:Both")["module"] == "mine" and origin("mine:Both")["sha256"] == digest
    assert origin("resnet20") == {"kind": "built in", "name": "resnet20"}
    library = origin("torch.nn:Linear")
    assert library["version"] == torch.__version__ and library["file"] == "linear.py"
    (own / "mine.py").write_text(GOOD.replace("0.5", "0.25"))
    changed = origin("mine.py:Both")["sha256"]
    assert changed != digest and made("mine.py:Both")[3].p == 0.25  # a changed file is read again


PARTIAL = """
import functools
import mine
from mine import Both, Frozen as Again

part = functools.partial(functools.partial(mine.by_name, depth=1), in_chans=1)
ready = Both
plain = mine.none


class Maker:
    def __call__(self, shape, classes):
        return Both(shape, classes)


maker = Maker()
inside = functools.partial(lambda shape, classes: Both(shape, classes))
"""


@pytest.mark.parametrize("what", ["part", "ready", "Again", "plain", "maker", "inside"])
@pytest.mark.parametrize("place", ["partial.py", "partial"])
def test_a_change_of_the_file_that_is_named_or_of_the_source_behind_it_is_noticed(what, place, own):
    (own / "partial.py").write_text(PARTIAL)
    name = f"{place}:{what}"
    lookup(name)
    before = origin(name)
    assert before == origin(name) and before["file"] == ("mine.py" if what[0] in "prA" else "partial.py")
    (own / "partial.py").write_text(PARTIAL + "# changed\n")
    changed = origin(name)["sha256"]
    assert changed != before["sha256"]
    if what[0] in "prA":
        (own / "mine.py").write_text(GOOD + "# changed\n")
        assert origin(name)["sha256"] not in (changed, before["sha256"])


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("bad.py:made", "is a Sequential: give a class or function"),
        ("bad.py:number", "is a int"),
        ("bad.py:shared", "not built anew"),
        ("bad.py:from_numpy", "not built anew"),
        ("bad.py:three", "needs the arguments a, b, c"),
        ("bad.py:wrong", "RuntimeError: broken here"),
        ("bad.py:no_module", "returned a int"),
        ("bad.py:lazy", "is lazy"),
        ("bad.py:complex_weights", "is complex"),
        ("bad.py:sparse", "odd is a sparse_coo tensor: keep it dense"),
        ("bad.py:nan_buffer", "odd holds NaN from the start"),
        ("bad.py:nan_buffer_in_eight_bits", "odd holds NaN from the start"),
        ("bad.py:unset", "1.weight holds an infinity from the start"),
        ("bad.py:renamed", "its state_dict does not hold the parameter 1.weight under its name"),
        ("bad.py:half_of_it", "does not hold the parameter 1.weight under its name and as it is"),
        ("bad.py:without_a_bias", "does not hold the parameter 1.bias"),
        ("bad.py:other_buffer", "cannot load its own state_dict: RuntimeError"),
        ("bad.py:fails", "the state_dict of the network 'bad.py:fails' fails: KeyError: 'none'"),
        ("bad.py:scripted", "1.weight cannot be trained in a copy of it, .* without torch.jit"),
        ("bad.py:double", "cannot take inputs"),
        ("bad.py:unprunable", "none to prune"),
        ("bad.py:all_frozen", "none to prune"),
        ("bad.py:many_classes", r"not to \(2, 1000\)"),
        ("bad.py:other_shape", r"cannot take inputs of shape \(1, 4, 4\)"),
        ("bad.py:somewhere", "on meta"),
        ("bad.py:pair", "not to tuple"),
        ("bad.py:missing", "has no 'missing'"),
        ("no.py:net", "no file 'no.py'"),
        ("no_such_module:net", "ModuleNotFoundError"),
        ("broken.py:net", "SyntaxError"),
        ("leaves.py:net", "SystemExit"),
        (":net", "is no address"),
        ("bad.py:", "is no address"),
        ("resnet21", "did you mean"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(name, why, own):
    (own / "broken.py").write_text("def net(:")
    (own / "leaves.py").write_text("raise SystemExit(3)")
    before = torch.get_rng_state()
    with pytest.raises(UserError, match=why) as caught:
        made(name)
    assert "\n" not in str(caught.value) and torch.equal(torch.get_rng_state(), before)


def test_names_can_be_looked_up_without_building(own):
    lookup("resnet20")
    lookup("bad.py:wrong")  # there is such a function; that it fails shows when it is called
    for name in ("resnet21", "bad.py:missing", "no_such_module:net"):
        with pytest.raises(UserError):
            lookup(name)
