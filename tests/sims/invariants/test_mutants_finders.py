"""Ticket finders: what mutation testing found untested in the kit. These do not train; their answers are judged."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from unilth.sims import masks
from unilth.sims.invariants import check, ticket_finder


def answer(network: nn.Module, mask: masks.Mask) -> SimpleNamespace:
    initial = {name: value.clone() for name, value in network.state_dict().items()}
    return SimpleNamespace(mask=mask, weights=masks.apply(mask, initial), initial=initial)


def magnitudes(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight.detach().abs() for name, weight in masks.prunable(network).items()}


def status(finder, id: str, case=None) -> tuple[str, str]:
    (row,) = check(finder, budget="quick", only=id, case=case).invariants
    return row.status, row.got or ""


@pytest.mark.parametrize("moved", [False, True])
def test_layers_are_counted_one_by_one_where_that_is_claimed(moved):
    @ticket_finder(keeps="other", scope="layer")
    def finder(network, data, sparsity, *, seed):
        mask = masks.layer_magnitude(magnitudes(network), sparsity)
        if moved:  # one weight less here, one more there: the sum is right
            first, second = (mask[name].view(-1) for name in sorted(mask)[:2])
            first[(~first).nonzero()[0]], second[second.nonzero()[0]] = True, False
        return answer(network, mask)

    found, got = status(finder, "finder-exact-sparsity")
    assert found == ("violated" if moved else "passed") and (not moved or " pruned in '" in got)


@pytest.mark.parametrize("change", ["adds", "loses", "nothing"])
def test_the_callers_network_keeps_its_names(change):
    @ticket_finder(keeps="other", scope="global")
    def finder(network, data, sparsity, *, seed):
        given = copy.deepcopy(network)
        if change == "adds":
            network.register_buffer("zzz_mask", torch.ones(1))
        elif change == "loses":
            last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
            last.bias = None
        return answer(given, masks.global_magnitude(magnitudes(given), sparsity))

    found, got = status(finder, "finder-network-untouched")
    assert found == ("passed" if change == "nothing" else "violated") and (change == "nothing" or "keys" in got)


def test_a_layer_without_a_mask_is_named():
    @ticket_finder(keeps="other")
    def finder(network, data, sparsity, *, seed):
        mask = masks.layer_magnitude(magnitudes(network), sparsity)
        return answer(network, {name: kept for name, kept in mask.items() if name != sorted(mask)[0]})

    found, got = status(finder, "finder-prunable-only")
    assert found == "violated" and got.startswith("no mask for ")


def test_a_round_that_revives_weights_is_named():
    @ticket_finder(keeps="other", nested=True)
    def finder(network, data, sparsity, *, seed):
        last = masks.layer_magnitude(magnitudes(network), sparsity)
        found = answer(network, last)
        other = {name: torch.ones_like(kept).flatten() for name, kept in last.items()}
        for name, kept in other.items():
            kept[last[name].flatten().nonzero()[0]] = False  # pruned in the second round, kept in the last
        found.masks = [last, {name: kept.view(last[name].shape) & last[name] for name, kept in other.items()}, last]
        return found

    found, got = status(finder, "finder-nested")
    assert found == "violated" and got.endswith("weights pruned in round 2 are kept in round 3")


def test_frozen_weights_may_be_masked_or_not():
    @ticket_finder(keeps="other", handles={"frozen"})
    def finder(network, data, sparsity, *, seed):
        weights = {name: value for name, value in network.state_dict().items() if value.dim() > 1}
        return answer(network, masks.layer_magnitude({name: value.abs() for name, value in weights.items()}, sparsity))

    @ticket_finder(keeps="other", handles={"frozen"})
    def other(network, data, sparsity, *, seed):
        return answer(network, masks.layer_magnitude(magnitudes(network), sparsity))

    case = {"problem": "frozen", "sparsity": 0.5, "seed": 1}
    assert [status(each, "finder-prunable-only", case)[0] for each in (finder, other)] == ["passed", "passed"]


@pytest.mark.parametrize(
    ("claims", "found"), [({"scope": "global"}, "violated"), ({"scope": "other"}, "passed"), ({}, "passed")]
)
def test_rounding_by_layer_is_wrong_only_where_the_global_count_is_claimed(claims, found):
    @ticket_finder(keeps="other", **claims)
    def finder(network, data, sparsity, *, seed):
        return answer(network, masks.layer_magnitude(magnitudes(network), sparsity))

    assert status(finder, "finder-exact-sparsity", {"problem": "mlp", "sparsity": 0.307, "seed": 1})[0] == found


@pytest.mark.parametrize("part", ["weights", "initial"])
@pytest.mark.parametrize("wrong", [None, [], {"first.weight": 1}])
def test_a_part_of_the_answer_that_is_no_state_is_named(part, wrong):
    @ticket_finder(keeps="other")
    def finder(network, data, sparsity, *, seed):
        found = answer(network, masks.layer_magnitude(magnitudes(network), sparsity))
        setattr(found, part, wrong)
        return found

    found, got = status(finder, "finder-form")
    assert found == "violated" and f".{part}" in got
