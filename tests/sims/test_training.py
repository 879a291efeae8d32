"""The training loop: pruned weights stay exactly 0, the penalty presses where it should, the generator decides."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from unilth.errors import UserError
from unilth.sims import masks, training
from unilth.sims.data import Augment, Dataset
from unilth.sims.forward import Forward
from unilth.sims.networks import build
from unilth.sims.penalties import GrowingPenalty
from unilth.sims.stopping import EarlyStopping
from unilth.sims.streams import stream
from unilth.sims.training import Masking, Phase, evaluate, steps_per_epoch, train


def blobs(n: int = 70, classes: int = 3) -> Dataset:
    """A small separable task of 1x4x4 images."""
    generator = stream(0, "blobs")
    centres = 2 * torch.randn(classes, 1, 4, 4, generator=generator)

    def split():
        labels = torch.randint(classes, (n,), generator=generator)
        return centres[labels] + torch.randn(n, 1, 4, 4, generator=generator), labels

    return Dataset("blobs", classes, split(), split(), split())


DATA = blobs()


def network(name: str = "conv-small") -> nn.Module:
    return build(name, DATA.shape, DATA.classes, stream(0, "initial"))


def half(trained: nn.Module) -> masks.Mask:
    return masks.layer_random(masks.prunable(trained), 0.5, generator=stream(0, "mask"))


class Observer:
    """Looks at an optimizer from outside, after each of its steps: what is not 0 under the mask?"""

    def __init__(self, trained: nn.Module, mask: masks.Mask) -> None:
        self.weights, self.mask, self.faults, self.steps = masks.prunable(trained), mask, set(), 0

    def __call__(self, optimizer, *_) -> None:
        self.steps += 1
        for name, weight in self.weights.items():
            state = optimizer.state.get(weight, {})
            tensors = {"weight": weight, "gradient": weight.grad, "momentum": state.get("momentum_buffer")}
            self.faults |= {
                what for what, t in tensors.items() if t is not None and t[~self.mask[name]].count_nonzero()
            }


def observed(trained: nn.Module, phase: Phase, mask: masks.Mask) -> set[str]:
    observer = Observer(trained, mask)
    handle = register_optimizer_step_post_hook(observer)
    try:
        train(trained, DATA, phase, stream(0, "order"))
    finally:
        handle.remove()
    assert observer.steps == phase.epochs * steps_per_epoch(len(DATA.train[1]), phase.batch)
    return observer.faults


def masked_phase(trained: nn.Module, **choices) -> tuple[Phase, masks.Mask]:
    mask = half(trained)
    trained.load_state_dict(masks.apply(mask, trained.state_dict()))
    return Phase("tune", 1, 3, 0.1, batch=16, mask=mask, **choices), mask


@pytest.mark.parametrize("choices", [{}, {"decay": 0.01}, {"momentum": 0.0}, {"anneal": True}])
def test_pruned_weights_gradients_and_momentum_are_zero_after_every_step(choices):
    trained = network()
    phase, mask = masked_phase(trained, **choices)
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    assert observed(trained, phase, mask) == set()
    assert all(not torch.equal(before[name], value) for name, value in trained.state_dict().items())


@pytest.mark.parametrize(
    ("forgotten", "caught"), [("_before", {"gradient"}), ("_after", {"weight", "momentum"}), ("both", {"weight"})]
)
def test_the_observer_catches_a_loop_that_forgets_a_mask(monkeypatch, forgotten, caught):
    trained = network()
    phase, mask = masked_phase(trained)
    if forgotten == "_after":  # gradient-only masking revives weights wherever momentum is left from before
        make = training.SGD

        def with_momentum(parameters, *rest, **options):
            optimizer = make(parameters, *rest, **options)
            for parameter in optimizer.param_groups[0]["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.ones_like(parameter)
            return optimizer

        monkeypatch.setattr(training, "SGD", with_momentum)
        assert observed(network_with(trained, mask), phase, mask) == set()  # ours clears what it finds
    for name in ("_before", "_after") if forgotten == "both" else (forgotten,):
        monkeypatch.setattr(Masking, name, lambda *_: None)
    assert observed(network_with(trained, mask), phase, mask) >= caught


def network_with(like: nn.Module, mask: masks.Mask) -> nn.Module:
    fresh = network()
    fresh.load_state_dict(masks.apply(mask, like.state_dict()))
    return fresh


def press(penalty: GrowingPenalty | None, epochs: int = 8) -> dict[str, float]:
    """Mean square of the weights that go and of those that stay, after pressing on the former."""
    trained = network("lenet-300-100")
    chosen = half(trained)
    goes = {name: ~kept for name, kept in chosen.items()}
    phase = Phase("press", 1, epochs, 0.05, batch=16, mask=masks.full(chosen), goes=goes, penalty=penalty)
    outcome = train(trained, DATA, phase, stream(0, "order"))
    weights = masks.prunable(trained)
    assert [row["penalty"] for row in outcome.rows] == sorted(row["penalty"] for row in outcome.rows)
    return {
        side: sum((weights[n][chosen[n] == kept] ** 2).sum().item() for n in weights)
        for side, kept in (("go", False), ("stay", True))
    }


def test_the_penalty_presses_on_the_weights_that_go_and_on_no_others():
    free, pressed = press(None), press(GrowingPenalty().scaled(8 * 4))
    assert pressed["go"] < 1e-2 * free["go"] and pressed["stay"] > 0.8 * free["stay"]


def test_one_step_is_the_formula():
    """w - lr (g + lambda w on the weights that go), at the second step of a schedule, written out by hand."""
    trained = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    weight, bias = torch.linspace(-1, 1, 48).reshape(3, 16), torch.zeros(3)
    trained.load_state_dict({"1.weight": weight, "1.bias": bias})
    goes = {"1.weight": torch.arange(48).reshape(3, 16) % 2 == 0}
    phase = Phase(
        "press", 1, 2, 0.1, momentum=0.0, batch=70, mask=masks.full(goes), goes=goes,
        penalty=GrowingPenalty(0.25, 1, 1.0, 2),
    )  # fmt: skip
    train(trained, DATA, phase, stream(0, "order"))
    for value in (0.0, 0.0625):
        weight.requires_grad_(True), bias.requires_grad_(True)
        logits = DATA.train[0].flatten(1) @ weight.T + bias
        gradients = torch.autograd.grad(nn.functional.cross_entropy(logits, DATA.train[1]), (weight, bias))
        with torch.no_grad():
            weight, bias = weight - 0.1 * (gradients[0] + value * weight * goes["1.weight"]), bias - 0.1 * gradients[1]
    assert torch.allclose(trained[1].weight, weight, atol=1e-5)
    assert not torch.allclose(trained[1].weight, weight + 0.1 * 0.0625 * weight * goes["1.weight"], atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_convolutions_run_channels_last_and_the_mask_holds_there(precision):
    trained = network()
    mask, layouts = half(trained), []
    trained.conv2.register_forward_hook(lambda module, inputs, output: layouts.append(output))
    goes = {name: kept & (torch.arange(kept.numel()).reshape(kept.shape) % 3 == 0) for name, kept in mask.items()}
    phase = Phase(
        "press", 1, 2, 0.1, batch=16, precision=precision, mask=mask, goes=goes, penalty=GrowingPenalty().scaled(8),
        decay=1e-3,
    )  # fmt: skip
    before = dict(trained.named_parameters())
    assert observed(trained, phase, mask) == set()
    assert all(before[name] is parameter for name, parameter in trained.named_parameters())
    assert trained.conv2.weight.is_contiguous(memory_format=torch.channels_last)
    assert all(output.is_contiguous(memory_format=torch.channels_last) for output in layouts)
    assert {output.dtype for output in layouts} == {getattr(torch, precision)}
    assert all(parameter.dtype == torch.float32 == parameter.grad.dtype for parameter in trained.parameters())


def test_the_layout_changes_nothing_but_rounding():
    inputs, plain, last = DATA.train[0].double(), network().double(), network().double()
    forward = Forward(last, DATA)
    assert torch.allclose(plain(inputs), forward(inputs), rtol=0, atol=1e-12)
    assert forward.channels_last and not Forward(network("lenet-300-100"), DATA).channels_last
    with pytest.raises(UserError, match="'float32' or 'bfloat16', not 'float16'"):
        Forward(network(), DATA, "float16")


def images(augment: Augment | None = None) -> Dataset:
    """The task as images in uint8."""
    splits = [((x * 20 + 128).clamp(0, 255).byte(), y) for x, y in (DATA.train, DATA.validation, DATA.test)]
    return Dataset("images", 3, *splits, (0.5,), (0.2,), augment)


def test_images_in_uint8_train_as_their_prepared_selves():
    stored = images()
    splits = [(stored.prepare(x), y) for x, y in (stored.train, stored.validation, stored.test)]
    ready, phase = Dataset("ready", 3, *splits), Phase("free", 1, 3, 0.1, batch=16)
    first, second = network("lenet-300-100"), network("lenet-300-100")
    rows = [train(first, stored, phase, stream(0, "order")).rows, train(second, ready, phase, stream(0, "order")).rows]
    assert rows[0] == rows[1] and torch.equal(first.fc1.weight, second.fc1.weight)
    forward = Forward(first, stored)
    assert evaluate(first, stored.test, forward) == evaluate(first, ready.test)


def test_augmentation_is_for_training_only_and_has_a_generator_of_its_own():
    phase = Phase("free", 1, 3, 0.1, batch=16)

    def weights(augment: Augment | None, chance: int = 0) -> torch.Tensor:
        trained, order = network("lenet-300-100"), stream(0, "order")
        train(trained, images(augment), phase, order, chance=stream(chance, "augment"))
        assert torch.equal(order.get_state(), spent.get_state())  # the batches are the same
        return trained.fc1.weight

    spent = stream(0, "order")
    train(network("lenet-300-100"), images(), phase, spent)
    augment = Augment(crop=1, flip=True)
    assert torch.equal(weights(augment), weights(augment))
    assert not torch.equal(weights(augment), weights(augment, 1))
    assert not torch.equal(weights(augment), weights(None))
    still = train(network("lenet-300-100"), images(), Phase("free", 1, 1, 1e-30, batch=16), stream(0, "order")).rows
    moved = train(
        network("lenet-300-100"), images(augment), Phase("free", 1, 1, 1e-30, batch=16), stream(0, "order"),
        chance=stream(0, "augment"),
    ).rows  # fmt: skip
    assert still[0]["validation_loss"] == moved[0]["validation_loss"]
    assert still[0]["train_loss"] != moved[0]["train_loss"]
    with pytest.raises(UserError, match="'images' are augmented in training"):
        train(network("lenet-300-100"), images(augment), phase, stream(0, "order"))


def test_the_generator_decides_and_global_state_does_not():
    def run(order_seed: int, global_seed: int) -> torch.Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(global_seed)
            trained = network()
            before = torch.get_rng_state()
            train(trained, DATA, Phase("free", 1, 2, 0.1, batch=16), stream(order_seed, "order"))
            assert torch.equal(torch.get_rng_state(), before)
        return torch.cat([value.double().flatten() for value in trained.state_dict().values()])

    assert torch.equal(run(0, 1), run(0, 2)) and not torch.equal(run(0, 1), run(1, 1))


def test_learning_rates_snapshots_and_rows():
    trained = network("lenet-300-100")
    phase = Phase("tune", 2, 4, 0.2, batch=16, anneal=True)
    outcome = train(trained, DATA, phase, stream(0, "order"), snapshot=5)
    assert [row["lr"] for row in outcome.rows] == pytest.approx([0.2, 0.2 * 0.853553, 0.1, 0.2 * 0.146447], rel=1e-5)
    assert {row["round"] for row in outcome.rows} == {2} and outcome.best_epoch is None
    again = network("lenet-300-100")
    seen = []
    handle = register_optimizer_step_post_hook(lambda *_: seen.append(again.fc1.weight.detach().clone()))
    train(again, DATA, phase, stream(0, "order"))
    handle.remove()
    assert torch.equal(outcome.snapshot["fc1.weight"], seen[4])  # after five steps, and not a view of what came later
    assert train(trained, DATA, Phase("free", 1, 0, 0.1), stream(0, "order")).rows == []


def test_early_stopping_uses_validation_data_and_restores_the_best():
    labels = DATA.validation[1]
    shuffled = Dataset("noise", 3, DATA.train, (DATA.validation[0], labels.roll(1)), DATA.test)  # only gets worse
    trained = network("lenet-300-100")
    phase = Phase("free", 1, 40, 0.1, batch=16, stop=EarlyStopping(3))
    outcome = train(trained, shuffled, phase, stream(0, "order"))
    losses = [row["validation_loss"] for row in outcome.rows]
    best = min(range(len(losses)), key=losses.__getitem__)
    assert len(losses) == best + 1 + 3 < 40 and outcome.best_epoch == best + 1
    assert evaluate(trained, shuffled.validation)[0] == pytest.approx(losses[best], abs=0)


def test_evaluation_leaves_the_network_as_it_is():
    trained = network().train()
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    loss, accuracy = evaluate(trained, DATA.test)
    assert trained.training and all(torch.equal(before[name], value) for name, value in trained.state_dict().items())
    logits = trained.eval()(DATA.test[0])
    assert loss == pytest.approx(nn.functional.cross_entropy(logits, DATA.test[1]).item(), rel=1e-5)
    assert accuracy == (logits.argmax(1) == DATA.test[1]).double().mean().item()


def test_steps_per_epoch():
    assert (steps_per_epoch(1077, 64), steps_per_epoch(64, 64), steps_per_epoch(10, 64)) == (16, 1, 1)
