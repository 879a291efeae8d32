"""Runs train copies of a network: what a copy shares with its original, or no longer shares within, is refused."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from tests.sims.own_folder import own_folder
from unilth.errors import UserError
from unilth.sims import masks
from unilth.sims.bits import same_bits
from unilth.sims.execute import execute
from unilth.sims.networks import NETWORKS, build
from unilth.sims.networks.copies import check_apart, copy_of
from unilth.sims.networks.imported import locate
from unilth.sims.spec import RunSpec
from unilth.sims.streams import stream

OWN = """
import functools
import random
import torch
from torch import nn
from torch.nn import functional as F


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 3)
        self.calls = 0
        self.prepare()

    def prepare(self):
        self.hidden = self.block

    def block(self, x):
        return self.second(self.first(x).relu()).relu()

    def forward(self, x):
        self.calls += 1
        return self.last(self.hidden(x.flatten(1)))


class Lambda(Plain):
    def prepare(self):
        self.hidden = lambda x: self.first(x).relu()


class Everything(Plain):
    def prepare(self):
        self.hidden = lambda x: self.last(self.first(x).relu())

    def forward(self, x):
        return self.hidden(x.flatten(1))


class InTraining(Plain):
    def prepare(self):
        self.hidden = lambda x: self.first(x) if self.training else x


class InEvaluation(Plain):
    def prepare(self):
        self.hidden = lambda x: x if self.training else self.first(x)


class Mode(Plain):
    def prepare(self):
        self.hidden = lambda x: F.dropout(x, 0.5, self.training)


class Signs(Plain):  # NaN has one too
    def prepare(self):
        self.hidden = lambda x: F.linear(x, torch.where(self.first.weight > 0, 1.0, -1.0))


class Buffer(Plain):
    def prepare(self):
        self.register_buffer("mean", torch.ones(16))
        self.hidden = lambda x: x - self.mean


class Hook(Plain):
    def prepare(self):
        super().prepare()
        self.first.register_forward_hook(lambda module, given, answer: answer + self.second.bias)


class Fails(Plain):  # where it meets NaN
    def prepare(self):
        self.hidden = lambda x: torch.distributions.Normal(self.first(x), 1.0).mean


class Drops(Plain):
    def prepare(self):
        self.drop = nn.Dropout(0.5)
        self.hidden = lambda x: self.drop(self.first(x))


class Counts(Plain):  # no two answers are the same
    def prepare(self):
        self.hidden = lambda x: self.first(x) + self.calls


class Itself(Plain):
    def __deepcopy__(self, memo):
        return self


class TiedData(Plain):
    def prepare(self):
        super().prepare()
        self.second.weight.data = self.first.weight.data


class TiedView(Plain):
    def prepare(self):
        super().prepare()
        self.second.weight = nn.Parameter(self.first.weight.detach().t())


class TiedRow(Plain):
    def prepare(self):
        super().prepare()
        self.second.bias = nn.Parameter(self.first.weight.detach()[3])


class TiedBuffer(Plain):
    def prepare(self):
        super().prepare()
        self.register_buffer("same", self.first.weight.data)


class Expanded(Plain):
    def prepare(self):
        super().prepare()
        self.first.weight.data = torch.randn(1, 16).expand(16, 16)


class Unfolded(Plain):
    def prepare(self):
        super().prepare()
        self.first.weight = nn.Parameter(torch.randn(31).unfold(0, 16, 1))


class ExpandedBuffer(Plain):
    def prepare(self):
        super().prepare()
        self.register_buffer("mean", torch.zeros(1).expand(4))


class Tied(Plain):
    def prepare(self):
        super().prepare()
        self.second.weight = self.first.weight
        self.again = self.first


class Parts(Plain):
    def prepare(self):
        super().prepare()
        flat = torch.randn(512)
        self.first.weight = nn.Parameter(flat[:256].view(16, 16))
        self.second.weight = nn.Parameter(flat[256:].view(16, 16))


class Columns(Plain):  # which lie between each other
    def prepare(self):
        super().prepare()
        wide = torch.randn(16, 32)
        self.first.weight = nn.Parameter(wide[:, :16])
        self.second.weight = nn.Parameter(wide[:, 16:].t())


class Constants(Plain):
    def prepare(self):
        super().prepare()
        self.register_buffer("places", torch.arange(5).expand(1, -1))
        self.register_buffer("mean", torch.zeros(1).expand(4), persistent=False)
        self.register_buffer("table", torch.ones(4, 4))
        self.register_buffer("row", self.table[0])


class Partial(Plain):
    def prepare(self):
        self.hidden = functools.partial(F.linear, weight=self.first.weight)


class Chance(Plain):
    def prepare(self):
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        self.calls += 1
        noise = torch.rand(()) + random.random() + 0.01 * self.calls
        return self.last(self.drop(self.block(x.flatten(1)))) + noise


class Average(Plain):
    def prepare(self):
        super().prepare()
        self.norm = nn.BatchNorm1d(16)
        self.register_buffer("average", torch.zeros(16))

    def forward(self, x):
        x = self.norm(x.flatten(1) - self.average)
        if self.training:
            self.average += 0.1 * x.mean(0)
        return super().forward(x)


class Recurrent(Plain):
    def prepare(self):
        self.cells = nn.LSTM(4, 16, batch_first=True)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

    def hidden(self, x):
        x = self.cells(x.view(-1, 4, 4))[0]
        return self.attention(x, x, x)[0][:, -1]


def parallel():
    return nn.DataParallel(Plain())


def compiled():
    return torch.compile(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), backend="eager", fullgraph=True)


class CompiledMethod(Plain):
    def prepare(self):
        self.hidden = torch.compile(self.block, backend="eager")


class Small(Plain):
    def prepare(self):
        super().prepare()
        self.first.weight = nn.Parameter(self.first.weight.detach().to(torch.float8_e4m3fn), requires_grad=False)

    def forward(self, x):
        return self.last(F.linear(x.flatten(1), self.first.weight.float()))


class Whole(Small):
    def prepare(self):
        self.first.weight = nn.Parameter(torch.ones(16, 16, dtype=torch.int8), requires_grad=False)


class SmallScale(Plain):
    def prepare(self):
        super().prepare()
        self.scale = nn.Parameter(torch.ones(3).to(torch.float8_e5m2))


class Quantized(Plain):
    def prepare(self):
        super().prepare()
        self.register_buffer("eight", torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), persistent=False)


class QuantizedExtra(Plain):
    def get_extra_state(self):
        return torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)

    def set_extra_state(self, state):
        pass


class SmallBuffer(Plain):
    def prepare(self):
        super().prepare()
        self.register_buffer("eight", torch.ones(3).to(torch.float8_e4m3fn))
        self.short = nn.Parameter(torch.ones(3, dtype=torch.float16))


class Stops(BaseException):
    pass


class RaisesItsOwn(Plain):
    def forward(self, x):
        raise Stops("of its own")


def stops():
    raise Stops("of its own")
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with a user's file, which is the current one."""
    with own_folder(tmp_path, monkeypatch, own=OWN) as folder:
        yield folder


def made(what: str) -> nn.Module:
    return build(f"own.py:{what}", (1, 4, 4), 3, stream(0, "initial"), batch=8)


CLOSED = [
    "Lambda", "Everything", "InTraining", "InEvaluation", "Mode", "Signs", "Buffer", "Hook", "Fails", "Drops", "Counts",
    "Itself", "CompiledMethod",
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*quantize_per_tensor:UserWarning", "ignore:.*torch.ao:DeprecationWarning")
@pytest.mark.parametrize(
    ("what", "why"),
    [
        *((what, "a copy of it computes with the weights, buffers or mode of the original") for what in CLOSED),
        ("TiedData", "first.weight and second.weight share memory without being one object, .*: tie the objects"),
        ("TiedView", "first.weight and second.weight share memory"),
        ("TiedRow", "first.weight and second.bias share memory"),
        ("TiedBuffer", "first.weight and same share memory"),
        ("Expanded", r"several values of first.weight share memory, as after expand, .* give it a clone\(\)"),
        ("Unfolded", "several values of first.weight share memory"),
        ("ExpandedBuffer", "several values of mean share memory"),
        ("Small", "first.weight is float8_e4m3fn: what is trained or pruned, also where it is frozen, must be float16"),
        ("Whole", "first.weight is int8: what is trained or pruned"),
        ("SmallScale", "scale is float8_e5m2: what is trained or pruned"),
        ("Quantized", r"eight is quantized: tickets hold plain numbers, use dequantize\(\)"),
        ("QuantizedExtra", "_extra_state is quantized: tickets hold plain numbers"),
        ("RaisesItsOwn", r"cannot take inputs of shape \(1, 4, 4\): Stops: of its own"),
        ("stops", r"called with \(\), fails: Stops: of its own"),
    ],
)
def test_what_a_copy_would_not_hold_is_refused(what, why, own):
    with pytest.raises(UserError, match=f"^the network 'own.py:{what}'.* ?{why}") as caught:
        made(what)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "what",
    [
        "Plain", "Tied", "Parts", "Columns", "Constants", "Partial", "Chance", "Average", "Recurrent", "parallel",
        "compiled", "SmallBuffer",
    ],
)  # fmt: skip
def test_what_a_copy_holds_is_taken(what, own):
    before = torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    network = made(what)
    assert (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002
    assert all(bool(value.float().isfinite().all()) for value in network.state_dict().values())


@pytest.mark.parametrize("what", ["Average", "Counts", "Constants"])
def test_the_original_has_its_values_back(what, own):
    network = locate(f"own.py:{what}")()
    before = {key: value.clone() for key, value in [*network.named_parameters(), *network.named_buffers()]}
    copied = copy_of(network, what)
    if what == "Counts":
        with pytest.raises(UserError):
            check_apart(network, copied, what, (1, 4, 4))
    else:
        check_apart(network, copied, what, (1, 4, 4))
    after = dict([*network.named_parameters(), *network.named_buffers()])
    assert all(same_bits(value, after[key]) for key, value in before.items())


def test_the_weights_of_a_frozen_layer_are_pruned_too(own):
    (own / "frozen.py").write_text(
        "from torch import nn\n\n\ndef net():\n    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 20), "
        "nn.Linear(20, 10))\n    network[1].requires_grad_(False)\n    return network\n"
    )
    ticket, _ = execute(RunSpec("omp-layer", network="frozen.py:net", epochs=2, examples=100, sparsity=0.5))
    frozen, kept = ticket.weights["1.weight"], ticket.mask["1.weight"]
    assert masks.pruned_of({"1.weight": kept}) == 640 and not frozen[~kept].any()
    assert torch.equal(frozen[kept], ticket.initial["1.weight"][kept])


@pytest.mark.parametrize("name", [name for name in NETWORKS if not name.startswith(("wrn", "vgg", "resnet56"))])
def test_the_networks_that_come_along_pass(name):
    network = build(name, (3, 16, 16), 3, stream(0, "initial"))
    check_apart(network, copy_of(network, name), name, (3, 16, 16))
