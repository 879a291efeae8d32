"""What a case stands for, so that a replay line means the same next year: what mutation testing found untested."""

from __future__ import annotations

import math

import hypothesis
import pytest
import torch
from torch.nn import functional as F

from unilth.errors import UserError
from unilth.sims.invariants import cases, check, mask_rule, problems, runner
from unilth.sims.invariants.catalogue import find_invariant
from unilth.sims.invariants.invariant import Invariant, Plan, Subject, fail
from unilth.sims.invariants.runner import Session

MLP = {"first": (20, 64), "second": (16, 20), "last": (10, 16)}
CONV = {"conv1": (8, 1, 3, 3), "conv2": (8, 8, 3, 3), "last": (10, 128)}
TIED = {"first": (16, 64), "second": (16, 16), "third": (16, 16), "last": (10, 16)}


def test_the_sparsities_are_all_sixteenths_the_simplest_first():
    assert sorted(cases.EXACT) == [k / 16 for k in range(1, 16)]
    simple = [sparsity.as_integer_ratio()[1] for sparsity in cases.EXACT]
    assert simple == sorted(simple) and cases.EXACT[0] == 0.5


def test_what_is_wrong_with_a_case_is_said_in_words():
    with pytest.raises(UserError, match=r"cannot be read \(shapes is missing\)"):
        cases.read_scores({})
    with pytest.raises(UserError, match=r"draw 'zipf' is none of distinct, equal, few, normal"):
        cases.read_scores({"shapes": {"a": [2]}, "draw": "zipf"})
    with pytest.raises(UserError, match="16,777,217 weights are more than 16,777,216"):
        cases.read_scores({"shapes": {"a": [2**24], "b": [1]}, "draw": "equal"})
    assert cases.read_scores({"shapes": {"a": [3, 0]}})["a"].shape == (3, 0)
    with pytest.raises(UserError, match="negative size"):
        cases.read_scores({"shapes": {"a": [3, -1]}})
    with pytest.raises(UserError, match=r"its scores \(a is missing\)"):
        cases.read_within({"within": {"b": [1]}}, {"a": torch.ones(1)})


def test_a_case_is_filled_as_it_was_when_its_replay_line_was_written():
    def drawn(draw):
        (scores,) = cases.read_scores({"shapes": {"a": [2, 3]}, "draw": draw, "draw_seed": 5}).values()
        assert scores.shape == (2, 3) and scores.dtype == torch.float32
        return scores.flatten().tolist()

    assert drawn("distinct") == [5.0, 3.0, 6.0, 4.0, 1.0, 2.0]
    assert drawn("few") == [2.0, 1.0, 2.0, 1.0, 2.0, 2.0]
    assert drawn("equal") == [1.0] * 6
    assert drawn("normal") == pytest.approx([-1.1788, -1.1482, 0.6695, -2.2939, -0.1434, -2.2561], abs=1e-4)


@pytest.mark.parametrize(
    ("problem", "weights", "dtype", "rows"),
    [
        ("mlp", MLP, torch.float32, 192),
        ("conv", CONV, torch.float32, 192),
        ("residual", CONV, torch.float32, 192),
        ("float64", MLP, torch.float64, 192),
        ("overfit", MLP, torch.float32, 64),
        ("dropout", MLP, torch.float32, 192),
        ("tied", TIED, torch.float32, 192),
        ("frozen", MLP, torch.float32, 192),
        ("bfloat16", MLP, torch.bfloat16, 192),
    ],
)
def test_each_problem_is_what_its_name_says(problem, weights, dtype, rows):
    data, made = problems.data({"problem": problem}), problems.network({"problem": problem})
    shapes = {name: tuple(value.shape) for name, value in made.state_dict().items() if value.dim() > 1}
    assert shapes == {f"{name}.weight": shape for name, shape in weights.items()}
    assert problems.prunable(made) == [f"{name}.weight" for name in weights if (problem, name) != ("tied", "third")]
    assert {value.dtype for value in (*made.parameters(), data.train[0], data.validation[0])} == {dtype}
    assert data.shape == (1, 8, 8) and data.classes == 10 and set(data.train[1].tolist()) == set(range(10))
    assert [len(part) for part in (*data.train, *data.validation)] == [rows, rows, 96, 96]
    first = [1, 8, 0, 9, 3] if problem == "overfit" else [8, 8, 7, 9, 0]
    assert data.train[1][:5].tolist() == first and data.validation[1][:5].tolist() == [5, 7, 8, 2, 8]
    assert data.train[0].mean().abs() < 0.01 and (data.train[0].std() - 1.0).abs() < 0.01
    together = torch.cat([data.train[0], data.validation[0]]).flatten(1)
    assert len(together.unique(dim=0)) == rows + 96, "no training row is a validation row"
    frozen = [name for name, parameter in made.named_parameters() if not parameter.requires_grad]
    assert frozen == (["first.weight"] if problem == "frozen" else [])


@pytest.mark.parametrize("problem", list(problems.PROBLEMS))
def test_weights_start_with_a_variance_that_suits_relu(problem):
    made = problems.network({"problem": problem})
    for name in problems.prunable(made):
        weight = made.get_parameter(name).detach().double()
        ratio = weight.std() / (2.0 / weight[0].numel()) ** 0.5
        assert 0.75 < ratio < 1.25 and abs(weight.mean()) < 0.1, name
    biases = [parameter for name, parameter in made.named_parameters() if name.endswith("last.bias")]
    assert all(0.0 < bias.abs().max() < 0.05 for bias in biases)
    again, other = (problems.network({"problem": problem, "network_seed": seed}) for seed in (7, 8))
    own = torch.Generator().manual_seed(7)  # what a finder draws with the same seed
    weight = again.state_dict()[problems.prunable(again)[0]]
    assert not torch.equal(weight.sign(), torch.randn(weight.shape, generator=own).to(weight.dtype).sign())
    assert torch.equal(made.last.weight, again.last.weight) and not torch.equal(made.last.weight, other.last.weight)


def test_what_a_finder_does_to_its_data_stays_with_that_finder():
    for split in ("train", "validation"):
        given, again = (getattr(problems.data({"problem": "mlp"}), split) for _ in range(2))
        for part, other in zip(given, again, strict=True):
            part.fill_(3)
            assert (other != 3).any()


@pytest.mark.parametrize("residual", [False, True])
def test_only_the_residual_network_has_a_shortcut(residual):
    case = {"problem": "residual" if residual else "conv"}
    made, inputs = problems.network(case), problems.data(case).train[0][:5]
    made.eval()
    before = F.relu(made.norm1(F.conv2d(inputs, made.conv1.weight, stride=2, padding=1)))
    after = made.norm2(F.conv2d(before, made.conv2.weight, padding=1)) + (before if residual else 0.0)
    assert torch.equal(made(inputs), made.last(F.relu(after).flatten(1)))


@pytest.mark.parametrize("problem", ["mlp", "tied", "dropout", "bfloat16"])
def test_hidden_layers_come_one_after_the_other(problem):
    made, hidden = problems.network({"problem": problem}), problems.data({"problem": problem}).train[0][:5]
    made.eval()
    logits, hidden = made(hidden), hidden.flatten(1)
    for name, layer in made.named_children():
        hidden = F.relu(layer(hidden)) if name not in ("last", "dropout") else hidden
    assert logits.shape == (5, 10) and torch.equal(logits, made.last(hidden))


def test_a_tied_weight_is_used_twice_and_dropout_drops_three_in_ten():
    tied = problems.network({"problem": "tied"})
    assert tied.third.weight is tied.second.weight and tied.third.bias is not tied.second.bias
    assert problems.network({"problem": "dropout"}).dropout.p == 0.3
    assert problems.network({"problem": "mlp"}).dropout.p == 0.0


def test_what_a_case_leaves_out():
    """Seed 0, half of the weights, single precision, the first of the distinct draws: replay lines stay short."""
    asked = []

    def rule(scores, sparsity, *, within, generator):
        asked.append((scores, sparsity, within, generator.get_state()))

    subject = Subject(rule, None, Plan("quick"))
    cases.apply_rule(subject, {"shapes": {"a": [2, 3]}})
    whole = {"draw": "distinct", "draw_seed": 0, "sparsity": 0.5, "seed": 0, "dtype": "float32"}
    cases.apply_rule(subject, {"shapes": {"a": [2, 3]}, **whole})
    (first, *short), (second, *long) = asked
    assert torch.equal(first["a"], second["a"]) and first["a"].dtype == torch.float32
    assert short[:2] == long[:2] == [0.5, None] and torch.equal(short[2], long[2])
    assert torch.equal(short[2], torch.Generator().manual_seed(0).get_state())


def drawn_by(strategy):
    """Examples of a strategy, the same at every run."""
    seen = []

    @hypothesis.settings(max_examples=80, deadline=None, database=None, derandomize=True)
    @hypothesis.given(strategy)
    def look(case):
        seen.append(case)

    look()
    return seen


@pytest.mark.parametrize("ties", [False, True])
def test_what_is_searched_is_one_to_three_vectors_of_one_to_six_scores(ties):
    seen = drawn_by(cases.small_cases(ties=ties))
    assert {len(case["scores"]) for case in seen} == {1, 2, 3} and {case["sparsity"] for case in seen} <= {*cases.EXACT}
    assert {len(values) for case in seen for values in case["scores"].values()} == set(range(1, 7))
    different = set()
    for case in seen:
        assert list(case["scores"]) == list("abc")[: len(case["scores"])]
        scores = sorted(value for values in case["scores"].values() for value in values)
        assert set(scores) <= {1, 2} if ties else scores == list(range(1, len(scores) + 1))
        different |= {len(set(scores))}
    assert not ties or different == {1, 2}, "all scores equal, and some"


@pytest.mark.parametrize(("id", "sparsities"), [("mask-ties-count", {*cases.EXACT}), ("mask-sparsity-zero", {0.0})])
def test_where_ties_matter_they_are_searched(id, sparsities):
    seen = drawn_by(find_invariant(id, "mask-rule", "only").small(None))
    assert {case["sparsity"] for case in seen} <= sparsities
    assert any(len({*values}) < len(values) for case in seen for values in case["scores"].values())


def test_the_earlier_mask_that_is_searched_prunes_half_of_what_will_be_pruned_anywhere():
    places = set()
    for case in drawn_by(cases.small_within()):
        for name, values in case["scores"].items():
            gone = [place for place, kept in enumerate(case["within"][name]) if kept == 0]
            assert case["within"][name].count(1) == len(values) - len(gone)
            assert len(gone) == math.floor(case["sparsity"] * len(values)) // 2
            places |= set(gone)
    assert places == set(range(6))


@pytest.mark.parametrize("there", [False, True])
def test_the_second_device_is_the_one_that_torch_names(monkeypatch, there):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: there)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    assert cases.second_device() == (torch.device("cuda") if there else None)


@mask_rule(scope="global", keeps="largest")
def forgets_a_name(scores, sparsity, *, within=None, generator=None):
    return {}


@mask_rule(scope="global", keeps="largest")
def prunes_nothing(scores, sparsity, *, within=None, generator=None):
    return {name: score == score for name, score in scores.items()}


CASE = {"scores": {"a": [3, 1, 2, 4]}, "sparsity": 0.5}


def test_a_replayed_case_is_one_case_and_says_what_it_needs():
    (row,) = check(prunes_nothing, only="mask-exact-count-global", case=CASE).invariants
    assert (row.status, row.cases) == ("violated", 1)
    blocked, needed = check(forgets_a_name, only="mask-exact-count-global", case=CASE).invariants
    assert (blocked.id, blocked.status, blocked.cases) == ("mask-exact-count-global", "blocked", 0)
    assert blocked.seconds == 0.0
    assert (needed.id, needed.status, needed.cases) == ("mask-names", "violated", 1) and needed.id in blocked.note


@pytest.mark.parametrize(
    ("error", "raised", "words"),
    [
        (RuntimeError("other"), UserError, r"the case .* is none of mask-exact-count-global \(odd\)"),
        (SystemExit(3), UserError, r"the case .* is none of mask-exact-count-global \(odd\)"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
    ],
)
def test_a_prerequisite_that_cannot_be_judged_on_a_case_blocks_nothing(monkeypatch, error, raised, words):
    def fails(invariant, subject, case):
        raise RuntimeError("odd") if invariant.id == "mask-exact-count-global" else error

    monkeypatch.setattr(runner, "violated", fails)
    with pytest.raises(raised, match=words):
        check(prunes_nothing, only="mask-exact-count-global", case=CASE)


def test_a_prerequisite_that_was_run_is_reported_only_where_it_blocks():
    session = Session(forgets_a_name, Plan("quick"))
    rows = tuple(session.row(find_invariant(id, "mask-rule", "only")) for id in ("mask-names", "mask-order"))
    assert [row.status for row in rows] == ["violated", "blocked"] and session.blocking(rows) == ()
    assert session.blocking(rows[:1]) == () and session.blocking(rows[1:]) == rows[:1]


@pytest.mark.parametrize("numbers", [[1, 2, 9], [1, 2]])
def test_what_was_tried_is_counted_with_what_was_searched(numbers):
    asked = []

    def judge(subject, case):
        asked.append(case)
        if case["number"] > 2:
            fail(got="more", expected="at most 2")

    listed = [{"number": number} for number in numbers]
    small = hypothesis.strategies.integers(0, 50).map(lambda number: {"number": number})
    invariant = Invariant("x", "mask-rule", "s", "w", judge, lambda claims, plan: listed, small=lambda claims: small)
    row = Session(prunes_nothing, Plan("quick")).row(invariant)
    assert row.case == {"number": 3}
    assert row.cases == len(asked) - 1, "the smallest is judged once more, for what it got"


def test_one_case_replays_one_invariant():
    for only in (None, ["mask-order", "mask-names"]):
        with pytest.raises(UserError, match="case replays one invariant"):
            check(prunes_nothing, only=only, case=CASE)
    assert check(prunes_nothing, only=["mask-names"], case=CASE).ok


def test_a_case_from_python_is_as_finite_as_one_from_the_shell():
    with pytest.raises(UserError, match="is no JSON object"):
        check(prunes_nothing, only="mask-names", case={**CASE, "sparsity": float("nan")})


def test_a_replay_line_of_a_target_without_an_address_names_it():
    @mask_rule(scope="global", keeps="largest")
    def local(scores, sparsity, *, within=None, generator=None):
        return prunes_nothing(scores, sparsity)

    (row,) = check(local, only="mask-exact-count-global", budget="quick").violations
    assert row.replay == f"check(local, only='mask-exact-count-global', case={row.case}, seed=0)"
    (again,) = eval(row.replay).violations  # noqa: S307  # as pasted where the function is
    assert again.got == row.got
