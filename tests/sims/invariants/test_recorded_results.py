"""The judges of a finder's answer on runs that were written down by hand: each verdict on both sides of its line."""

from __future__ import annotations

import math
from types import MappingProxyType, SimpleNamespace

import pytest
import torch

from tests.sims.invariants.recorded import CASE, FINAL, MASK, PRUNED, forward, recorded, state, step, tensors, verdict
from unilth.sims.invariants import finder_abilities as abilities
from unilth.sims.invariants import finder_result as results
from unilth.sims.invariants.finder_run import equal_states, state_of
from unilth.sims.invariants.finder_state import held_at_zero
from unilth.sims.invariants.invariant import NotJudged, Violation


def answer(judge, part, **changes):
    seen = recorded()
    getattr(seen.result, part).update(changes.pop("raw", {}))
    return verdict(judge, seen, **changes)


@pytest.mark.parametrize(
    ("part", "raw", "got"),
    [
        ("mask", {"a.weight": torch.ones(1, 4)}, ".mask['a.weight'] of dtype torch.float32"),
        ("mask", {"a.weight": torch.ones(4).bool()}, ".mask['a.weight'] of shape (4,)"),
        ("mask", {"zzz": torch.ones(4).bool()}, ".mask['zzz'] of shape (4,)"),
        ("weights", {"a.weight": torch.ones(4)}, ".weights['a.weight'] of shape (4,)"),
        ("initial", {"zzz": torch.ones(4)}, ".initial['zzz'] of shape (4,)"),
        ("weights", {"a.weight": torch.ones(1, 4).double()}, ".weights['a.weight'] of dtype torch.float64"),
        ("initial", {"a.bias": torch.tensor([math.nan])}, ".initial['a.bias'] holds NaN or infinity"),
        ("weights", {"a.weight": torch.tensor([[1, 2, math.inf, 3]])}, ".weights['a.weight'] holds NaN or infinity"),
    ],
)
def test_a_part_that_does_not_fit_is_named(part, raw, got):
    assert answer(results.check_form, part) == "" and answer(results.check_form, part, raw=raw) == got
    seen = recorded()
    del getattr(seen.result, part)["a.weight"]
    assert verdict(results.check_form, seen) == ("" if part == "mask" else f".{part} without a.weight")


def test_the_whole_state_is_asked_for_where_it_is_not_asked_for_elsewhere():
    seen = recorded()
    del seen.result.weights["a.bias"]
    assert verdict(results.check_form, seen) == "", "loading .weights into a fresh network asks for it"
    del seen.result.initial["b.bias"]
    assert verdict(results.check_form, seen) == ".initial without b.bias"
    for shape in ((1, 3), (2, 4), (1, 5)):
        got = f".weights['a.weight'] of shape {shape}"
        assert answer(results.check_form, "weights", raw={"a.weight": torch.ones(shape)}) == got


@pytest.mark.parametrize(("part", "ok"), [
    ({"a": torch.ones(1)}, True), (MappingProxyType({"a": torch.ones(1)}), True), ({"a": 1.0}, False), (None, False),
    (MappingProxyType({"a": 1.0}), False), ([torch.ones(1)], False), ({}, True),
])  # fmt: skip
def test_a_part_is_whatever_has_named_tensors(part, ok):
    answered = SimpleNamespace(weights=part)
    if ok:
        assert state_of(answered, "weights") == dict(part)
        return
    with pytest.raises(Violation, match=f".weights of type {type(part).__name__}"):
        state_of(answered, "weights")


@pytest.mark.parametrize("name", ["a.weight", "a.bias"])
def test_a_pruned_weight_is_zero_in_the_answer(name):
    seen = recorded(weights=state(**PRUNED | {"a_weight": [[4, 3, 7, 8]]} if name == "a.weight" else PRUNED))
    if name == "a.bias":
        seen.result.mask[name] = torch.tensor([False])
    got = "2 pruned weights of 'a.weight' are not 0" if name == "a.weight" else "1 pruned weights of 'a.bias' are not 0"
    assert verdict(results.check_zero, seen) == got and verdict(results.check_zero, recorded()) == ""


def test_nothing_but_weights_is_masked_and_each_of_them_is():
    judge = results.check_prunable_only
    assert verdict(judge, recorded()) == ""
    assert answer(judge, "mask", raw={"a.bias": torch.tensor([True])}) == "", "a mask of ones prunes nothing"
    assert answer(judge, "mask", raw={"b.bias": torch.tensor([True, False])}) == "b.bias pruned"
    seen = recorded(mask={"b.weight": MASK["b.weight"]})
    assert verdict(judge, seen) == "no mask for a.weight"
    seen.network.a.weight.requires_grad_(False)
    assert verdict(judge, seen) == ""
    masked = recorded()
    masked.network.a.weight.requires_grad_(False)
    assert verdict(judge, masked) == "", "a frozen weight may have a mask"


@pytest.mark.parametrize(
    ("gone", "sparsity", "scopes"),
    [  # 4 + 2 weights; at 0.5 floor gives 3 in all, 2 + 1 by layers; at 0.7 4 in all, 2 + 1 = 3 by layers
        ((2, 1), 0.5, {"global", "layer", "other"}), ((1, 2), 0.5, {"global", "other"}), ((3, 1), 0.5, set()),
        ((2, 0), 0.5, set()), ((2, 1), 0.7, {"layer", "other"}), ((2, 2), 0.7, {"global", "other"}),
        ((3, 0), 0.7, {"other"}), ((3, 2), 0.7, set()), ((1, 1), 0.7, set()),
    ],
)  # fmt: skip
@pytest.mark.parametrize("scope", ["global", "layer", "other"])
def test_the_sparsity_is_counted_where_it_is_claimed(gone, sparsity, scope, scopes):
    seen = recorded(mask={"a.weight": [[n >= gone[0] for n in range(4)]], "b.weight": [[n >= gone[1]] for n in (0, 1)]})
    seen.result.mask["a.bias"] = torch.tensor([False])  # judged elsewhere
    found = verdict(results.check_sparsity, seen, case=CASE | {"sparsity": sparsity}, scope=scope)
    assert bool(found) == (scope not in scopes)
    if found and scope != "layer":
        assert found == f"{sum(gone)} of 6 pruned"
    elif found:
        assert found in (f"{gone[0]} of 4 pruned in 'a.weight'", f"{gone[1]} of 2 pruned in 'b.weight'")


def test_the_initial_state_is_the_given_or_the_first_that_learned():
    judge, other, third = results.check_initial, state(a_weight=[[9, 9, 9, 9]]), state(b_weight=[[7], [7]])
    events = [step(third), forward(third, learns=False), forward(other), step(other), forward(third), step(third)]
    assert verdict(judge, recorded(events)) == "" and verdict(judge, recorded(events, initial=other)) == ""
    got = ".initial holds neither the given nor the first trained weights in b.weight"
    assert verdict(judge, recorded(events, initial=third)) == got
    trained = recorded(events, initial=third, weights=third)
    assert verdict(judge, trained) == ".initial holds the weights after training in b.weight"
    nothing = "not judged: no training was seen, so where it started is not known"
    for unseen in ([], [forward(other, learns=False), step(other)]):
        assert verdict(judge, recorded(unseen, initial=state(b_bias=[9, 9]))) == nothing
        assert verdict(judge, recorded(unseen)) == ""
    mixed = (
        other | {name: value for name, value in state().items() if name == "a.weight"} | {"b.weight": third["b.weight"]}
    )
    assert verdict(judge, recorded(events, initial=mixed)) == got
    two = state(a_weight=[[9] * 4], b_weight=[[7], [7]])
    halves = recorded([forward(two), step(two)], initial=two | {"a.weight": state()["a.weight"]})
    assert verdict(judge, halves).endswith("first trained weights in b.weight"), "one state, and not parts of two"


@pytest.mark.parametrize(
    ("start", "right"),
    [
        ({"a_weight": [[9, -7, 0, 0]], "b_weight": [[7], [0]]}, True),
        ({"a_weight": [[9, -7, 5, 0]], "b_weight": [[7], [0]]}, True),  # under an earlier mask
        ({"a_weight": [[9, 0, 5, 5]], "b_weight": [[7], [7]]}, False),  # a weight that is kept
        ({"a_weight": [[9, -7, 4, 0]], "b_weight": [[7], [0]]}, False),
        ({"a_weight": [[9, -7, 0, 0]], "b_weight": [[7], [0]], "b_bias": [0, 0]}, False),  # biases have no mask
    ],
)
def test_an_initial_state_that_was_cut_off_before_it_learned_is_known_by_the_rest(start, right):
    initial = state(a_weight=[[9, -7, 5, 5]], b_weight=[[7], [7]], b_bias=[3, 3])
    first = state(**{"b_bias": [3, 3]} | start)
    seen = recorded([forward(first), step(first)], initial=initial)
    assert (verdict(results.check_initial, seen) == "") == right


@pytest.mark.parametrize(("count", "right"), [(0, True), (1, True), (2, False), (3, True), (4, False)])
def test_buffers_of_the_initial_state_may_be_those_of_the_first_start(count, right):
    """The given state counts 0, the first start 1, a second one 2, a third 3."""
    new = [state(), state(a_weight=[[1, -2, 1, -2]], b_weight=[[1], [-1]])]
    new += [
        state(a_weight=[[-9, 9, -9, 9]], b_weight=[[-9], [-9]]),
        state(a_weight=[[0, 5, 9, -9]], b_weight=[[-9], [9]]),
    ]
    starts = [one | {"bn.count": torch.tensor(number)} for number, one in enumerate(new)]
    events = []
    for model, start in enumerate(starts[1:]):
        events += [forward(start, model=model), step(start, model=model)]
    seen = recorded(events, initial=starts[3] | {"bn.count": torch.tensor(count)})
    seen.given = starts[0]
    assert len(seen.starts()) == 3, "none learned that was like the given one"
    got = ".initial holds neither the given nor the first trained weights in bn.count"
    assert verdict(results.check_initial, seen) == ("" if right else got)


@pytest.mark.parametrize(("part", "other"), [("weights", "initial"), ("initial", "network"), ("weights", "network")])
def test_the_parts_share_no_memory(part, other):
    seen = recorded()
    source = seen.network.state_dict() if other == "network" else seen.result.initial
    assert verdict(results.check_own_memory, seen) == ""
    getattr(seen.result, part)["a.bias"] = source["a.bias"]
    whom = "the caller's network" if other == "network" else ".weights"
    what = ".initial" if (part, other) == ("weights", "initial") else f".{part}"
    assert verdict(results.check_own_memory, seen) == f"{what}['a.bias'] shares memory with {whom}"


def test_the_callers_network_and_data_are_as_they_were():
    seen = recorded()
    assert verdict(results.check_untouched, seen) == "" and verdict(results.check_data, seen) == ""
    seen.network.b.eval()
    assert "switched between training and evaluation" in verdict(results.check_untouched, seen)
    with torch.no_grad():
        seen.network.a.bias += 1
    assert verdict(results.check_untouched, seen) == "the caller's network was changed: a.bias"
    for split in ("train", "validation"):
        for place, what in enumerate(("inputs", "labels")):
            seen = recorded()
            getattr(seen.data, split)[place][1] += 1
            assert verdict(results.check_data, seen) == f"data.{split} {what} were changed in place"


def test_no_layer_is_emptied():
    empty = {"a.weight": [[0, 0, 0, 0]], "b.weight": [[0], [1]]}
    assert verdict(results.check_no_empty_layer, recorded(mask=empty)) == "no weight left in a.weight"
    assert verdict(results.check_no_empty_layer, recorded()) == ""


def test_the_masks_of_the_rounds_are_nested():
    last = tensors(MASK, torch.bool)
    full = {name: torch.ones_like(kept) for name, kept in last.items()}
    less = {name: torch.zeros_like(kept) for name, kept in last.items()}
    judge = results.check_nested
    assert verdict(judge, recorded(masks=[full, last])) == "" and verdict(judge, recorded(masks=[last, last])) == ""
    assert verdict(judge, recorded()) == verdict(judge, recorded(masks=[])) == "no .masks in the answer"
    assert verdict(judge, recorded(masks=[less, last])) == "3 weights pruned in round 1 are kept in round 2"
    assert verdict(judge, recorded(masks=[full, less, last])) == "3 weights pruned in round 2 are kept in round 3"
    assert verdict(judge, recorded(masks=[last])) == ""
    assert verdict(judge, recorded(masks=[full, last, less])) == "the last of .masks differs from .mask"
    assert verdict(judge, recorded(masks=[full, full])) == "the last of .masks differs from .mask"


@pytest.mark.parametrize(
    ("masks", "got"),
    [
        (3, ".masks of type int"), (iter(()), ".masks of type tuple_iterator"), ({}, ".masks of type dict"),
        ([3], "round 1"), ([{}], "round 1"), (["last", {}], "round 2"), (["float"], "round 1"), (["flat"], "round 1"),
        ([{"a.weight": [[True] * 4], "b.weight": [[True]] * 2}], "round 1"), (["narrow"], "round 1"),
        (["wide"], "round 1"), (["more"], "round 1"),
    ],
)  # fmt: skip
def test_rounds_that_are_no_masks_are_named(masks, got):
    last = tensors(MASK, torch.bool)
    forms = {"last": last, "float": tensors(MASK), "flat": {name: kept.flatten() for name, kept in last.items()}}
    forms |= {
        "narrow": last | {"a.weight": torch.ones(1, 3).bool()},
        "wide": last | {"a.weight": torch.ones(2, 4).bool()},
    }
    forms["more"] = last | {"c.weight": torch.ones(1).bool()}
    if isinstance(masks, list):
        masks = [forms[one] if isinstance(one, str) else one for one in masks]
    found = verdict(results.check_nested, recorded(masks=masks))
    assert found == (got if got[0] == "." else f"the mask of {got} differs from .mask in type, names, shapes or dtype")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (torch.ones(1, 4).to_sparse(), "torch.sparse_coo"), (torch.ones(1, 4, device="meta"), "meta"),
        (torch.nested.nested_tensor([torch.ones(4)], layout=torch.jagged), "nested"), (torch.ones(1, 4), ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("part", ["weights", "initial"])
def test_the_answer_is_of_dense_tensors(part, value, kind):
    seen = recorded()
    getattr(seen.result, part)["a.weight"] = value
    found = verdict(results.check_form, seen)
    assert found == (f".{part}['a.weight'] as a {kind} tensor" if kind else "")


def test_a_dense_ticket_holds_no_weight_at_zero():
    full = {"a.weight": [[1, 1, 1, 1]], "b.weight": [[1], [1]]}
    judge, trained = results.check_dense, state(a_weight=[[4, 3, 1, 9]])
    assert verdict(judge, recorded(mask=full, weights=trained)) == ""
    assert verdict(judge, recorded(weights=state())) == "2 weights of 'a.weight' pruned at sparsity 0"
    below = state(a_weight=[[-4, -3, -1, -9]])
    assert verdict(judge, recorded(mask=full, weights=below)) == ""
    held = "2 weights of 'a.weight' are exactly 0 at sparsity 0"
    assert verdict(judge, recorded(mask=full, weights=state(**PRUNED))) == held


ZERO, ALIVE = state(a_weight=[[4, 3, 0, 2]]), state()
OTHER = state(a_weight=[[5, 3, 1, 2]])  # more than the zero differs from it


@pytest.mark.parametrize(
    ("events", "got"),
    [
        ([], "held"), ([forward(ALIVE)], "held"), ([forward(ALIVE), step(ALIVE), forward(ZERO)], "held"),
        ([forward(ALIVE), step(ALIVE), forward(ALIVE)], "held"),  # pruned after the last step
        ([forward(OTHER), step(OTHER), forward(OTHER)], ""), ([step(ALIVE), *[forward(ZERO)] * 2], "held"),
        ([step(ALIVE), forward(ZERO), forward(ALIVE)], "held"),  # another point on the way to the step
        ([step(OTHER), forward(ZERO, learns=False), forward(OTHER)], ""),
        ([step(OTHER), forward(OTHER), *[step(OTHER), forward(ZERO)] * 2], ""),
        ([step(ALIVE), forward(ALIVE), *[step(ALIVE), forward(ZERO)] * 3], "held"),
        ([step(OTHER), forward(OTHER), *[step(OTHER), forward(ZERO)] * 3], "held"),
        ([step(OTHER), forward(ZERO), forward(OTHER)], "held"),
        ([step(OTHER), forward(ZERO), forward(OTHER, learns=False), forward(OTHER)], "held"),
        ([step(OTHER), forward(state(a_weight=[[3.9, 3, 0, 2]]))], "shrunk"),
        ([step(ZERO, before=ALIVE), forward(ZERO)], "shrunk"), ([step(ZERO, before=ZERO), forward(ZERO)], "held"),
        ([step(state(b_weight=[[5], [0]]), before=ALIVE), forward(ZERO)], "held"),  # another one was
    ],
)  # fmt: skip
def test_a_weight_that_is_zero_for_once_is_not_held_there(events, got):
    full = {"a.weight": [[1, 1, 1, 1]], "b.weight": [[1], [1]]}
    texts = {
        "": "", "held": "1 weights of 'a.weight' are exactly 0 at sparsity 0",
        "shrunk": "not judged: weights are 0 that training may have brought there, as a proximal step does",
    }  # fmt: skip
    assert verdict(results.check_dense, recorded(events, mask=full, weights=ZERO)) == texts[got]


BELOW, LESS = state(a_weight=[[5, 3, -1, 2]]), state(a_weight=[[4, 3, -1, 2]])
LOW, HIGH = state(a_weight=[[-4, 3, 0, 2]]), state(a_weight=[[9, 3, 0, 2]])


@pytest.mark.parametrize(
    ("events", "answer", "held"),
    [
        ([step(BELOW), forward(BELOW)], ZERO, "no"), ([step(BELOW, before=OTHER), forward(ZERO)], ZERO, "yes"),
        ([step(ZERO, before=LESS), forward(ZERO)], ZERO, "shrunk"),
        ([step(ALIVE), forward(ALIVE)], LOW, "no"), ([step(ALIVE), forward(ALIVE)], HIGH, "no"),
        ([step(ALIVE), forward(ALIVE)], ZERO, "yes"),
    ],
)  # fmt: skip
def test_a_weight_below_zero_is_not_held_at_zero(events, answer, held):
    """And one that was 0 from the start neither."""
    seen = recorded(events, weights=answer)
    if held == "shrunk":
        with pytest.raises(NotJudged, match="proximal"):
            held_at_zero(seen)
    else:
        assert held_at_zero(seen) == ({"a.weight": 1} if held == "yes" else {})
        seen.result.initial = LESS
        assert held_at_zero(seen) == ({"a.weight": 1} if held == "yes" else {}), "it began below 0"
    if events[0].state is not ALIVE:
        seen.result.initial = ZERO
        assert held_at_zero(seen) == {}


def test_the_optimizers_state_is_zero_under_the_mask():
    seen = recorded([*FINAL, step(state(**PRUNED))])
    why = "not judged: the optimizer keeps no state for the weights"
    seen.optimizer_state = [("a.bias", "momentum_buffer", torch.ones(1))]
    assert verdict(abilities.check_optimizer_state, seen) == why
    held = ("a.weight", "momentum_buffer", torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    seen.optimizer_state = [held]
    assert verdict(abilities.check_optimizer_state, seen) == ""
    seen.optimizer_state = [held, ("b.weight", "exp_avg", torch.tensor([[0.0], [1.0]]))]
    assert verdict(abilities.check_optimizer_state, seen) == "exp_avg of 1 pruned weights of 'b.weight' is not 0"


def test_states_are_compared_under_the_names_that_are_asked_for():
    one, other = state(), state(b_bias=[9, 9])
    assert not equal_states(one, other) and equal_states(one, other, ["a.weight"])
    assert not equal_states(one, other, ["a.weight", "b.bias"])


def test_tied_weights_stay_tied():
    both = torch.tensor([1.0, 0.0])
    seen = recorded([*FINAL, step(state(**PRUNED))])
    assert verdict(abilities.check_tied, recorded(FINAL, weights={"second.weight": both})).startswith(
        ".weights without"
    )
    seen.result.weights |= {"second.weight": both, "third.weight": both.clone()}
    assert verdict(abilities.check_tied, seen) == ""
    seen.result.mask["second.weight"] = both.bool()
    for event in seen.events:
        event.state["second.weight"] = both
    assert verdict(abilities.check_tied, seen) == ""
    seen.result.mask["third.weight"] = ~both.bool()
    assert verdict(abilities.check_tied, seen) == "the tied weight has two masks"
    seen.result.weights["third.weight"] = both + 1
    assert verdict(abilities.check_tied, seen) == "second.weight and third.weight, one tensor before, differ"


@pytest.mark.parametrize(("pruned", "got"), [(None, 2), (0, 1), (2, 2)])
def test_frozen_weights_keep_their_values_where_they_are_kept(pruned, got):
    seen = recorded()
    seen.given["first.weight"] = torch.tensor([1.0, 2.0, 3.0])
    seen.result.weights["first.weight"] = torch.tensor([0.0, 9.0, 3.0])
    if pruned is not None:
        seen.result.mask["first.weight"] = torch.arange(3) != pruned
    assert verdict(abilities.check_frozen, seen) == f"{got} values of the frozen 'first.weight' changed"
    seen.result.weights["first.weight"] = seen.given["first.weight"].clone()
    assert verdict(abilities.check_frozen, seen) == ""


def test_half_precision_gives_an_exact_ticket_in_half_precision():
    seen = recorded([*FINAL, step(state(**PRUNED))])
    seen.result.weights["first.weight"] = torch.ones(1)
    assert verdict(abilities.check_bfloat16, seen) == "weights of dtype torch.float32"
    seen.result.weights["first.weight"] = torch.ones(1, dtype=torch.bfloat16)
    assert verdict(abilities.check_bfloat16, seen) == ""
    seen.result.weights["a.weight"] = state()["a.weight"]
    assert verdict(abilities.check_bfloat16, seen) == "2 pruned weights are not 0"


@pytest.mark.parametrize("row", [row for row in abilities.FINDER_ABILITIES if row.id != "finder-dropout"])
def test_an_answer_without_form_is_judged_by_its_form(row):
    seen = recorded([*FINAL, step(state(**PRUNED))])
    del seen.result.weights["a.weight"]
    assert verdict(row.check, seen) == ".weights without a.weight"
