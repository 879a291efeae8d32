"""A recorded step: replaying it ends where calling it every time ends, and nothing from the host is part of it.

Without a GPU a recorder of torch's own operations stands in for CUDA's. It keeps to CUDA's rules: what is recorded is
not done, memory stays where it is, numbers in Python are part of the recording, no value is read back, and a generator
that was not registered cannot be drawn from.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from unilth.sims import masks
from unilth.sims.data import Augment, Dataset
from unilth.sims.forward import NetworkError
from unilth.sims.graphs import WARM, Graphs
from unilth.sims.networks import build
from unilth.sims.penalties import GrowingPenalty
from unilth.sims.stopping import EarlyStopping
from unilth.sims.streams import stream
from unilth.sims.training import Masking, Phase, Training


class Operations(TorchDispatchMode):
    """Every operation on tensors with what went in and what came out; afterwards memory is as it was before."""

    def __init__(self, generators) -> None:
        super().__init__()
        self.generators, self.tape, self.own, self.before = list(generators), [], set(), {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if "_local_scalar_dense" in str(func):
            raise RuntimeError("operation not permitted when stream is capturing: a value is read back")
        known = {generator._cdata for generator in self.generators}
        if any(x._cdata not in known for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Generator)):
            raise RuntimeError("a generator that is not registered was drawn from while recording")
        for tensor in tree_leaves((args, kwargs)):  # all: batch norm does not declare that it changes its statistics
            if isinstance(tensor, Tensor) and place(tensor) not in self.own | self.before.keys():
                self.before[place(tensor)] = tensor, tensor.detach().clone()
        out = func(*args, **kwargs)
        given = {place(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        self.own |= {place(x) for x in tree_leaves(out) if isinstance(x, Tensor)} - given
        self.tape.append((func, args, kwargs, out))
        return out

    def undo(self) -> None:
        for tensor, value in self.before.values():
            tensor.detach().copy_(value)

    def replay(self) -> None:
        with torch.no_grad():
            for func, args, kwargs, out in self.tape:
                pairs = zip(tree_leaves(out), tree_leaves(func(*args, **kwargs)), strict=True)
                for old, new in pairs:
                    if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                        old.detach().copy_(new)


def place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class Recorder:
    """Stands in for `Graphs` on a CPU."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def warm(self, work: Callable[[], None]) -> None:
        work()

    def record(self, work: Callable[[], None], generators) -> Callable[[], None]:
        states = [generator.get_state() for generator in generators]
        with Operations(generators) as operations:
            work()
        operations.undo()
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)
        self.recorded += 1

        def replay() -> None:
            self.replayed += 1
            operations.replay()

        return replay


AUGMENT = Augment(crop=1, flip=True, cutout=2)


def images(augment: Augment | None = AUGMENT) -> Dataset:
    generator = stream(0, "images")

    def split():
        return torch.randint(0, 256, (70, 1, 8, 8), generator=generator).byte(), torch.arange(70) % 3

    return Dataset("images", 3, split(), split(), split(), (0.5,), (0.3,), augment)


def trained(
    name: str, recorder: Recorder | None, epochs: int = 4, device: str = "cpu", load: dict | None = None, **choices
) -> tuple[Training, torch.Generator]:
    """A phase with everything in it: mask, penalty, recovery, decay, L1, an annealed rate, augmentation, a snapshot."""
    data = images().to(device)
    network = build(name, data.shape, data.classes, stream(0, "initial")).to(device)
    mask = masks.layer_random(masks.prunable(network), 0.5, generator=stream(0, "mask"))
    goes = {
        n: kept & (torch.arange(kept.numel(), device=kept.device).view_as(kept) % 3 == 0) for n, kept in mask.items()
    }
    with torch.no_grad():
        for n, weight in masks.prunable(network).items():
            weight *= mask[n]
    phase = Phase(
        "press", 1, epochs, 0.1, batch=16, anneal=True, decay=1e-3, lasso=1e-4, mask=mask, goes=goes,
        penalty=GrowingPenalty(0.05, 2, 1.0), recover=0.01, stop=EarlyStopping(3), **choices,
    )  # fmt: skip
    chance = torch.Generator(device).manual_seed(5)
    training = Training(network, data, phase, stream(0, "order"), chance=chance, snapshot=11, recorder=recorder)
    if load:
        training.load(load["training"])
        training.order.set_state(load["order"])
        chance.set_state(load["chance"])
    training.run()
    return training, chance


def same(one: Training, other: Training, close: float = 0.0) -> bool:
    """Whether rows, weights, buffers, momentum and the snapshot agree."""

    def near(a: object, b: object) -> bool:
        return a == pytest.approx(b, rel=close, abs=close) if isinstance(a, float) else a == b

    def equal(a: dict, b: dict) -> bool:
        return a.keys() == b.keys() and all(torch.allclose(a[n], b[n], rtol=close, atol=close) for n in a)

    rows = zip(one.outcome.rows, other.outcome.rows, strict=True)
    moments = zip(one.parameters, other.parameters, strict=True)
    return (
        all(near(value, b[key]) for a, b in rows for key, value in a.items())
        and equal(one.network.state_dict(), other.network.state_dict())
        and all(equal(one.optimizer.state[p], other.optimizer.state[q]) for p, q in moments)
        and equal(one.outcome.snapshot or {}, other.outcome.snapshot or {})
        and one.masking.step == other.masking.step
        and one.outcome.best_epoch == other.outcome.best_epoch
    )


class Called(Recorder):
    """Records nothing, and calls the work every time: the same optimizer without a recording."""

    def record(self, work: Callable[[], None], generators) -> Callable[[], None]:
        return work


@pytest.mark.parametrize("name", ["lenet-300-100", "conv-small"])
def test_a_replayed_phase_ends_with_the_same_bits(name):
    recorder = Recorder()
    (replayed, chance), (called, spent) = trained(name, recorder), trained(name, Called())
    steps = replayed.masking.step
    assert steps == 4 * len(replayed.outcome.rows) and (recorder.recorded, recorder.replayed) == (1, steps - WARM)
    assert same(replayed, called) and torch.equal(chance.get_state(), spent.get_state())
    assert replayed.outcome.snapshot is not None and replayed.outcome.rows[-1]["penalty"] > 0


def test_the_fused_optimizer_changes_nothing_but_rounding():
    fused, usual = trained("conv-small", Called())[0], trained("conv-small", None)[0]
    assert same(fused, usual, 1e-4) and not same(fused, trained("conv-small", None, momentum=0.8)[0], 1e-4)


def test_bfloat16_is_replayed_too():
    (replayed, _), (called, _) = (trained("lenet-300-100", r, precision="bfloat16") for r in (Recorder(), Called()))
    assert same(replayed, called)


def test_a_replayed_phase_goes_on_from_its_state():
    whole, _ = trained("conv-small", Recorder(), epochs=4)
    states: list[dict] = []

    def keep(training: Training) -> None:
        if len(training.outcome.rows) == 2:
            tree = training.state() | {"network": copied(training.network.state_dict())}
            tree["optimizer"] = [copied(memory) for memory in tree["optimizer"]]
            tree["rows"], tree["watch"] = list(tree["rows"]), dict(tree["watch"])
            states.append(
                {"training": tree, "order": training.order.get_state(), "chance": training.chance.get_state()}
            )

    run = Training.run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "run", lambda self: run(self, lambda: keep(self)))
        trained("conv-small", Recorder(), epochs=4)
    resumed, _ = trained("conv-small", Recorder(), epochs=4, load=states[0])
    assert same(resumed, whole)


def copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in tensors.items()}


def host_penalty(monkeypatch) -> None:
    monkeypatch.setattr(Masking, "begin", lambda *_: None)


def host_rate(monkeypatch) -> None:
    monkeypatch.setattr(torch.Tensor, "fill_", lambda self, value: self)


def host_batches(monkeypatch) -> None:
    whole = Training._step

    def step(self: Training) -> None:  # the place in the epoch is a number of the host
        self.place = torch.tensor([self.masking.step % self.steps])
        whole(self)

    monkeypatch.setattr(Training, "_step", step)


@pytest.mark.parametrize("mistake", [host_penalty, host_rate, host_batches])
def test_what_comes_from_the_host_is_noticed(mistake, monkeypatch):
    called, _ = trained("lenet-300-100", Called())
    mistake(monkeypatch)
    assert not same(trained("lenet-300-100", Recorder())[0], called)


def test_a_value_that_is_read_back_and_a_foreign_generator_are_noticed(monkeypatch):
    class ReadsBack(nn.Linear):
        def forward(self, inputs: Tensor) -> Tensor:
            return super().forward(inputs.flatten(1)) * (1 if float(inputs.sum()) > 0 else 2)

    data = images(None)
    training = Training(ReadsBack(64, 3), data, Phase("free", 1, 2, 0.1, batch=16), stream(0, "order"),
                        recorder=Recorder())  # fmt: skip
    with pytest.raises(NetworkError, match="is read back"):
        training.run()
    drawn = Training(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), images(), Phase("free", 1, 2, 0.1, batch=16),
                     stream(0, "order"), chance=stream(0, "chance"), recorder=Recorder())  # fmt: skip
    drawn._replayed.generators = []
    with pytest.raises(RuntimeError, match="not registered"):
        drawn.run()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", ["lenet-300-100", "conv-small"])
def test_cuda_graphs_end_where_the_steps_end(name):
    class Counted(Graphs):
        recordings = 0

        def record(self, work, generators):
            self.recordings += 1
            return super().record(work, generators)

    graphs = Counted(torch.device("cuda:0"))
    replayed, chance = trained(name, graphs, device="cuda:0")
    called, spent = trained(name, None, device="cuda:0")
    assert graphs.recordings == 1
    assert same(replayed, called, 1e-3) and torch.equal(chance.get_state(), spent.get_state())
