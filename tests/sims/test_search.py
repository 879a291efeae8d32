"""One algorithm for every recipe: sparsity, nesting, rewinding, budget and determinism of all seven rows."""

from __future__ import annotations

import dataclasses
import itertools
import json
import threading

import pytest
import torch

from unilth.errors import UserError
from unilth.sims import masks, zoo
from unilth.sims.data import Augment, Dataset, load
from unilth.sims.execute import execute
from unilth.sims.find import Budget, Search, find
from unilth.sims.networks import build
from unilth.sims.penalties import L1
from unilth.sims.recipe import Rewind, Rounds
from unilth.sims.records import dump
from unilth.sims.spec import RunSpec
from unilth.sims.stopping import EarlyStopping, Epochs, SettledMask
from unilth.sims.streams import stream
from unilth.sims.training import Masking, Phase, Training

PRUNING = tuple(name for name in zoo.NAMES if name != "dense")
SHORT = Budget(epochs=12, tune=0.25, batch=128)
QUICK = {"epochs": 6, "batch": 256, "sparsity": 0.9}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def lenet(seed: int = 0) -> torch.nn.Module:
    return build("lenet-300-100", (1, 8, 8), 10, stream(seed, "initial"))


def search(digits, recipe, *, sparsity: float = 0.9, network=None, budget: Budget = SHORT, seed: int = 0):
    chosen = zoo.row(recipe).recipe if isinstance(recipe, str) else recipe
    done = Search(chosen, network or lenet(), digits, sparsity, seed, budget)
    return done, done.run()


def ticket_faults(ticket, sparsity: float) -> set[str]:
    """What is wrong with a ticket as such."""
    wrong = set()
    if masks.pruned_of(ticket.mask) not in (
        masks.pruned_count(masks.size_of(ticket.mask), sparsity),  # global
        sum(masks.pruned_count(kept.numel(), sparsity) for kept in ticket.mask.values()),  # in each layer
    ):
        wrong.add("count")
    if any(ticket.weights[name][~kept].count_nonzero() for name, kept in ticket.mask.items()):
        wrong.add("not zero")
    if any(
        bool(kept.logical_and(~before[n]).any()) for before, after in pairs(ticket.masks) for n, kept in after.items()
    ):
        wrong.add("revived")
    if any(ticket.weights[name].data_ptr() == ticket.initial[name].data_ptr() for name in ticket.weights):
        wrong.add("alias")
    return wrong


def may(name: str) -> set[str]:
    """What a recipe's tickets may have: where weights are told by magnitude, as published, others can come back."""
    return {"revived"} if zoo.row(name).recipe.rounds.hard == "last" else set()


def pairs(sequence):
    return list(itertools.pairwise(sequence))


@pytest.mark.parametrize("name", PRUNING)
def test_every_recipe_finds_a_ticket(digits, name):
    network = lenet()
    start = {key: value.clone() for key, value in network.state_dict().items()}
    done, ticket = search(digits, name, network=network)
    assert ticket_faults(ticket, 0.9) <= may(name)
    assert len(ticket.masks) == zoo.row(name).recipe.rounds.number
    assert all(torch.equal(start[key], value) for key, value in network.state_dict().items())  # ours to read only
    assert all(torch.equal(start[key], value) for key, value in ticket.initial.items())
    assert done.used == SHORT.epochs == len(done.rows)  # equal total epochs, whatever the recipe
    assert done.rows[-1]["validation_accuracy"] > 0.5  # of ten classes, after twelve epochs


def test_the_ticket_check_catches_broken_tickets(digits):
    _, ticket = search(digits, "unilth")
    revived = {name: ~kept for name, kept in ticket.masks[0].items()}
    for broken, fault in (
        (dataclasses.replace(ticket, mask=masks.full(ticket.mask)), "count"),
        (dataclasses.replace(ticket, weights=ticket.initial), "not zero"),
        (dataclasses.replace(ticket, masks=(ticket.masks[0], revived)), "revived"),
        (dataclasses.replace(ticket, initial=ticket.weights), "alias"),
    ):
        assert fault in ticket_faults(broken, 0.9)
    assert "count" in ticket_faults(ticket, 0.91)


def test_dense_prunes_nothing(digits):
    _, ticket = search(digits, "dense")
    assert masks.pruned_of(ticket.mask) == 0 and ticket.masks == ()


def test_conv_with_batch_norm_too(digits):
    network = build("conv-small", (1, 8, 8), 10, stream(0, "initial"))
    for name in ("lth", "unilth"):
        _, ticket = search(digits, name, network=network)
        assert ticket_faults(ticket, 0.9) == set()
        assert set(ticket.mask) == {"conv1.weight", "conv2.weight", "conv3.weight", "fc.weight"}
        assert not torch.equal(ticket.weights["norm1.running_mean"], ticket.initial["norm1.running_mean"])


class Odd(torch.nn.Module):
    """A tied weight under two names, a frozen layer, dropout and a layer that is not prunable."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.first, self.middle = torch.nn.Linear(64, 32), torch.nn.Linear(32, 32)
        self.again, self.frozen = torch.nn.Linear(32, 32), torch.nn.Linear(32, 32)
        self.again.weight = self.middle.weight
        self.frozen.requires_grad_(False)
        self.norm, self.drop, self.last = torch.nn.LayerNorm(32), torch.nn.Dropout(dropout), torch.nn.Linear(32, 10)
        for parameter in self.parameters():
            torch.nn.init.normal_(parameter, std=0.2, generator=stream(len(parameter), "odd"))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden = self.first(inputs.flatten(1)).relu()
        hidden = self.again(self.middle(hidden).relu()).relu()
        return self.last(self.drop(self.norm(self.frozen(hidden))))


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
@pytest.mark.parametrize("name", PRUNING)
def test_a_layer_may_be_empty(digits, name):
    with torch.random.fork_rng():
        network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
        network[1].register_module("none", torch.nn.Linear(4, 0))
    _, ticket = search(digits, name, network=network)
    assert ticket_faults(ticket, 0.9) - {"alias"} <= may(name)  # what is empty lies nowhere
    assert ticket.mask["1.none.weight"].shape == (0, 4)


@pytest.mark.parametrize("name", ["lth", "dlth", "unilth"])
def test_tied_and_frozen_weights_too(digits, name):
    _, ticket = search(digits, name, network=Odd())
    assert ticket_faults(ticket, 0.9) == set()
    assert set(ticket.mask) == {"first.weight", "middle.weight", "frozen.weight", "last.weight"}
    assert torch.equal(ticket.weights["again.weight"], ticket.weights["middle.weight"])
    frozen = masks.apply(ticket.mask, ticket.initial)["frozen.weight"]
    assert torch.equal(ticket.weights["frozen.weight"], frozen)
    _, bare = search(digits, name, network=Odd(), budget=Budget(6, tune=0.0, batch=256))  # as pruned, not trained again
    assert ticket_faults(bare, 0.9) == set()


def test_dropout_follows_the_seed_and_leaves_the_global_generator_alone(digits):
    def ticket(seed: int, elsewhere: int) -> str:
        with torch.random.fork_rng():
            network = Odd(dropout=0.5)
            torch.manual_seed(elsewhere)
            before = torch.get_rng_state()
            found = find("omp", network, digits, 0.5, seed=seed, budget=Budget(4, batch=256)).digest()
            assert torch.equal(torch.get_rng_state(), before)
        return found

    assert ticket(0, 1) == ticket(0, 2) != ticket(1, 1)
    plain = find("omp", Odd(), digits, 0.5, seed=0, budget=Budget(4, batch=256)).digest()
    assert plain != ticket(0, 1)  # the dropout does something


def before_tuning(digits, recipe, monkeypatch) -> tuple[Search, dict[str, torch.Tensor]]:
    """The state from which the last training starts."""
    states = []
    original = Search._prune_and_rewind

    def spy(self, free_again):
        original(self, free_again)
        states.append(self._state())

    monkeypatch.setattr(Search, "_prune_and_rewind", spy)
    done, _ = search(digits, recipe)
    return done, states[-1]


def test_lth_rewinds_everything_to_initialisation(digits, monkeypatch):
    done, state = before_tuning(digits, "lth", monkeypatch)
    expected = masks.apply(done.mask, done.initial)
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    _, left = before_tuning(digits, "omp", monkeypatch)
    assert not all(torch.equal(left[name], masks.apply(done.mask, done.initial)[name]) for name in expected)


def test_rounds_that_go_on_are_rewound_at_the_end_only(digits, monkeypatch):
    plain = zoo.row("unilth").recipe
    rewinding = dataclasses.replace(plain, rewind=Rewind("initial"))
    done, state = before_tuning(digits, rewinding, monkeypatch)
    expected = masks.apply(done.mask, done.initial)
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    other, _ = before_tuning(digits, plain, monkeypatch)
    assert masks.digest(done.mask) == masks.digest(other.mask)
    original = Search._prune_and_rewind
    monkeypatch.setattr(Search, "_prune_and_rewind", lambda self, free_again: original(self, True))
    every_round, _ = search(digits, rewinding)  # would choose the later rounds by the initial weights
    assert masks.digest(done.mask) != masks.digest(every_round.mask)


def test_rewinding_to_a_step_restores_that_step(digits, monkeypatch):
    recipe = dataclasses.replace(zoo.row("lth").recipe, rewind=Rewind("step", 5), rounds=Rounds(2, free="each"))
    done, state = before_tuning(digits, recipe, monkeypatch)
    early = dataclasses.replace(recipe, stop=Epochs(1))
    other, again = before_tuning(digits, early, monkeypatch)  # trained for less, so pruned otherwise; step 5 is step 5
    both = masks.intersection(done.mask, other.mask)
    assert all(torch.equal(state[n][both[n]], again[n][both[n]]) for n in both)
    assert not torch.equal(state["fc1.bias"], done.initial["fc1.bias"])
    assert torch.equal(state["fc1.bias"], again["fc1.bias"])
    with pytest.raises(UserError, match="step 999"):
        search(digits, dataclasses.replace(recipe, rewind=Rewind("step", 999)))


def test_l1_shrinks_prunable_weights_and_nothing_else(digits):
    without = search(digits, dataclasses.replace(zoo.row("l1").recipe, penalty=None))[0].network
    pressed = search(digits, dataclasses.replace(zoo.row("l1").recipe, penalty=L1(3e-3)))[0].network
    ratio = {
        name: float(weight.detach().abs().sum() / other.detach().abs().sum())
        for (name, weight), other in zip(pressed.named_parameters(), without.parameters(), strict=True)
    }
    assert all(value < 0.9 for name, value in ratio.items() if name.endswith("weight")), ratio
    network = torch.nn.Linear(64, 10)
    phase = Phase("free", 1, 1, lr=0.1, lasso=0.5)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    Masking(optimizer, network, phase)
    before = {name: value.clone() for name, value in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert torch.allclose(network.weight, before["weight"] - 0.05 * before["weight"].sign(), atol=1e-7)
    assert torch.equal(network.bias, before["bias"])


def test_the_penalty_is_zero_before_the_early_stop_and_then_grows(digits):
    done, _ = search(digits, "unilth", budget=Budget(epochs=40, tune=0.25, batch=128))
    free = [row for row in done.rows if row["phase"] == "free"]
    press = [row for row in done.rows if row["phase"] == "press"]
    assert free and all(row["penalty"] == 0 for row in free) and all(p["weight_decay"] == 0 for p in done.phases)
    assert [p["phase"] for p in done.phases] == ["free"] + ["press"] * 5 + ["tune"]
    for number in range(1, 6):
        path = [row["penalty"] for row in press if row["round"] == number]
        assert path == sorted(path) and path[-1] == 1.0


def test_early_bird_stops_when_its_mask_at_the_sparsity_asked_settles(digits):
    recipe = zoo.row("early-bird").recipe
    settled, _ = search(digits, recipe, sparsity=0.98)  # two masks differ in 4% at most, so five epochs are enough
    assert [phase["epochs"] for phase in settled.phases] == [5, 7]
    strict = dataclasses.replace(recipe, stop=SettledMask(tolerance=1e-6))
    never, _ = search(digits, strict, sparsity=0.5)
    assert [phase["epochs"] for phase in never.phases] == [9, 3]  # all that is not for fine-tuning


def test_extruded_weights_are_near_zero_before_the_hard_prune(digits, monkeypatch):
    sizes = {}
    original = Search._prune_and_rewind

    def spy(self, free_again):
        weights = masks.prunable(self.network)
        going = torch.cat([weights[n].detach()[~kept] for n, kept in self.mask.items()])
        staying = torch.cat([weights[n].detach()[kept] for n, kept in self.mask.items()])
        sizes[self.recipe] = float(going.square().mean() / staying.square().mean())
        original(self, free_again)

    monkeypatch.setattr(Search, "_prune_and_rewind", spy)
    pressed = zoo.row("dlth").recipe
    bare = dataclasses.replace(pressed, penalty=None, stop=Epochs())
    for recipe in (pressed, bare):
        search(digits, recipe)
    assert sizes[pressed] < 0.01 < 0.5 < sizes[bare]


def test_test_data_is_never_read(digits):
    poisoned = dataclasses.replace(digits, test=(digits.test[0] * float("nan"), digits.test[1]))
    first, second = (find("unidlth", lenet(), each, 0.9, seed=1, budget=SHORT) for each in (digits, poisoned))
    assert first.digest() == second.digest()
    moved = dataclasses.replace(digits, train=(digits.train[0] + 0.01, digits.train[1]))
    assert find("unidlth", lenet(), moved, 0.9, seed=1, budget=SHORT).digest() != first.digest()


def test_a_spec_and_nothing_else_decides_the_record():
    spec = RunSpec("unidlth", **QUICK)
    _, record = execute(spec)
    stop = threading.Event()

    def disturb() -> None:
        while not stop.is_set():
            torch.rand(1000).sum()

    other = threading.Thread(target=disturb)
    before = torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(12345)
        torch.set_num_threads(2)
        other.start()
        try:
            _, again = execute(spec)
        finally:
            stop.set()
            other.join()
            assert torch.get_num_threads() == 2  # ours for the run only
            torch.set_num_threads(before)
    assert record.pop("timing").keys() == again.pop("timing").keys()
    assert dump(record) == dump(again)
    _, elsewhere = execute(dataclasses.replace(spec, seed=1))
    assert elsewhere["ticket_digest"] != record["ticket_digest"] != ""


def test_the_record_says_what_was_done():
    spec = RunSpec("unilth", **QUICK)
    ticket, record = execute(spec)
    assert json.loads(dump(record)) == json.loads(json.dumps(record))
    assert record["spec"] == dataclasses.asdict(spec) and record["spec_digest"] == spec.digest()
    assert len(record["epochs"]) == spec.epochs == sum(phase["epochs"] for phase in record["phases"])
    sparsity = record["sparsity"]
    zeros = sum(int((ticket.weights[name] == 0).sum()) for name in ticket.mask)
    assert sparsity["pruned"] == zeros == 45_180 and sparsity["weights"] == 50_200
    assert sparsity["counted"] == zeros / 50_200 and set(sparsity["layers"].values()) == {0.9}
    assert record["mask_digest"] == masks.digest(ticket.mask) and record["ticket_digest"] == ticket.digest()
    assert record["test"]["examples"] == 360 and record["recipe"]["stop"]["patience"] == 5
    assert record["stopping_epoch"] is None and record["best_epoch"] >= 1  # six epochs, and a patience of five
    assert record["timing"]["seconds"] > 0 and record["data_digest"] == load("digits").digest()


def test_one_seed_starts_every_recipe_from_the_same_weights():
    tickets = [execute(RunSpec(name, **QUICK))[0] for name in ("omp", "lth", "unilth")]
    for other in tickets[1:]:
        assert all(torch.equal(tickets[0].initial[name], value) for name, value in other.initial.items())


def test_progress_counts_every_epoch():
    seen = []
    execute(RunSpec("lth", **QUICK), progress=lambda done, total, what: seen.append((done, total)))
    assert seen == [(epoch, 6) for epoch in range(1, 7)]


def test_tiny_budgets_still_end_with_the_sparsity_asked(digits):
    tiny = Budget(epochs=1, tune=0.4, batch=256)
    for name in PRUNING:
        if zoo.row(name).recipe.rewind.to == "step":
            with pytest.raises(UserError, match="rewinding to step 8 needs that many steps"):
                search(digits, name, budget=tiny)
            continue
        _, ticket = search(digits, name, budget=tiny)
        assert ticket_faults(ticket, 0.9) <= may(name)


def test_what_cannot_be_run_is_refused(digits):
    with pytest.raises(UserError, match="lower lr"):
        search(digits, "omp", budget=Budget(epochs=4, lr=1e4, batch=128))
    with pytest.raises(UserError, match="exceed the budget"):
        search(digits, dataclasses.replace(zoo.row("lth").recipe, stop=Epochs(10)))
    with pytest.raises(UserError, match="sparsity"):
        find("omp", lenet(), digits, 1.2, seed=0)
    with pytest.raises(UserError, match="did you mean 'unilth'"):
        find("unlth", lenet(), digits, 0.5, seed=0)
    with pytest.raises(UserError, match="no data set"):
        execute(RunSpec("omp", data="x"))
    assert isinstance(zoo.row("unilth").recipe.stop, EarlyStopping)


@pytest.mark.parametrize(("name", "again"), [("lth", True), ("lth-step", True), ("lth-rate", False)])
def test_rewinding_starts_every_generator_again(digits, name, again, monkeypatch):
    """Order of the data, augmentation, dropout: a rewound round sees what the first round saw."""
    seen = []

    class Noted(Training):
        def run(self, tick=None):
            if self.phase.name == "free":
                states = (self.order.get_state(), self.chance.get_state(), torch.get_rng_state())
                seen.append([state.clone() for state in states])
            return super().run(tick)

    monkeypatch.setattr("unilth.sims.find.Training", Noted)
    scans = [((inputs * 20 + 80).clamp(0, 255).byte(), labels) for inputs, labels in (digits.train, digits.validation)]
    data = Dataset("digits", 10, *scans, scans[1], (0.3,), (0.1,), Augment(crop=1))
    search(data, name, network=Odd(0.5))
    assert len(seen) == 5
    for later in seen[1:]:
        assert [torch.equal(first, now) for first, now in zip(seen[0], later, strict=True)] == [again] * 3
