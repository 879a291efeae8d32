"""A stateful machine: any sequence of prune, train, rewind, regrow and save keeps the laws of masks and weights."""

import hypothesis.strategies as st
import torch
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from torch import nn
from torch.nn import functional as F

from unilth.errors import UserError
from unilth.sims import masks
from unilth.sims.invariants.cases import pruned_count
from unilth.sims.training import Masking, Phase

SIZES = {"0.weight": (6, 5), "2.weight": (4, 6)}
TOTAL = 54


class TicketMachine(RuleBasedStateMachine):
    """A small network under our masks and our optimizer hooks."""

    def __init__(self):
        super().__init__()
        self.chance = torch.Generator().manual_seed(0)
        self.network = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 4))
        with torch.no_grad():
            for parameter in self.network.parameters():
                parameter.normal_(generator=self.chance)
        self.initial = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.saved = {name: value.clone() for name, value in self.initial.items()}
        self.mask = masks.full(masks.prunable(self.network))
        self.counts = 0
        self.optimizer = None

    @rule(
        hundredths=st.integers(0, 95),
        scope=st.sampled_from(["global", "layer"]),
        kind=st.sampled_from([masks.keep_largest, masks.keep_random]),
    )
    def prune(self, hundredths, scope, kind):
        sparsity = hundredths / 100
        scores = {name: weight.detach().abs() for name, weight in masks.prunable(self.network).items()}
        try:
            chosen = kind(scores, sparsity, scope=scope, within=self.mask, generator=self.chance)
        except UserError:  # more is pruned already than is asked
            asked = {name: pruned_count(sparsity, kept.numel()) for name, kept in self.mask.items()}
            gone = {name: int((~kept).sum()) for name, kept in self.mask.items()}
            over_layer = any(gone[name] > asked[name] for name in asked)
            assert over_layer if scope == "layer" else sum(gone.values()) > pruned_count(sparsity, TOTAL)
            return
        for name, kept in chosen.items():
            assert not (kept & ~self.mask[name]).any(), "nothing comes back"
        self.mask = chosen
        self.counts = masks.pruned_of(chosen)
        if scope == "global":
            assert self.counts == pruned_count(sparsity, TOTAL)
        self.network.load_state_dict(masks.apply(self.mask, self.network.state_dict()))

    @rule(
        steps=st.integers(1, 3),
        fresh=st.booleans(),
        make=st.sampled_from(
            [
                lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01),
                lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
                lambda p: torch.optim.Adam(p, 0.05),
                lambda p: torch.optim.AdamW(p, 0.05, weight_decay=0.1),
                lambda p: torch.optim.RMSprop(p, 0.05, momentum=0.9),
            ]
        ),
    )
    def train(self, steps, fresh, make):
        if fresh or self.optimizer is None:  # otherwise its state remembers weights that are pruned by now
            self.optimizer = make(self.network.parameters())
        optimizer = self.optimizer
        Masking(optimizer, self.network, Phase("train", 1, 1, 0.1, mask=self.mask))
        for _ in range(steps):
            optimizer.zero_grad()
            inputs = torch.randn(8, 5, generator=self.chance)
            F.cross_entropy(self.network(inputs), torch.arange(8) % 4).backward()
            optimizer.step()
            self.pruned_weights_are_zero()

    @rule()
    def rewind(self):
        self.network.load_state_dict(masks.apply(self.mask, self.initial))
        for name, weight in self.network.state_dict().items():
            kept = self.mask.get(name, torch.ones_like(weight, dtype=torch.bool))
            assert torch.equal(weight[kept], self.initial[name][kept])

    @precondition(lambda self: self.counts)
    @rule(data=st.data())
    def regrow(self, data):
        name = data.draw(st.sampled_from([n for n, kept in self.mask.items() if not kept.all()]))
        back = torch.zeros_like(self.mask[name])
        places = (~self.mask[name]).nonzero()
        back[tuple(places[data.draw(st.integers(0, len(places) - 1))])] = True
        grown = masks.union(self.mask, {n: back if n == name else torch.zeros_like(k) for n, k in self.mask.items()})
        assert masks.pruned_of(grown) == self.counts - 1
        assert masks.digest(masks.intersection(grown, self.mask)) == masks.digest(self.mask)
        self.mask, self.counts = grown, self.counts - 1

    @rule()
    def save_and_load(self):
        shapes = {name: tuple(kept.shape) for name, kept in self.mask.items()}
        self.mask = masks.unpacked(masks.packed(self.mask), shapes)

    @invariant()
    def pruned_weights_are_zero(self):
        state = self.network.state_dict()
        for name, kept in self.mask.items():
            assert not state[name][~kept].any()

    @invariant()
    def counts_agree(self):
        assert masks.pruned_of(self.mask) == self.counts
        assert {name: tuple(kept.shape) for name, kept in self.mask.items()} == SIZES

    @invariant()
    def the_initial_state_is_the_initial_state(self):
        assert all(torch.equal(self.initial[name], self.saved[name]) for name in self.saved)


TicketMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None, database=None)
TestTicketMachine = TicketMachine.TestCase
