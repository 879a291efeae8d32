"""Whether a copy of a network stands alone is tried without touching the original's memory, and right ones pass."""

from __future__ import annotations

import functools
import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unilth.errors import UserError
from unilth.sims.bits import same_bits
from unilth.sims.networks.copies import _other_values, check_apart, copy_of
from unilth.sims.networks.memory import check_memory

ALONE = "^the network 'net': a copy of it computes with the weights, buffers or mode of the original"


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(16, 16), nn.Linear(16, 16)
        self.last = nn.Linear(16, 3)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.calls = 0

    def step(self) -> int:
        self.steps += self.training
        return int(self.steps)

    def hidden(self, x: Tensor) -> Tensor:
        return self.first(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.hidden(x.flatten(1)).relu())


class Closed(Net):
    """Its hidden layer is a function over the original, made by ``close``."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = self.close()


class InEvaluation(Net):
    def __init__(self) -> None:
        super().__init__()
        self.evaluated = lambda x: self.first(x)

    def hidden(self, x):
        return self.second(x) if self.training else self.evaluated(x)


class InTraining(InEvaluation):
    def hidden(self, x):
        return self.evaluated(x) if self.training else self.second(x)


class Whole(Closed):
    def close(self):
        return lambda x: x + self.steps


class Kept(Closed):
    def close(self):
        self.register_buffer("kept", torch.ones(16, dtype=torch.bool))
        return lambda x: x * self.kept


class Unkept(Closed):
    def close(self):
        self.register_buffer("kept", torch.zeros(16, dtype=torch.bool))
        return lambda x: x * ~self.kept


class Counts(Closed):  # writes only: it computes with nothing of the original
    def close(self):
        def hidden(x):
            self.steps.add_(1)
            return x

        return hidden


class Replaces(Closed):
    def close(self):
        def hidden(x):
            self.register_buffer("steps_too", self.steps + 1)
            return x

        return hidden


class Above(Closed):  # NaN is not above anything
    def close(self):
        return lambda x: x * (self.first.weight[0] > 10)


class Noisy(Closed):  # no two answers are the same
    def close(self):
        return lambda x: self.first(x)

    def forward(self, x):
        self.calls += 1
        return super().forward(x) + self.calls


class Shares(Net):
    def __deepcopy__(self, memo):
        shared = Shares()
        shared.load_state_dict(self.state_dict())
        shared.first = self.first
        return shared


class Turns(Net):
    def hidden(self, x):
        step = self.step()
        return self.first(x) if step % 2 else self.second(x)


class Average(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("average", torch.zeros(16))

    def hidden(self, x):
        if self.training:
            self.average += 0.1 * (x.mean(0) - self.average)
        return self.first(x - self.average)


class Never(Net):  # two answers of it are never the same
    def forward(self, x):
        self.calls += 1
        return super().forward(x) + self.calls


class NeverNumbers(Never):
    def forward(self, x):
        logits = super().forward(x)
        return torch.cat([logits[:, :2], torch.full_like(logits[:, 2:], float("nan"))], 1)


class Draws(Net):
    def hidden(self, x):
        return F.dropout(self.first(x), 0.5) + random.random()


class Views(Net):
    def __init__(self) -> None:
        super().__init__()
        flat = torch.randn(512)
        self.first.weight = nn.Parameter(flat[:256].view(16, 16))
        self.second.weight = nn.Parameter(flat[256:].view(16, 16).t())
        self.register_buffer("table", torch.arange(16.0).view(4, 4))
        self.register_buffer("row", self.table[1])
        self.register_buffer("bits", self.table.view(torch.int32), persistent=False)
        self.register_buffer("small", torch.ones(3).to(torch.float8_e4m3fn))
        self.register_buffer("wide", torch.ones(1).expand(4), persistent=False)
        self.register_buffer("none", torch.zeros(0))


def checked(network: nn.Module) -> None:
    check_apart(network, copy_of(network, "net"), "net", (16,))


WRONG = [InEvaluation, InTraining, Whole, Kept, Unkept, Counts, Replaces, Above, Noisy, Shares]


@pytest.mark.parametrize("kind", WRONG)
def test_a_copy_that_reads_or_changes_the_original_is_refused(kind):
    network = kind()
    with pytest.raises(UserError, match=ALONE):
        checked(network)
    assert all(bool(parameter.isfinite().all()) for parameter in network.parameters())


@pytest.mark.parametrize("kind", [Net, Turns, Average, Never, NeverNumbers, Draws, Views])
def test_a_copy_that_stands_alone_is_taken_and_the_original_untouched(kind):
    network = kind()
    tensors = dict([*network.named_parameters(), *network.named_buffers()])
    before = {key: (value.clone(), value.data_ptr()) for key, value in tensors.items()}
    checked(network)
    after = dict([*network.named_parameters(), *network.named_buffers()])
    assert after.keys() == before.keys()
    for key, (value, place) in before.items():
        assert after[key] is tensors[key] and same_bits(after[key], value) and after[key].data_ptr() == place


def from_file(path):
    np.save(path, np.ones(16, dtype="float32"))
    return torch.from_numpy(np.load(path, mmap_mode="r"))


def from_bytes(path):
    return torch.frombuffer(bytes(64), dtype=torch.float32)


@pytest.mark.filterwarnings("ignore:.*not writable:UserWarning")
@pytest.mark.parametrize("read", [from_file, from_bytes])
def test_memory_that_cannot_be_written_is_left_alone(read, tmp_path):
    network = Net()
    network.register_buffer("constant", read(tmp_path / "constant.npy"))
    kept = network.constant.clone()
    checked(network)
    assert torch.equal(network.constant, kept)


@pytest.mark.parametrize("register", ["register_hook", "register_post_accumulate_grad_hook"])
def test_a_hook_on_a_parameter_is_refused_and_one_on_a_layer_not(register):
    network = Net()
    network.first.register_full_backward_hook(functools.partial(print))
    checked(network)
    hook = getattr(network.first.weight, register)(lambda gradient: None)
    with pytest.raises(UserError, match=r"^the network 'net' has a hook on the parameter first.weight, .*: compute it"):
        checked(network)
    hook.remove()
    checked(network)


def test_only_what_overlaps_itself_and_can_be_loaded_is_refused():
    network = Net()
    network.register_buffer("positions", torch.arange(5).expand((1, -1)))  # as in Hugging Face's networks
    network.register_buffer("strange", torch.arange(5).as_strided((1, 5), (0, 1)))
    check_memory(network, "net")
    network.register_buffer("constant", torch.zeros(1).expand(4), persistent=False)
    check_memory(network, "net")
    network.scale = nn.Parameter(torch.zeros(1).expand(4))
    with pytest.raises(UserError, match=r"^the network 'net': several values of scale share memory"):
        check_memory(network, "net")


def test_what_shares_memory_does_so_in_the_trial_too():
    network = Views()
    with _other_values(network, nan=True):
        network.table.fill_(2.0)
        assert network.row.eq(2).all() and network.first.weight.isnan().all()
    assert torch.equal(network.row, torch.arange(4.0, 8.0))
