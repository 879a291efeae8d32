"""Judging mask rules: what mutation testing found untested, or tested only by the long kill matrix."""

from __future__ import annotations

import pytest
import torch

from unilth.sims.invariants import cases, check, mask_rule
from unilth.sims.invariants.catalogue import find_invariant
from unilth.sims.invariants.declarations import MaskRule
from unilth.sims.invariants.globals import one_thread
from unilth.sims.invariants.invariant import NotJudged, Plan, Subject, Violation
from unilth.sims.invariants.mask_chance import check_seeds_differ
from unilth.sims.invariants.mask_counts import check_within
from unilth.sims.invariants.ours import global_magnitude, layer_magnitude
from unilth.sims.invariants.ranking import ranked

LARGEST = mask_rule(scope="global", keeps="largest")
RANDOM = mask_rule(scope="global", keeps="random")


def judged(target, id, **case):
    """The row of one invariant on one case."""
    (row,) = check(target, only=id, case=case).invariants
    return row


def answers(masks, scope="global", **claims):
    """A rule that always gives these masks, as far as they concern the layers that it is asked for."""

    @mask_rule(scope=scope, **{"keeps": "other", **claims})
    def rule(scores, sparsity, *, within=None, generator=None):
        return {name: torch.tensor(masks[name], dtype=torch.bool) for name in scores}

    return rule


@pytest.mark.parametrize(
    ("answer", "statuses"),
    [
        (lambda masks: None, ["violated", "blocked", "blocked"]),
        (lambda masks: {"a": masks["a"]}, ["violated", "blocked", "blocked"]),
        (lambda masks: {name: mask.tolist() for name, mask in masks.items()}, ["violated", "blocked", "blocked"]),
        (lambda masks: {name: mask.flatten().float() for name, mask in masks.items()}, ["passed", *["violated"] * 2]),
    ],
)
def test_of_three_things_that_are_wrong_with_the_form_those_are_told_that_can_be(answer, statuses):
    @LARGEST
    def rule(scores, sparsity, *, within=None, generator=None):
        return answer(ranked(scores, sparsity, within))

    report = check(rule, budget="quick", only=["mask-names", "mask-shapes", "mask-boolean"])
    assert [row.status for row in report.invariants] == statuses


def test_a_first_round_has_no_earlier_mask():
    @LARGEST
    def later_rounds(scores, sparsity, *, within, generator=None):
        return ranked(scores, sparsity, within)

    four = {"scores": {"a": [1, 2, 3, 4]}, "sparsity": 0.5}
    assert judged(later_rounds, "mask-names", **four).status == "passed"
    assert judged(later_rounds, "mask-names", **four, bare=True).status == "violated"


@pytest.mark.parametrize(
    ("form", "got"), [("to_sparse", "'a' has layout torch.sparse_coo"), ("meta", "'a' is on the device meta")]
)
def test_a_mask_without_values_is_said_to_be_one(form, got):
    @LARGEST
    def rule(scores, sparsity, *, within=None, generator=None):
        masks = ranked(scores, sparsity, within)
        return {name: mask.to_sparse() if form == "to_sparse" else mask.to(form) for name, mask in masks.items()}

    assert judged(rule, "mask-boolean", scores={"a": [1, 2, 3, 4]}, sparsity=0.5).got == got


@mask_rule(scope="layer", keeps="largest")
def refuses(scores, sparsity, *, within=None, generator=None):
    raise ValueError("an earlier mask is not to its liking")


@pytest.mark.parametrize(
    ("within", "fine"),
    [
        ({"a": [1, 1, 1, 1], "b": [1, 1, 1, 0]}, False),  # less is gone than is asked, in all and in each layer
        ({"a": [1, 1, 0, 0], "b": [1, 1, 0, 0]}, False),  # as much
        ({"a": [1, 1, 1, 1], "b": [1, 0, 0, 0]}, True),  # more in one layer, less in all
        ({"a": [1, 1, 0, 0], "b": [1, 0, 0, 0]}, True),  # more in all
    ],
)
def test_an_earlier_mask_may_be_refused_where_it_prunes_more_of_a_layer_than_is_asked(within, fine):
    scores = {"a": [1, 2, 3, 4], "b": [5, 6, 7, 8]}
    assert (judged(refuses, "mask-within", scores=scores, sparsity=0.5, within=within).status == "passed") == fine


@pytest.mark.parametrize(("gone", "status"), [((2, 1), "passed"), ((1, 2), "passed"), ((1, 1), "violated")])
def test_budgets_add_up_over_all_layers_however_they_are_shared(gone, status):
    masks = {name: [place >= count for place in range(3)] for name, count in zip("ab", gone, strict=True)}
    rule = answers(masks, "other", adds_up=True)
    row = judged(rule, "mask-budgets-add-up", scores={"a": [1, 2, 3], "b": [4, 5, 6]}, sparsity=0.5)
    assert row.status == status and (row.got or "2 of 6 pruned in all layers together").startswith("2 of 6")


@pytest.mark.parametrize("kept", [[1, 0, 0, 0], [1, 1, 1, 0]])
def test_infinite_scores_change_the_count_neither_way(kept):
    case = {"scores": {"a": [1, 2, 3, 4]}, "sparsity": 0.5, "infinite_at": [["a", 0]], "pruned": 2}
    row = judged(answers({"a": kept}, keeps="largest"), "mask-infinite-scores", **case)
    assert row.got == f"{4 - sum(kept)} weights pruned"


def test_each_infinite_score_must_be_kept():
    case = {"scores": {"a": [1, 2, 3, 4]}, "sparsity": 0.5, "infinite_at": [["a", 0], ["a", 1]], "pruned": 2}
    row = judged(answers({"a": [1, 0, 0, 1]}, keeps="largest"), "mask-infinite-scores", **case)
    assert row.got == "the infinite score 1 of 'a' is pruned"


def test_a_mask_that_stays_on_the_cpu_is_noticed(monkeypatch):
    """Scores without memory stand for scores on a GPU: the mask of this rule lies elsewhere."""
    monkeypatch.setattr(cases, "second_device", lambda: torch.device("meta"))
    row = judged(answers({"a": [0, 1]}, keeps="largest"), "mask-device", scores={"a": [1, 2]}, sparsity=0.5)
    assert row.got == "the mask of 'a' on cpu" and row.expected == "on meta, where its scores lie"


@pytest.mark.parametrize("weight", [[3], [[[[[3]]]]], [[[[[1, 2], [3, 4]]]]]])
def test_a_single_weight_and_five_dimensions_have_a_layout_too(weight):
    for rule in (global_magnitude, layer_magnitude):
        assert judged(rule, "mask-layout", scores={"a": weight, "b": [5, 6]}, sparsity=0.5).status == "passed"


def test_scores_are_shrunk_before_dtypes_are_compared():
    """Squares of small numbers underflow in half precision, and all of these are equal then."""

    @LARGEST
    def squares(scores, sparsity, *, within=None, generator=None):
        return ranked({name: score * score for name, score in scores.items()}, sparsity, within)

    case = {"scores": {"a": [4, 3, 2, 1]}, "sparsity": 0.5, "dtype": "float16"}
    assert judged(squares, "mask-dtype", shrink=1.0, **case).status == "passed"
    assert "float16 gives another mask than float32" in judged(squares, "mask-dtype", shrink=2.0**-20, **case).got


def test_an_input_that_was_replaced_by_an_equal_one_of_another_dtype_is_not_untouched():
    @LARGEST
    def widens(scores, sparsity, *, within=None, generator=None):
        scores.update({name: score.double() for name, score in scores.items()})
        return ranked(scores, sparsity, within)

    @LARGEST
    def empties_the_earlier_mask(scores, sparsity, *, within=None, generator=None):
        masks = ranked(scores, sparsity, within)
        for mask in (within or {}).values():
            mask.zero_()
        return masks

    case = {"scores": {"a": [1, 2, 3, 4]}, "sparsity": 0.5, "within": {"a": [0, 1, 1, 1]}}
    assert judged(widens, "mask-inputs-untouched", **case).got == "scores['a'] was changed in place"
    assert judged(empties_the_earlier_mask, "mask-inputs-untouched", **case).got == "within['a'] was changed in place"


def test_the_earlier_mask_is_not_handed_back_as_the_answer():
    @LARGEST
    def hands_back(scores, sparsity, *, within=None, generator=None):
        return ranked(scores, sparsity) if within is None else dict(within)

    case = {"scores": {"a": [2, 1], "b": [2, 1]}, "sparsity": 0.5, "within": {"a": [1, 0], "b": [1, 0]}}
    assert judged(hands_back, "mask-own-memory", **case).got == "editing the answer changed within['a']"


def test_problems_are_trained_on_one_thread_and_the_threads_are_put_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def seeded(masks_of):
    """A random rule that answers by the seed of its generator."""

    @RANDOM
    def rule(scores, sparsity, *, within=None, generator=None):
        return {name: torch.tensor(mask).bool() for name, mask in masks_of(generator.initial_seed()).items()}

    return rule


LEFT, RIGHT, EVEN = [1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("by_seed", "got"),
    [
        ({3: (LEFT, EVEN), 5: (RIGHT, LEFT), 9: (EVEN, RIGHT)}, None),
        ({3: (LEFT, LEFT), 5: (RIGHT, LEFT), 9: (EVEN, EVEN)}, None),  # equal by chance, at two seeds of three
        ({3: (LEFT, EVEN), 5: (LEFT, RIGHT), 9: (LEFT, LEFT)}, None),  # one layer only
        ({3: (LEFT, LEFT), 5: (RIGHT, RIGHT), 9: (EVEN, EVEN)}, "'a' and 'b' get equal masks whatever the seed"),
        ({3: (LEFT, EVEN), 5: (LEFT, EVEN), 9: (EVEN, LEFT)}, "seeds 3 to 9 give equal masks"),
        ({3: (LEFT, EVEN), 5: (EVEN, LEFT), 9: (LEFT, EVEN)}, "seeds 3 to 9 give equal masks"),
        ({3: (LEFT, EVEN), 5: (EVEN, LEFT), 9: (EVEN, LEFT)}, "seeds 3 to 9 give equal masks"),
    ],
)
def test_neither_two_seeds_nor_two_layers_share_their_masks(by_seed, got):
    for scope in ("global", "layer", "other"):
        assert said_of_seeds(by_seed, scope) == got


def said_of_seeds(by_seed, scope):
    """What is got of a rule that answers so at three seeds, or None."""
    rule = seeded(lambda seed: dict(zip("ab", by_seed[seed], strict=True)))
    subject = Subject(rule, MaskRule(scope, "random"), Plan("quick", 0))
    case = {"shapes": {"a": [4], "b": [4]}, "sparsity": 0.5, "seeds": [3, 5, 9]}
    try:
        check_seeds_differ(subject, case)  # by itself: a case this small could blame a right rule, and is refused
    except Violation as violation:
        return violation.got


ALL, NONE = [1] * 4, [0] * 4


@pytest.mark.parametrize(
    ("by_seed", "got"),
    [
        ({3: (LEFT, ALL), 5: (RIGHT, ALL), 9: (EVEN, ALL)}, None),  # b is spared
        ({3: (LEFT, ALL), 5: (ALL, ALL), 9: (ALL, RIGHT)}, None),  # each is drawn at one seed, if not at the first
        ({3: (ALL, LEFT), 5: (ALL, LEFT), 9: (ALL, RIGHT)}, "seeds 3 to 9 give equal masks"),
        ({3: (ALL, LEFT), 5: (NONE, LEFT), 9: (ALL, RIGHT)}, "seeds 3 to 9 give equal masks"),  # all or none: no draw
        ({3: (LEFT, LEFT), 5: (RIGHT, RIGHT), 9: (EVEN, EVEN)}, "'a' and 'b' get equal masks whatever the seed"),
    ],
)
def test_a_rule_with_budgets_of_its_own_is_judged_where_it_draws(by_seed, got):
    assert said_of_seeds(by_seed, "other") == got


def test_a_rule_with_budgets_of_its_own_that_draws_nothing_is_not_judged():
    with pytest.raises(NotJudged, match="draws nothing"):
        said_of_seeds(dict.fromkeys((3, 5, 9), (ALL, NONE)), "other")
    assert said_of_seeds(dict.fromkeys((3, 5, 9), (ALL, NONE)), "global") == "seeds 3 to 9 give equal masks"


class Refusing:
    """A rule that refuses earlier masks with what it is told to raise."""

    def __init__(self, error):
        self.error = error

    def __call__(self, scores, sparsity, *, within=None, generator=None):
        if within is not None:
            raise self.error
        return ranked(scores, sparsity)


FOUR, TWICE = {"a": [1, 2, 3, 4]}, {"a": [1, 2], "b": [3, 4]}


@pytest.mark.parametrize(
    ("scope", "case", "allowed"),
    [
        ("global", {"scores": FOUR, "within": {"a": [0, 0, 1, 1]}}, None),
        ("global", {"scores": FOUR, "within": {"a": [0, 0, 0, 1]}}, "prunes more than is asked"),
        ("layer", {"scores": TWICE, "within": {"a": [0, 0], "b": [1, 1]}}, "prunes more than is asked"),
        ("other", {"scores": FOUR, "within": {"a": [0, 1, 1, 1]}}, "prunes more than is asked"),
        ("other", {"scores": FOUR, "within": {"a": [1, 1, 1, 1]}}, None),
        ("layer", {"scores": TWICE, "within": {"b": [1, 1], "a": [1, 1]}}, "names the layers in another order"),
        ("layer", {"scores": {"b": [1, 2], "a": [3, 4]}, "within": {"a": [1, 1], "b": [1, 1]}}, "in another order"),
    ],
)
def test_when_an_earlier_mask_may_be_refused_and_how(scope, case, allowed):
    claims, case = MaskRule(scope, "largest"), {**case, "sparsity": 0.5}
    refused = Subject(Refusing(ValueError("no")), claims, Plan("quick"))
    if allowed:
        check_within(refused, case)
        with pytest.raises(Violation, match=f"expected ValueError, or a mask inside `within`, which .*{allowed}"):
            check_within(Subject(Refusing(KeyError("no")), claims, Plan("quick")), case)
    else:
        with pytest.raises(Violation, match="got raised ValueError: no; expected an answer"):
            check_within(refused, case)


def test_without_an_earlier_mask_there_is_nothing_to_stay_within():
    with pytest.raises(NotJudged, match="no earlier mask"):
        check_within(Subject(ranked, MaskRule("global", "largest"), Plan("quick")), {"scores": FOUR, "sparsity": 0.5})


@pytest.mark.parametrize(
    ("within", "what"), [({}, "scores"), ({"within": {"a": [[1, 1], [1, 1]]}}, "scores and earlier masks")]
)
def test_what_is_strided_is_named(within, what):
    @LARGEST
    def by_memory(scores, sparsity, *, within=None, generator=None):
        flat = {name: value.as_strided((value.numel(),), (1,)) for name, value in scores.items()}
        masks = ranked(flat, sparsity)
        return {name: masks[name].reshape(value.shape) for name, value in scores.items()}

    row = judged(by_memory, "mask-layout", scores={"a": [[1, 2], [3, 4]]}, sparsity=0.5, **within)
    assert row.got.startswith(f"strided {what} give other masks")


def test_no_count_after_an_earlier_mask_is_asked_of_budgets_of_ones_own():
    after, count = (find_invariant(id, "mask-rule", "x") for id in ("mask-within-count", "mask-decimal-count"))
    for scope, adds_up, excused in (
        ("global", False, ""),
        ("layer", False, ""),
        ("other", True, "no count is promised"),
    ):
        assert excused in after.excuse(MaskRule(scope, "largest", adds_up))
        assert bool(after.excuse(MaskRule(scope, "largest", adds_up))) is bool(excused)
        assert not count.excuse(MaskRule(scope, "largest", adds_up))
    assert count.excuse(MaskRule("other", "largest", False))


def test_a_seed_that_is_left_behind_by_the_call_before_is_noticed():
    before = []

    @RANDOM
    def lags(scores, sparsity, *, within=None, generator=None):
        before.append(generator.initial_seed())
        return {"a": torch.tensor(LEFT if before[-2:][0] % 2 else RIGHT).bool()}

    row = judged(lags, "mask-deterministic", shapes={"a": [4]}, sparsity=0.5, seed=1)
    assert row.got == "the same call gives another mask later: 4 of 4 entries differ"


@pytest.mark.parametrize(
    ("id", "got"),
    [
        ("mask-deterministic", None),
        ("mask-own-memory", None),
        ("mask-ignores-hash", None),
        ("mask-ignores-global-state", "another global seed gives another mask: "),
        ("mask-leaves-global-state", "the global generator of torch moved"),
    ],
)
def test_a_rule_that_reads_the_global_generator_is_accused_of_that_alone(id, got):
    @RANDOM
    def rule(scores, sparsity, *, within=None, generator=None):
        return ranked({name: torch.rand(score.shape) for name, score in scores.items()}, sparsity)

    row = judged(rule, id, shapes={"a": [64]}, sparsity=0.5, seed=1)
    assert row.got is None if got is None else row.got.startswith(got)


def test_names_that_hash_otherwise_are_compared_with_the_first():
    @RANDOM
    def hashes(scores, sparsity, *, within=None, generator=None):
        noise = torch.Generator().manual_seed(hash(next(iter(scores))) % 2**31)
        return {name: torch.rand(score.shape, generator=noise) > sparsity for name, score in scores.items()}

    row = judged(hashes, "mask-ignores-hash", shapes={"a": [64]}, sparsity=0.5, seed=1)
    assert row.got.startswith("names that hash otherwise, as in another Python process, give another mask: ")


@pytest.mark.parametrize("sign", [1, -1])
def test_a_leaning_towards_large_scores_is_told_from_one_towards_small_ones(sign):
    large = torch.arange(8) % 2 == 0
    rule = seeded(lambda seed: {"a": (large if sign > 0 else ~large).tolist()})
    scores = {"a": [8, 1, 7, 2, 6, 3, 5, 4]}
    row = judged(rule, "mask-random-is-random", scores=scores, sparsity=0.5, draws=60)
    assert row.got == f"over 60 seeds the larger scores are kept {sign * 240:+d} times more often than the others"


@pytest.mark.parametrize(("surplus", "fair"), [(36, True), (37, False)])
def test_few_weights_vary_more_as_their_number_is_fixed(surplus, fair):
    """Four weights, two kept: 7 sqrt(60 x 4 / 4) x 4 / 3 = 72.3, and a leaning draw keeps two more on one side."""

    def masks_of(seed):
        if seed < surplus:
            return {"a": LEFT}
        return {"a": (EVEN, [0, 1, 0, 1], [1, 0, 0, 1], [0, 1, 1, 0])[seed % 4]}

    row = judged(seeded(masks_of), "mask-random-is-random", scores={"a": [1, 4, 2, 3]}, sparsity=0.5, draws=60)
    assert (row.got is None) == fair
    assert fair or row.got.startswith(f"over 60 seeds the first positions are kept +{2 * surplus} times")


@pytest.mark.parametrize(("kept", "times"), [(True, 60), (False, 0)])
@pytest.mark.parametrize(
    ("place", "name", "position"), [(0, "a", 0), (3, "a", 3), (4, "b", 0), (5, "b", 1), (39, "b", 35)]
)
def test_the_position_that_is_never_or_always_kept_is_named(kept, times, place, name, position):
    def masks_of(seed):
        mask = (torch.arange(40) + seed) % 2 == 0  # each position has every other turn
        if bool(mask[place]) != kept:
            other = int((mask == kept).nonzero()[seed % 20])
            mask[place], mask[other] = mask[other].clone(), mask[place].clone()
        return {"a": mask[:4].tolist(), "b": mask[4:].tolist()}

    row = judged(seeded(masks_of), "mask-random-is-random", shapes={"a": [4], "b": [36]}, sparsity=0.5, draws=60)
    assert row.got == f"position {position} of {name!r} is kept {times} times of 60"
    assert row.expected == "about as often as the others, 30 times"
