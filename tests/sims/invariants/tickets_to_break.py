"""A saved ticket to break: files and facts are changed by functions."""

import dataclasses
import json

import torch
from safetensors.torch import load_file, save_file

from unilth.sims.spec import RunSpec
from unilth.sims.tickets import Ticket


def saved(folder):
    chance = torch.Generator().manual_seed(1)
    initial = {"a.weight": torch.randn(5, 3, generator=chance), "a.bias": torch.ones(5), "n": torch.tensor(3)}
    mask = {"a.weight": torch.arange(15).reshape(5, 3) >= 7}
    weights = {**initial, "a.weight": initial["a.weight"] * mask["a.weight"]}
    return Ticket(mask, weights, initial, 0.5, "omp", "tiny").save(folder)


def edit(path, tensors=None, facts=None):
    """Change tensors or facts of a saved ticket, each by a function."""
    if tensors:
        held = load_file(path)
        tensors(held)
        save_file(held, path)
    if facts:
        where = path.parent / "ticket.json"
        held = json.loads(where.read_text())
        facts(held)
        where.write_text(json.dumps(held))


def redigest(path):
    """Make the stated digest fit the tensors again, so that only the intended mistake is left."""
    from unilth.sims.invariants.saved import open_ticket

    held = open_ticket(path)
    digest = Ticket(held.mask(), held.part("weights"), held.part("initial")).digest()
    edit(path, facts=lambda facts: facts.update(digest=digest))


def specified(recipe="omp", network="tiny", sparsity=0.5, **more):
    return lambda facts: facts.update(spec=dataclasses.asdict(RunSpec(recipe, network, sparsity=sparsity, **more)))
