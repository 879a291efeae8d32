"""Whether the answer is a trained state of the network: runs that were written down by hand, on both sides."""

from __future__ import annotations

import pytest
import torch

from tests.sims.invariants.recorded import CASE, PRUNED, Tiny, forward, recorded, state, step, verdict
from unilth.sims.invariants import finder_result as results
from unilth.sims.invariants import finder_state, problems

ENDED = {"a_weight": [[6, 5, 0, 0]], "b_weight": [[7], [0]]}
HALFWAY = {"a_weight": [[5, 4, 0, 0]], "b_weight": [[6], [0]]}
START = [forward(state()), step(state()), forward(state(**PRUNED))]
WHOLE = [*START, step(state(**HALFWAY)), forward(state(**HALFWAY)), step(state(**ENDED))]


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(problems, "network", lambda case: Tiny())


def answered(events=WHOLE, live=(), **changes):
    seen = recorded(events, weights=state(**changes))
    seen.live = list(live)
    return verdict(finder_state.check_self_contained, seen)


NEVER = ".weights is a state that the network never had"


def test_the_answer_is_a_state_of_training():
    assert answered(**ENDED) == "" and answered(**HALFWAY) == ""
    assert answered(**ENDED | {"a_weight": [[6, 5, 8, 9]]}) == "", "what is pruned is not looked at here"
    assert answered(**ENDED | {"a_weight": [[6, 5.1, 0, 0]]}) == NEVER
    assert answered(**ENDED | {"b_bias": [1, 3]}) == NEVER
    assert answered([forward(state())], **ENDED) == "not judged: no optimizer step on the network was seen"
    elsewhere = state(a_weight=[[9, 8, 0, 0]])
    assert answered(a_weight=[[9, 8, 0, 0]]) == NEVER
    assert answered(live=[elsewhere], a_weight=[[9, 8, 0, 0]]) == "", "as it was left"


def test_an_answer_between_states_may_be_an_average():
    between = "not judged: the answer lies between states of training, as an average of them does"
    assert answered(a_weight=[[5.5, 4.5, 0, 0]], b_weight=[[6.5], [0]]) == between
    assert answered(a_weight=[[6, 3, 0, 0]], b_weight=[[5], [0]]) == between, "ends count"
    for low, high in ((3.9, 6.1), (3.9, 5), (5, 6.1)):
        kept = [[low, 4, 0, 0]] if low < 4 else [[high, 4, 0, 0]]
        assert answered(a_weight=kept, b_weight=[[6], [0]]) == NEVER
    assert answered(a_weight=[[5.5, 4.5, 0, 0]], b_weight=[[8], [0]]) == NEVER


def test_buffers_belong_to_the_parameters():
    """Parameters that the network had, with statistics that it did not have then."""

    def with_mean(value, **changes):
        return state(**changes) | {"n.running_mean": torch.tensor([value])}

    dense = [forward(with_mean(0.0)), step(with_mean(1.0))]
    events = [*dense, forward(with_mean(1.0, **PRUNED)), step(with_mean(2.0, **ENDED))]
    seen, judge = recorded(events, weights=with_mean(2.0, **ENDED)), finder_state.check_self_contained
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(problems, "network", lambda case: Norm())
        seen.given |= with_mean(0.0)
        assert verdict(judge, seen) == ""
        seen.result.weights = with_mean(1.0, **ENDED)
        got = ".weights is a state with other buffers (batch-norm statistics) than it had then"
        assert verdict(judge, seen) == got
        seen.result.weights = with_mean(9.0, **ENDED)
        new = "not judged: the buffers are those of no state that was seen: they may have been taken anew"
        assert verdict(judge, seen) == new
        seen.given |= with_mean(9.0)
        assert verdict(judge, seen) == got, "as they were given"
        seen.result.weights = state(**ENDED)
        assert verdict(judge, seen).startswith("a fresh network cannot load .weights: ")
        assert len(verdict(judge, seen)) <= len("a fresh network cannot load .weights: ") + 160


def mean(value, **changes):
    return state(**changes) | {"n.running_mean": torch.tensor([float(value)])}


EARLY, LATE = mean(2, **HALFWAY), mean(3, **ENDED)
TRAINING = [forward(mean(0)), step(mean(1)), forward(mean(1, **PRUNED)), step(EARLY), forward(EARLY), step(LATE)]
MIXED = mean(3, **HALFWAY)
PATCHED = ".weights has the parameters of one trained state, and the buffers (batch-norm statistics) of another"


def looked(values, training=False, model=0):
    event = forward(values, learns=False)
    event.training, event.model = training, model
    return event


@pytest.mark.parametrize(
    ("more", "live", "answer", "got"),
    [
        ([], EARLY, EARLY, ""), ([], LATE, LATE, ""), ([], MIXED, MIXED, PATCHED),
        ([looked(MIXED)], LATE, MIXED, PATCHED), ([looked(MIXED, training=True)], LATE, MIXED, PATCHED),
        ([forward(MIXED)], LATE, MIXED, ""), ([looked(MIXED, training=True)], mean(4, **HALFWAY), MIXED, PATCHED),
        ([step(MIXED)], LATE, MIXED, ""), ([looked(EARLY, training=True)], MIXED, MIXED, ""),
        ([looked(EARLY, training=True), looked(MIXED)], LATE, MIXED, ""), ([looked(EARLY)], MIXED, MIXED, PATCHED),
        ([looked(EARLY, training=True), looked(LATE)], MIXED, MIXED, PATCHED),
        ([looked(EARLY, training=True, model=1)], MIXED, MIXED, PATCHED),
        ([], mean(9, **HALFWAY), mean(9, **HALFWAY), ""),  # statistics that were taken in some other way
        ([], mean(3, a_weight=[[9, 8, 0, 0]]), mean(3, a_weight=[[9, 8, 0, 0]]), ""),  # parameters of no training
        ([], mean(3, **HALFWAY | {"a_weight": [[5, 4, 7, 7]]}), MIXED, PATCHED),  # what is pruned is not looked at
    ],
)  # fmt: skip
def test_parameters_and_buffers_are_of_one_trained_state(more, live, answer, got, monkeypatch):
    monkeypatch.setattr(problems, "network", lambda case: Norm())
    seen = recorded([*TRAINING, *more], weights=answer)
    seen.live = [live]
    assert verdict(finder_state.check_self_contained, seen) == got


class Norm(Tiny):
    def __init__(self):
        super().__init__()
        self.n = torch.nn.Module()
        self.n.register_buffer("running_mean", torch.zeros(1))


def test_an_answer_from_before_the_training_is_named():
    got = ".weights as they were before the 2 optimizer steps under the mask"
    assert answered(**PRUNED) == got
    assert answered(**PRUNED | {"a_weight": [[4, 3, 7, 7]]}) == got
    assert answered([*WHOLE, step(state(**PRUNED))], **PRUNED) == "", "it came back"
    assert answered(START, **PRUNED) == "", "no step was seen after it"
    assert answered([*START, step(state(**PRUNED)), step(state(**ENDED))], **PRUNED) == "", "it stood still once"
    assert answered(WHOLE[:2], a_weight=[[4, 3, 0, 0]], b_weight=[[5], [0]]) == "", "nothing was trained under the mask"


def test_masking_keeps_what_is_not_masked():
    mask = {"a": torch.tensor([True, False])}
    found = finder_state.masked({"a": torch.tensor([2.0, 3.0]), "b": torch.tensor([4.0])}, mask)
    assert found["a"].tolist() == [2.0, 0.0] and found["b"].tolist() == [4.0]


def test_a_dense_ticket_is_trained_if_a_sparse_one_is():
    ones = {"a.weight": [[1] * 4], "b.weight": [[1], [1]]}
    case = CASE | {"sparsity": 0.0}

    def judged(sparse_weights, weights, **more):
        seen, sparse = recorded(mask=ones, weights=weights), recorded(weights=sparse_weights)
        subject = results.Subject(lambda: None, None, None)
        subject.memory[f"{sorted(case.items())}/1/0"] = seen
        subject.memory[f"{sorted({**case, 'sparsity': 0.73}.items())}/1/0"] = sparse
        try:
            results.check_dense(subject, case)
        except Exception as violation:
            return violation.got
        return ""

    untrained = ".weights are .initial at sparsity 0, and are not at sparsity 0.73"
    assert judged(state(**ENDED), state()) == untrained
    assert judged(state(a_weight=[[4, 3, 9, 9]], b_weight=[[5], [7]]), state()) == "", "nobody trains"
    assert judged(state(**ENDED), state(a_weight=[[4, 3, 1, 7]])) == ""
    assert judged(state(**ENDED), state(a_weight=[[4, 3, 0, 7]])).startswith("1 weights of 'a.weight' are exactly 0")
    ones["b.weight"] = [[0], [0]]
    assert judged(state(**ENDED), state()) == "2 weights of 'b.weight' pruned at sparsity 0"


def test_keys_hooks_gradients_and_modes_of_the_callers_network():
    judge = results.check_untouched
    extra = recorded()
    extra.network.register_buffer("n", torch.zeros(1))
    assert verdict(judge, extra) == "the network's state has the keys ['n'] more or less"
    fewer = recorded()
    del fewer.network.b.bias
    assert verdict(judge, fewer) == "the network's state has the keys ['b.bias'] more or less"
    for hook in ("register_forward_hook", "register_forward_pre_hook"):
        hooked = recorded()
        getattr(hooked.network.b, hook)(lambda *_: None)
        assert verdict(judge, hooked) == "hooks are left on the caller's network"
    frozen = recorded()
    frozen.network.a.bias.requires_grad_(False)
    assert verdict(judge, frozen) == "requires_grad of the caller's parameters was changed"
    graded = recorded()
    graded.network.a.bias.grad = torch.zeros(1)
    assert verdict(judge, graded) == "gradients are left on a.bias of the caller's network"
