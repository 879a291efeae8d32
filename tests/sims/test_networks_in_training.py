"""What a network of one's own does in training: tried before the run, and one sentence where it fails during it."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from tests.sims.own_folder import own_folder
from unilth.errors import UserError
from unilth.sims import masks
from unilth.sims.data import load
from unilth.sims.execute import execute
from unilth.sims.find import Budget, find
from unilth.sims.networks import build
from unilth.sims.spec import RunSpec
from unilth.sims.streams import stream

OWN = """
import random
import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(16, 16), nn.Linear(16, 3)

    def forward(self, x):
        return self.last(self.first(x.flatten(1)).relu())


class Average(Plain):
    def __init__(self, persistent=False):
        super().__init__()
        self.register_buffer("average", torch.zeros(16), persistent=persistent)

    def forward(self, x):
        if self.training:
            self.average = 0.9 * self.average + 0.1 * x.flatten(1).mean(0)
        return super().forward(x - self.average.view(1, 4, 4))


class Counter(Plain):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.tensor(0), persistent=False)

    def forward(self, x):
        if self.training:
            self.count += 1
        return super().forward(x)


class Kept(Average):
    def __init__(self):
        super().__init__(persistent=True)


class Constant(Plain):
    def __init__(self):
        super().__init__()
        self.register_buffer("causal", torch.full((4, 4), -torch.inf).triu(1), persistent=False)
        self.register_buffer("odd", torch.tensor([torch.nan, 1.0]), persistent=False)
        self.register_buffer("places", torch.arange(4, dtype=torch.int16), persistent=False)

    def forward(self, x):
        return super().forward(x + self.causal.exp())


class InTraining(Plain):
    def forward(self, x):
        if self.training:
            raise RuntimeError("only in\\ntraining")
        return super().forward(x)


class Leaves(Plain):
    def forward(self, x):
        raise SystemExit(3)


class Interrupts(Plain):
    def forward(self, x):
        raise KeyboardInterrupt


class TwoInTraining(Plain):
    def forward(self, x):
        return (super().forward(x), x) if self.training else super().forward(x)


class OfTwo(Plain):
    def forward(self, x):
        return super().forward(x.reshape(2, -1))


class Batch(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


class FrozenNorm(Batch):
    def train(self, mode=True):
        super().train(mode)
        self[2].eval()


class Centres(Plain):
    def forward(self, x):
        with torch.no_grad():
            self.first.weight.sub_(self.first.weight.mean())
        return super().forward(x)


class CentresInEvaluation(Plain):
    def forward(self, x):
        if not self.training:
            self.first.weight.data -= self.first.weight.data.mean()
        return super().forward(x)


class Replaces(Plain):
    def forward(self, x):
        if self.training:
            self.first.weight = nn.Parameter(self.first.weight.detach().clone())
        return super().forward(x)


class Adds(Plain):
    def forward(self, x):
        if self.training:
            self.more = nn.Linear(3, 3)
        return super().forward(x)


class Grows(Plain):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x):
        if self.training:
            self.seen = torch.cat([self.seen, x.mean()[None]])
        return super().forward(x)


class MaxNorm(Plain):
    def __init__(self):
        super().__init__()
        self.places = nn.Embedding(2, 16, max_norm=0.5)

    def forward(self, x):
        return super().forward(x + self.places(torch.tensor(1)).view(1, 4, 4))


class FewerLater(Plain):
    def forward(self, x):
        return super().forward(x)[:, : 10 if len(x) in (2, 64) else 3]


class MoreLater(Plain):
    def forward(self, x):
        logits = super().forward(x)
        return logits if len(x) in (2, 64) else torch.cat([logits, logits[:, :5]], 1)


class FlatLater(Plain):
    def forward(self, x):
        logits = super().forward(x)
        return logits if len(x) in (2, 64) else logits[0]


class Chance(Plain):
    def forward(self, x):
        return super().forward(x + random.random() + np.random.rand() + torch.rand(()))


class Late(Plain):
    steps = 0

    def forward(self, x):
        Late.steps += self.training
        if Late.steps > 3:
            raise {"error": KeyError, "exit": SystemExit, "key": KeyboardInterrupt}[Late.how]("late\\nand more")
        return super().forward(x)


class Extra(Plain):
    def get_extra_state(self):
        return {"k": 3}

    def set_extra_state(self, state):
        pass


class ExtraTensor(Plain):
    def get_extra_state(self):
        return torch.ones(2)

    def set_extra_state(self, state):
        pass


def normed(kind):
    network = Plain()
    network.first = kind(network.first)
    return network


def weight_norm():
    return normed(parametrizations.weight_norm)


def spectral_norm():
    return normed(parametrizations.spectral_norm)


def old_weight_norm():
    return normed(nn.utils.weight_norm)


def pruned():
    return normed(lambda layer: prune.random_unstructured(layer, "weight", 0.5))


def all_normed():
    return nn.Sequential(nn.Flatten(), parametrizations.weight_norm(nn.Linear(16, 3)))
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with a user's file, which is the current one."""
    with own_folder(tmp_path, monkeypatch, own=OWN) as folder:
        yield folder


def chances() -> list:
    """The states of the generators that a network could draw from without being asked."""
    legacy = np.random.get_state()  # noqa: NPY002 (the global one)
    return [torch.get_rng_state().tolist(), random.getstate(), legacy[1].tolist()]


def made(what: str, batch: int = 8) -> nn.Module:
    return build(f"own.py:{what}", (1, 4, 4), 3, stream(0, "initial"), batch=batch)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    ("what", "why"),
    [
        (
            "Average",
            "the buffer average changes in training and is not in its state_dict: register it with persistent=True",
        ),
        ("Counter", "the buffer count changes in training"),
        (
            "InTraining",
            r"cannot take inputs of shape \(1, 4, 4\) in training, 8 at a time: RuntimeError: only in train",
        ),
        ("Leaves", r"cannot take inputs of shape \(1, 4, 4\): SystemExit: 3"),
        ("TwoInTraining", r"must map 8 inputs of shape \(1, 4, 4\) in training to \(8, 3\) logits, not to tuple"),
        ("Centres", "writes to its own weight first.weight in a forward pass, where no mask would hold it at 0: "),
        ("CentresInEvaluation", "writes to its own weight first.weight in a forward pass"),
        (
            "Replaces",
            "replaces or adds the parameter first.weight in a forward pass, which the optimizer would not train: ",
        ),
        ("Adds", "replaces or adds the parameter more.weight in a forward pass"),
        ("Grows", "seen has another type or shape after a forward pass: "),
        ("OfTwo", "in training, 8 at a time: RuntimeError"),
        ("Extra", "its state_dict has _extra_state, a dict: "),
        ("weight_norm", "the weight of the layer 'first' is computed"),
        ("spectral_norm", "the weight of the layer 'first' is computed"),
        ("old_weight_norm", "the weight of the layer 'first' is computed"),
        ("pruned", "the weight of the layer 'first' is computed"),
        ("all_normed", "the weight of the layer '1' is computed"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_the_run(what, why, own):
    before = chances()
    with pytest.raises(UserError, match=why) as caught:
        made(what)
    assert "\n" not in str(caught.value) and f"the network 'own.py:{what}'" in str(caught.value)
    assert chances() == before


@pytest.mark.parametrize("what", ["Plain", "Kept", "Constant", "ExtraTensor", "Batch", "Chance", "MaxNorm"])
def test_trying_leaves_the_network_and_every_generator_alone(what, own):
    before = chances()
    network = made(what)
    assert chances() == before
    assert network.training and all(p.grad is None for p in network.parameters())
    for name, buffer in network.named_buffers():
        assert name in ("causal", "odd", "places", "1.running_var", "2.running_var") or not buffer.any(), name


def test_the_run_s_batch_size_is_what_is_tried(own):
    made("OfTwo", batch=2)
    with pytest.raises(UserError, match="1 at a time: ValueError: Expected more than 1 value per channel"):
        made("Batch", batch=1)


DIGITS = OWN.replace("nn.Linear(16, 16)", "nn.Linear(64, 16)").replace("nn.Linear(16, 3)", "nn.Linear(16, 10)")


@pytest.mark.parametrize("recipe", ["omp", "snip", "synflow"])
def test_a_train_method_that_returns_nothing_will_do(recipe, own):
    (own / "digits.py").write_text(DIGITS.replace("nn.Linear(16, 8)", "nn.Linear(64, 8)").replace("(8, 3)", "(8, 10)"))
    ticket, _ = execute(RunSpec(recipe, network="digits.py:FrozenNorm", epochs=2, examples=200, sparsity=0.5))
    assert masks.pruned_of(ticket.mask) == 296
    assert torch.equal(ticket.weights["2.running_mean"], ticket.initial["2.running_mean"])


@pytest.mark.parametrize(
    ("what", "recipe", "shape"),
    [
        ("FewerLater", "omp", r"\d+ in evaluation to logits of shape \(\d+, 3\), not \(\d+, 10\): return as many"),
        ("MoreLater", "omp", r"\d+ in evaluation to logits of shape \(\d+, 15\), not \(\d+, 10\): return as many"),
        ("FlatLater", "omp", r"\d+ in evaluation to logits of shape \(10,\), not \(\d+, 10\)"),
        ("FewerLater", "snip", r"200 in training to logits of shape \(200, 3\), not \(200, 10\)"),
        ("FewerLater", "grasp", r"200 in training to logits of shape \(200, 3\), not \(200, 10\)"),
        ("MoreLater", "snip", r"\d+ in evaluation to logits of shape \(\d+, 15\), not \(\d+, 10\)"),
    ],
)
def test_other_logits_in_another_batch_size_are_one_sentence(what, recipe, shape, own):
    (own / "digits.py").write_text(DIGITS)
    with pytest.raises(UserError, match=rf"^the network 'digits.py:{what}' maps a batch of {shape}") as caught:
        execute(RunSpec(recipe, network=f"digits.py:{what}", epochs=2, examples=200))
    assert "\n" not in str(caught.value)


def test_more_logits_than_classes_will_do_for_a_network_that_is_handed_over():
    with torch.random.fork_rng():
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 15))
    assert find("snip", network, load("digits"), 0.5, seed=0, budget=Budget(2)).mask["1.weight"].sum() == 480


@pytest.mark.parametrize("sort", ["error", "exit"])
def test_a_network_that_fails_during_the_run_is_named_with_its_error(sort, own):
    (own / "digits.py").write_text(DIGITS + f"\n\nLate.how = {sort!r}\n")
    with pytest.raises(
        UserError, match=r"^the network 'digits.py:Late' fails on a batch of 64 in training: .*late"
    ) as caught:
        execute(RunSpec("omp", network="digits.py:Late", epochs=2))
    assert "\n" not in str(caught.value) and caught.value.__cause__ is not None


def test_an_interruption_stays_one(own):
    (own / "digits.py").write_text(DIGITS + "\n\nLate.how = 'key'\n")
    with pytest.raises(KeyboardInterrupt):
        execute(RunSpec("omp", network="digits.py:Late", epochs=2))
    with pytest.raises(KeyboardInterrupt):
        made("Interrupts")


def test_the_batch_of_the_run_is_tried(own):
    (own / "digits.py").write_text(DIGITS)
    with pytest.raises(UserError, match=r"cannot take .* in training, 64 at a time"):
        execute(RunSpec("omp", network="digits.py:OfTwo", epochs=2))


def test_batch_norm_of_a_single_value_is_one_sentence():
    vgg = RunSpec("random", network="vgg16", epochs=1, batch=1, examples=10)
    with pytest.raises(
        UserError, match="the network 'vgg16' fails on a batch of 1 in training: ValueError: Expected more"
    ):
        execute(vgg)


class Pair(nn.Linear):
    def forward(self, x):
        return super().forward(x.flatten(1)), x


class Backward(nn.Linear):
    def forward(self, x):
        return super().forward(x.flatten(1)).detach()


@pytest.mark.parametrize(("kind", "why"), [(Pair, "TypeError"), (Backward, "RuntimeError: .* does not require grad")])
def test_what_is_wrong_with_a_network_that_was_not_tried(kind, why):
    with pytest.raises(UserError, match=f"the network fails on a batch of 64 in training: {why}"):
        find("omp", kind(64, 10), load("digits"), 0.5, seed=0, budget=Budget(2))
