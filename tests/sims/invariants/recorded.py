"""Runs of ticket finders that are written down by hand, and what a judge says of one."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import torch
from torch import nn

from unilth.sims.invariants.declarations import TicketFinder
from unilth.sims.invariants.finder_run import Run
from unilth.sims.invariants.invariant import NotJudged, Plan, Subject, Violation
from unilth.sims.invariants.observe import Event
from unilth.sims.invariants.problems import Data

CASE = {"problem": "mlp", "sparsity": 0.5, "seed": 1}
MASK = {"a.weight": [[1, 1, 0, 0]], "b.weight": [[1], [0]]}
GIVEN = {"a.weight": [[4, 3, 1, 2]], "a.bias": [1], "b.weight": [[5], [2]], "b.bias": [1, 2]}
ROWS = {"train": [1.0, 2.0, 3.0], "validation": [5.0, 6.0]}


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 1), nn.Linear(1, 2)

    def forward(self, x):
        return self.b(self.a(x).relu())


def tensors(values, dtype=torch.float32):
    return {name: torch.tensor(value, dtype=dtype) for name, value in values.items()}


def state(**changes):
    """The given state with some tensors replaced; names with _ for the dot."""
    return tensors(GIVEN | {name.replace("_", "."): value for name, value in changes.items()})


PRUNED = {"a_weight": [[4, 3, 0, 0]], "b_weight": [[5], [0]]}


def rows(numbers):
    """An input for each number, unlike the others."""
    return torch.eye(8)[torch.tensor(numbers).long()]


def forward(values, learns=True, **more):
    return Event("forward", values, training=learns, learns=learns, **more)


def step(values, **more):
    return Event("step", values, training=True, **more)


def learns(values, numbers=(1.0, 2.0, 3.0), pull=(-0.5, 0.5), logits=(0.0, 0.0)):
    """A training pass over rows with the gradient of their mean cross-entropy (all are of class 0)."""
    n = len(numbers)
    sizes = {"logits": torch.tensor([logits] * n), "pull": torch.tensor([pull] * n) / n}
    return forward(values, rows=rows(numbers), **sizes)


def recorded(events=(), mask=None, live=(), **result) -> Run:
    network, given = Tiny(), state()
    network.load_state_dict(given)
    splits = ((rows(ROWS[split]), torch.zeros(len(ROWS[split]), dtype=torch.long)) for split in ("train", "validation"))
    data = Data(*splits)
    answer = {"mask": tensors(MASK if mask is None else mask, torch.bool), "weights": state(**PRUNED)}
    answer = answer | {"initial": state()} | result
    modes = {name: module.training for name, module in network.named_modules()}
    learnable = dict.fromkeys(dict(network.named_parameters()), True)
    names = ["a.weight", "b.weight"]
    return Run(
        network, given, modes, learnable, data, copy.deepcopy(data), SimpleNamespace(**answer), list(events), names,
        list(live),
    )  # fmt: skip


def verdict(judge, seen, other=None, key="repeat", case=CASE, **claims) -> str:
    """What the judge says of the run: "" (passed), what it got, or "not judged: " and why."""
    subject = Subject(lambda: None, TicketFinder(**claims), Plan("quick"))
    subject.memory[f"{sorted(case.items())}/1/0"] = seen
    if other is not None:
        same, seeded = sorted(case.items()), sorted({**case, "seed": case["seed"] + 1}.items())
        subject.memory[{"repeat": f"{same}/1/1", "world": f"{same}/2/0", "seed": f"{seeded}/1/0"}[key]] = other
    try:
        judge(subject, case)
    except Violation as violation:
        return violation.got
    except NotJudged as reason:
        return f"not judged: {reason}"
    return ""


FINAL = [forward(state()), step(state()), forward(state(**PRUNED))]
"""Training, and the first pass under the mask."""
