"""The kit: what mutation testing found untested. Each assertion kills mutants that the other tests let live."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from types import ModuleType

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from unilth.errors import UserError
from unilth.sims.invariants import check, mask_rule, penalty_schedule
from unilth.sims.invariants.invariant import Plan
from unilth.sims.invariants.mask_order import _strided
from unilth.sims.invariants.ours import global_magnitude
from unilth.sims.invariants.report import show
from unilth.sims.invariants.targets import _finds, load
from unilth.sims.tickets import Ticket


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4), (2, 3, 4, 5), (2, 3, 2, 3, 2)])
def test_another_layout_has_the_same_values_in_other_places(shape):
    value = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    other = _strided(value)
    assert torch.equal(other, value) and not other.is_contiguous()
    assert value.dim() != 4 or other.is_contiguous(memory_format=torch.channels_last)
    assert value.dim() in (1, 4) or other.transpose(0, -1).is_contiguous()


@pytest.mark.parametrize("last", [False, True])
def test_equal_scores_may_go_either_way(last):
    @mask_rule(scope="global", keeps="largest")
    def rule(scores, sparsity, *, within=None, generator=None):
        flipped = {name: score.flip(0) if last else score for name, score in scores.items()}
        kept = global_magnitude(flipped, sparsity)
        return {name: mask.flip(0) if last else mask for name, mask in kept.items()}

    assert check(rule, only="mask-order", case={"scores": {"a": [1, 1, 1, 2]}, "sparsity": 0.5}).ok


def test_the_table_says_why_a_row_was_not_judged():
    """With the statement, in brackets, whatever markup the words look like."""
    report = check(global_magnitude, budget="quick", only=["mask-order", "mask-exact-count-layer"])
    marked = dataclasses.replace(report.invariants[0], note="[red]because[/red]")
    report = dataclasses.replace(report, invariants=(marked, *report.invariants[1:]))
    console = Console(width=200, file=io.StringIO(), color_system=None)
    show(report, console)
    text = console.file.getvalue()
    assert f"{marked.statement} ([red]because[/red])" in text
    assert report.invariants[1].note and f"({report.invariants[1].note})" in text


def saved(folder, sizes: dict[str, int], gone: dict[str, int], nominal: float, recipe: str = "omp"):
    """A ticket of layers of these sizes, of which the first weights are pruned."""
    initial = {f"{name}.weight": torch.arange(1.0, size + 1) for name, size in sizes.items()}
    mask = {f"{name}.weight": torch.arange(size) >= gone[name] for name, size in sizes.items()}
    weights = {name: value * mask[name] for name, value in initial.items()}
    return Ticket(mask, weights, initial, nominal, recipe, "tiny").save(folder)


def violated(path) -> list[str]:
    return [row.id for row in check(str(path)).violations]


@pytest.mark.parametrize(("first", "second", "fits"), [(2, 2, True), (2, 3, True), (2, 1, False), (3, 3, False)])
def test_a_saved_sparsity_may_be_rounded_in_every_layer_or_over_all(first, second, fits, tmp_path):
    path = saved(tmp_path / "t", {"a": 5, "b": 5}, {"a": first, "b": second}, 0.5)  # 4 by layers, 5 over all
    assert violated(path) == ([] if fits else ["ticket-sparsity"])


def test_a_dense_ticket_prunes_nothing_whatever_was_asked(tmp_path):
    assert violated(saved(tmp_path / "dense", {"a": 5}, {"a": 0}, 0.5, "dense")) == []
    assert violated(saved(tmp_path / "other", {"a": 5}, {"a": 0}, 0.5, "another")) == ["ticket-sparsity"]


@pytest.mark.parametrize("bit", range(5))
def test_no_padding_bit_of_a_mask_may_be_set(bit, tmp_path):
    path = saved(tmp_path / "t", {"a": 3}, {"a": 1}, 0.5)
    assert violated(path) == []
    tensors = load_file(path)
    tensors["mask"][-1] |= 1 << bit
    save_file(tensors, path)
    assert "ticket-names" in violated(path)


def edited(path, change) -> list:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    return [(row.id, row.got) for row in check(str(path), only=["ticket-names"]).violations]


@pytest.mark.parametrize("part", ["weights", "initial"])
@pytest.mark.parametrize("size", [4, 6])
def test_a_tensor_that_changed_its_shape_is_named(part, size, tmp_path):
    path = saved(tmp_path / "t", {"a": 5}, {"a": 2}, 0.5)
    shapes = {"weights": "(5,)", "initial": "(5,)"} | {part: f"({size},)"}
    ((id, got),) = edited(path, lambda tensors: tensors.update({f"{part}/a.weight": torch.ones(size)}))
    assert id == "ticket-names" and got.endswith(f"of shape {shapes['weights']}, at first {shapes['initial']}")


@pytest.mark.parametrize("size", [4, 6])
def test_a_mask_of_another_shape_than_its_weights_is_named(size, tmp_path):
    path = saved(tmp_path / "t", {"a": 5}, {"a": 2}, 0.5)
    both = {f"{part}/a.weight": torch.ones(size) for part in ("weights", "initial")}
    assert edited(path, lambda tensors: tensors.update(both)) == [
        ("ticket-names", "a mask of 'a.weight' with shape (5,)")
    ]


@pytest.mark.parametrize("part", ["weights", "initial", "both", "mask"])
def test_a_part_that_is_missing_altogether_is_named(part, tmp_path):
    path = saved(tmp_path / "t", {"a": 5, "b": 5}, {"a": 2, "b": 2}, 0.5)
    gone = {"both": ("weights/", "initial/"), "mask": ("mask",)}.get(part, (f"{part}/b",))

    def lose(tensors):
        for name in [name for name in tensors if name.startswith(gone)]:
            del tensors[name]

    ((id, got),) = edited(path, lose)
    assert id == "ticket-names" and got.startswith("tensors beyond or short of a ticket's")


def test_a_ticket_without_a_mask_has_sparsity_0(tmp_path):
    weights = {"bias": torch.ones(3)}
    assert violated(Ticket({}, weights, weights, 0.0, "dense", "tiny").save(tmp_path / "t")) == []


def longer(mask):
    return torch.cat([mask, torch.zeros(1, dtype=torch.uint8)])


@pytest.mark.parametrize(
    "change", [lambda mask: mask.to(torch.int8), lambda mask: mask[None], lambda mask: mask[0], longer]
)
def test_a_mask_is_one_row_of_bytes_and_no_longer_than_its_weights(change, tmp_path):
    path = saved(tmp_path / "t", {"a": 5}, {"a": 2}, 0.5)
    ((id, got),) = edited(path, lambda tensors: tensors.update(mask=change(tensors["mask"])))
    assert id == "ticket-names" and got.startswith("a mask of ")


@pytest.mark.parametrize("digest", ["0" * 64, "f" * 64])
def test_another_digest_is_noticed_on_either_side(digest, tmp_path):
    path = saved(tmp_path / "t", {"a": 5}, {"a": 2}, 0.5)
    facts = json.loads((path.parent / "ticket.json").read_text())
    (path.parent / "ticket.json").write_text(json.dumps(facts | {"digest": digest}))
    assert violated(path) == ["ticket-digest"]


@pytest.mark.parametrize("counted", [0.39, 0.41, None])
def test_another_count_than_the_masks_is_noticed_on_either_side(counted, tmp_path):
    path = saved(tmp_path / "t", {"a": 5, "none": 0}, {"a": 2, "none": 0}, 0.5)
    assert violated(path) == []
    facts = json.loads((path.parent / "ticket.json").read_text())
    facts["sparsity"]["counted"] = counted
    (path.parent / "ticket.json").write_text(json.dumps(facts))
    assert violated(path) == ["ticket-sparsity"]


@pytest.mark.parametrize("seed", [-1, 2**32, 2**33, True, 1.0, "1"])
def test_a_seed_that_no_replay_line_could_hold_is_refused(seed):
    with pytest.raises(UserError, match="must be a whole number from 0 to 4294967295"):
        Plan(seed=seed)
    assert Plan(seed=0).random("a").random() != Plan(seed=2**32 - 1).random("a").random()


@mask_rule(scope="global", keeps="largest")
def off_by_one(scores, sparsity, *, within=None, generator=None):
    """Prunes one weight too few."""
    kept = global_magnitude(scores, sparsity)
    for mask in kept.values():
        if not mask.all():
            mask.view(-1)[(~mask.view(-1)).nonzero()[0]] = True
            break
    return kept


def test_every_part_of_a_violation_is_shown():
    report = check(off_by_one, budget="quick", only=["mask-exact-count-global"])
    (found,) = report.violations
    console = Console(width=400, file=io.StringIO(), color_system=None)
    show(report, console)
    text = console.file.getvalue()
    for part in (found.got, found.expected, json.dumps(found.case), found.why, found.replay, "NOT ok: 1 violated"):
        assert part and part in text


@pytest.mark.parametrize("place", ["unilth.sims.masks", "mine.py"])
def test_ours_is_named_for_ours_only(place, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("def global_magnitude(scores, sparsity):\n    return {}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        check(f"{place}:global_magnitude")
    ours = "unilth.sims.invariants.ours:global_magnitude is the same with what it claims"
    assert (ours in str(caught.value)) == (place != "mine.py")


@pytest.mark.parametrize("change", [lambda mask: mask[None], torch.flatten])
def test_a_mask_of_fewer_or_more_dimensions_is_named(change):
    @mask_rule(scope="global", keeps="largest")
    def rule(scores, sparsity, *, within=None, generator=None):
        return {name: change(mask) for name, mask in global_magnitude(scores, sparsity, within=within).items()}

    case = {"scores": {"a": [[1, 2], [3, 4]]}, "sparsity": 0.5}
    (row,) = check(rule, only="mask-shapes", case=case).invariants
    shape = tuple(change(torch.ones(2, 2)).shape)
    assert row.status == "violated" and row.got == f"'a' has shape {shape}"


def test_an_answer_that_is_remembered_must_be_copied():
    """The second answer is judged, not only the earlier mask."""
    known: dict = {}

    @mask_rule(scope="global", keeps="largest")
    def rule(scores, sparsity, *, within=None, generator=None):
        key = json.dumps([{name: value.tolist() for name, value in scores.items()}, sparsity])
        return dict(known.setdefault(key, global_magnitude(scores, sparsity)))

    (row,) = check(rule, only="mask-own-memory", case={"scores": {"a": [1, 2, 3, 4]}, "sparsity": 0.5}).invariants
    assert row.status == "violated" and row.got == "editing the answer changed the next answer for 'a'"


class Instance:
    """Has a module, as its class does, but no name of its own."""

    def __call__(self, scores, sparsity, *, within=None, generator=None):
        return global_magnitude(scores, sparsity, within=within, generator=generator)


def test_an_object_without_a_name_has_no_address():
    loaded = load(mask_rule(scope="global", keeps="largest")(Instance()))
    assert loaded.address is None and loaded.name.endswith(":Instance")


def test_a_module_of_a_package_without_a_spec_is_no_address(monkeypatch):
    monkeypatch.setitem(sys.modules, "made_at_run_time", ModuleType("made_at_run_time"))
    assert _finds("json.decoder", None) and not _finds("made_at_run_time.inner", None)
    assert not _finds("found_nowhere_at_all", None)


def pops(scores):
    scores.pop("b")


def adds(scores):
    scores["c"] = scores["b"]


@pytest.mark.parametrize("change", [pops, adds])
def test_keys_that_come_or_go_are_named(change):
    """In the answer, and in the scores that the caller gave."""

    @mask_rule(scope="global", keeps="largest")
    def answers(scores, sparsity, *, within=None, generator=None):
        mask = global_magnitude(scores, sparsity, within=within)
        change(mask)
        return mask

    @mask_rule(scope="global", keeps="largest")
    def edits(scores, sparsity, *, within=None, generator=None):
        mask = global_magnitude(scores, sparsity, within=within)
        change(scores)
        return mask

    case = {"scores": {"a": [1, 2], "b": [3, 4]}, "sparsity": 0.5}
    keys = ["a"] if change is pops else ["a", "b", "c"]
    (named,) = check(answers, only="mask-names", case=case).violations
    assert named.got == f"masks named {keys}"
    (kept,) = check(edits, only="mask-inputs-untouched", case=case).violations
    assert kept.got == f"the keys of scores became {keys}"


def test_masks_are_tensors():
    @mask_rule(scope="global", keeps="largest")
    def rule(scores, sparsity, *, within=None, generator=None):
        return {name: mask.tolist() for name, mask in global_magnitude(scores, sparsity, within=within).items()}

    (row,) = check(rule, only="mask-names", case={"scores": {"a": [1, 2]}, "sparsity": 0.5}).violations
    assert row.got == "'a' is of type list"


@pytest.mark.parametrize("ceiling", [0.25, 1.0, 2.5])
@pytest.mark.parametrize(
    ("top", "after", "wrong"),
    [
        (1.0, 1.0, set()),
        (1.0, 0.99, {"schedule-stays"}),
        (0.99, 0.99, {"schedule-reaches"}),
        (1.01, 1.0, {"schedule-ceiling"}),
        (1.01, 1.01, {"schedule-ceiling"}),
    ],
)
def test_whatever_the_ceiling_a_hundredth_more_or_less_is_noticed(ceiling, top, after, wrong):
    @penalty_schedule(ceiling=ceiling, steps=20)
    def schedule(step):
        return ceiling * (top * step / 20 if step <= 20 else after)

    assert {row.id for row in check(schedule, budget="quick").violations} == wrong


@pytest.mark.parametrize(("leaning", "fair"), [(43, True), (44, False), (-43, True), (-44, False)])
def test_chance_is_left_at_seven_standard_deviations(leaning, fair):
    """60 draws of 20 of 40: 7 sqrt(60 x 40 / 4) x 40 / 39 = 175.9, and a leaning draw keeps four more on one side."""

    @mask_rule(scope="global", keeps="random")
    def rule(scores, sparsity, *, within=None, generator=None):
        first = 12 if generator.initial_seed() < abs(leaning) else 10
        places = (torch.arange(20) + generator.initial_seed()) % 20  # so that each position has its turn
        halves = [places < first, places < 20 - first]
        return {"a": torch.cat(halves if leaning > 0 else halves[::-1])}

    scores = [float(place % 2) + place / 1000 for place in range(40)]  # every other one is large: no leaning there
    report = check(rule, only="mask-random-is-random", case={"scores": {"a": scores}, "sparsity": 0.5, "draws": 60})
    assert report.ok == fair
    assert fair or report.violations[0].got == (
        f"over 60 seeds the first positions are kept {4 * leaning:+d} times more often than the others"
    )


@pytest.mark.parametrize(
    ("sparsity", "error", "fine"),
    [(0.25, ValueError, True), (0.25, TypeError, False), (0.5, ValueError, False), (0.25, SystemExit, False)],
)
def test_only_an_earlier_mask_that_pruned_more_than_is_asked_may_be_refused(sparsity, error, fine):
    @mask_rule(scope="global", keeps="largest")
    def refuses(scores, sparsity, *, within=None, generator=None):
        raise error("within prunes more than is asked")

    case = {"scores": {"a": [1, 2, 3, 4]}, "sparsity": sparsity, "within": {"a": [1, 1, 0, 0]}}
    assert check(refuses, only="mask-within", case=case).ok == fine
    assert check(global_magnitude, only="mask-within", case=case).ok


@pytest.mark.parametrize("kept", [[1, 1, 1, 0], [1, 0, 0, 0]])
def test_more_may_be_gone_in_one_layer_than_is_asked_of_it(kept):
    """Two of layer b's weights are gone where one is asked of each: by layers that is more, in all it is not."""
    case = {"scores": {"a": [1, 2, 3, 4], "b": [5, 6, 7, 8]}, "sparsity": 0.25}

    @mask_rule(scope="layer", keeps="largest")
    def answers(scores, sparsity, *, within=None, generator=None):
        return {"a": torch.tensor(kept).bool(), "b": torch.tensor([True, True, False, False])}

    within = {"a": [1, 1, 1, 1], "b": [1, 1, 0, 0]}
    assert check(answers, only="mask-within", case={**case, "within": within}).ok
    (row,) = check(answers, only="mask-within", case={**case, "within": {**within, "b": [1, 0, 0, 0]}}).invariants
    assert row.got == "1 weights of 'b' revived"
