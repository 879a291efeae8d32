"""Saved tickets: a good one passes, and each broken one is caught by its invariant."""

import json

import pytest
import torch

from tests.sims.invariants.tickets_to_break import edit, redigest, saved, specified
from unilth.cli import main
from unilth.errors import UserError
from unilth.sims.invariants import check
from unilth.sims.invariants.catalogue import catalogue
from unilth.sims.tickets import Ticket


@pytest.fixture
def path(tmp_path):
    return saved(tmp_path / "good")


def revive(tensors):
    tensors["weights/a.weight"][0, 0] = 1e-30


def diverge(tensors):
    tensors["initial/a.bias"][0] = float("nan")


def halve(tensors):
    tensors["weights/a.bias"] = tensors["weights/a.bias"].half()


def forget_initial(tensors):
    del tensors["initial/a.bias"]


def pad(tensors):
    tensors["mask"][-1] |= 1


def swap(tensors):
    tensors["weights/a.bias"] = torch.zeros(5)


BROKEN = {
    "forgets an initial weight": (forget_initial, None, ("ticket-names",)),
    "pads the mask with ones": (pad, None, ("ticket-names",)),
    "saves in half precision": (halve, None, ("ticket-dtypes",)),
    "saves a diverged run": (diverge, None, ("ticket-finite",)),
    "saves the dense weights": (revive, None, ("ticket-zeros",)),
    "states the nominal sparsity as counted": (None, lambda f: f["sparsity"].update(counted=0.5), ("ticket-sparsity",)),
    "has the spec of another sparsity": (None, specified(sparsity=0.49), ("ticket-sparsity",)),
    "has the spec of a larger sparsity": (None, specified(sparsity=0.51), ("ticket-sparsity",)),
    "has the spec of another recipe": (None, specified(recipe="lth"), ("ticket-digest",)),
    "has the spec of another network": (None, specified(network="small"), ("ticket-digest",)),
    "has the spec of a network further on": (None, specified(network="tinz"), ("ticket-digest",)),
    "states another nominal sparsity": (None, lambda f: f["sparsity"].update(nominal=0.7), ("ticket-sparsity",)),
}


def test_a_good_ticket_passes(path):
    report = check(str(path))
    assert report.ok and report.kind == "saved-ticket", str(report)
    assert report.counts["passed"] == len(catalogue("saved-ticket")) == len(report.invariants)
    assert check(path).ok


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_ticket_is_caught_by_its_invariant(path, name):
    tensors, facts, kills = BROKEN[name]
    edit(path, tensors, facts)
    if kills != ("ticket-names",):
        redigest(path)
    report = check(str(path))
    assert tuple(row.id for row in report.violations) == kills, str(report)
    if name != "states another nominal sparsity":  # loading does not ask what was to be pruned
        with pytest.raises(UserError):
            Ticket.load(path)


def test_an_edited_ticket_has_another_digest(path):
    edit(path, swap)
    assert [row.id for row in check(str(path)).violations] == ["ticket-digest"]


def test_every_invariant_is_broken_once():
    caught = {id for _, _, kills in BROKEN.values() for id in kills} | {"ticket-digest"}
    assert caught == {invariant.id for invariant in catalogue("saved-ticket")}


def forget_weight(tensors):
    del tensors["weights/a.bias"]


def shorten(tensors):
    tensors["mask"] = tensors["mask"][:1].clone()


def forget_mask(tensors):
    del tensors["mask"]


def two_rows(tensors):
    tensors["mask"] = tensors["mask"][None]


def one_column(tensors):
    tensors["mask"] = tensors["mask"][:, None]


def one_number(tensors):
    tensors["mask"] = tensors["mask"][0].clone()


def began(size):
    """The bias had another shape at first."""
    return lambda tensors: tensors.update({"initial/a.bias": torch.ones(size)})


def no_weights(tensors):
    for name in [name for name in tensors if name != "mask"]:
        del tensors[name]


MISSING = [
    (began(4), "a.bias' of shape (5,), at first (4,)"),
    (began(6), "a.bias' of shape (5,), at first (6,)"),
    (no_weights, "(there are no weights)"),
    (forget_weight, "('weights/a.bias' is missing)"),
    (forget_initial, "('initial/a.bias' is missing)"),
    (shorten, "a mask of the shape (1,) in torch.uint8"),
    (two_rows, "a mask of the shape (1, 2) in torch.uint8"),
    (one_column, "a mask of the shape (2, 1) in torch.uint8"),
    (one_number, "a mask of the shape () in torch.uint8"),
    (lambda held: held.update(mask=torch.zeros(3, dtype=torch.uint8)), "a mask of the shape (3,) in torch.uint8"),
    (lambda held: held.update(mask=torch.zeros(2, dtype=torch.int16)), "a mask of the shape (2,) in torch.int16"),
    (forget_mask, "('mask' is missing)"),
]


@pytest.mark.parametrize(("tensors", "words"), MISSING)
def test_a_part_that_is_missing_is_caught_on_either_side(path, tensors, words):
    edit(path, tensors)
    (found,) = check(str(path)).violations
    assert found.id == "ticket-names" and words in found.got
    assert tensors not in (shorten, two_rows) or found.expected == "one row of 2 bytes (torch.uint8), one bit a weight"


@pytest.mark.parametrize("shape", [[5, 2], [5, 4], [3, 5], [15]])
def test_a_mask_of_another_shape_than_its_weights_is_caught(path, shape):
    edit(path, facts=lambda facts: facts["mask"].update({"a.weight": shape}))
    (found,) = check(str(path)).violations
    assert found.id == "ticket-names" and found.got.startswith("a mask of 'a.weight' with shape (")


INF, NAN = float("inf"), float("nan")
VALUES = [  # of one place at first and after training, and where a value is that may not be
    ("a.bias", INF, INF, None),
    ("a.bias", INF, -INF, "weights"),
    ("a.bias", INF, 1.0, "initial"),
    ("a.bias", 1.0, INF, "weights"),
    ("a.bias", NAN, NAN, "weights"),
    ("a.bias", NAN, 1.0, "initial"),
    ("a.weight", INF, INF, "weights"),
    ("a.weight", INF, 1.0, "initial"),
]


@pytest.mark.parametrize(("name", "first", "last", "part"), VALUES)
def test_only_infinities_outside_the_mask_that_stay_as_they_were_are_values(path, name, first, last, part):
    def put(tensors):
        tensors[f"initial/{name}"][-1:] = first
        tensors[f"weights/{name}"][-1:] = last

    edit(path, put)
    report = check(str(path), only=["ticket-finite"])
    expected = [] if part is None else [f"NaN or infinity in '{part}/{name}'"]
    assert [row.got for row in report.violations] == expected


EVIL = "\x1b[2J\n\u202e" + "x" * 100_000


def rename(old, new):
    return lambda tensors: tensors.update({f"{part}/{new}": tensors.pop(f"{part}/{old}") for part in PARTS})


PARTS = ("weights", "initial")
LOUD = {
    "a digest": (None, lambda f: f.update(digest=EVIL)),
    "no digest": (None, lambda f: f.update(digest="")),
    "a counted sparsity": (None, lambda f: f["sparsity"].update(counted=10**99)),
    "a counted sparsity in words": (None, lambda f: f["sparsity"].update(counted=EVIL)),
    "a surplus tensor": (lambda t: t.update({EVIL: torch.ones(1)}), None),
    "many of them": (lambda t: t.update({f"{EVIL[:9]}{i}": torch.ones(1) for i in range(99)}), None),
    "a tensor that is not masked": (rename("a.weight", EVIL), None),
    "a masked name": (None, lambda f: f["mask"].update({EVIL: [1]})),
    "a masked shape": (None, lambda f: f["mask"].update({"a.weight": [2**9] * 6})),
    "a diverged buffer": (lambda t: t.update({f"{part}/{EVIL}": torch.tensor(torch.nan) for part in PARTS}), None),
    "a buffer of two types": (
        lambda t: t.update({f"weights/{EVIL}": torch.ones(1), f"initial/{EVIL}": torch.ones(1).half()}),
        None,
    ),
}


@pytest.mark.parametrize("name", LOUD)
def test_what_a_file_states_is_shown_escaped_and_in_part(path, name):
    edit(path, *LOUD[name])
    report = check(str(path))
    assert not report.ok
    for row in report.violations:
        assert (row.got + row.expected).isprintable() and len(row.got + row.expected) < 300
    if name == "a counted sparsity":
        assert report.violations[0].got == "100000000000000000...0000000000000000000 stated, 7 of 15 pruned"
    if name == "no digest":
        assert report.violations[0].expected == "'', as stated"
    if name == "many of them":
        assert report.violations[0].got.endswith("is no part of one and 96 more)")


@pytest.mark.parametrize(("broken", "id"), [(None, None), (0, "ticket-zeros"), (5, "ticket-finite")])
def test_weights_of_one_byte_are_judged(tmp_path, broken, id):
    """torch itself has few functions of them."""
    whole = torch.arange(1, 101, dtype=torch.float32)
    mask, small = {"a": whole >= 3}, whole.to(torch.float8_e4m3fn)
    trained = (whole * mask["a"]).index_fill(0, torch.tensor([0 if broken is None else broken]), 0.0)
    if broken is not None:
        trained[broken] = float("nan") if broken else 1.0
    ticket = Ticket(mask, {"a": trained.to(torch.float8_e4m3fn)}, {"a": small}, 0.02, "omp", "tiny")
    report = check(str(ticket.save(tmp_path / "small")))
    assert [row.id for row in report.violations] == ([id] if id else []), str(report)
    if id is None:
        assert Ticket.load(tmp_path / "small").digest() == ticket.digest()
    else:
        with pytest.raises(UserError, match="'a' holds"):
            Ticket.load(tmp_path / "small")


@pytest.mark.parametrize("dtype", ["F4", "F6_E2M3", "F8_E8M0", "F8_E5M2"])
def test_a_buffer_of_any_dtype_is_refused_or_judged(path, dtype, capsys):
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header, body = json.loads(content[8 : 8 + size]), content[8 + size :]
    bits = {"F4": 4, "F6_E2M3": 6}.get(dtype, 8)
    for part in ("weights", "initial"):
        header[f"{part}/b"] = {"dtype": dtype, "shape": [8], "data_offsets": [len(body), len(body) + bits]}
        body += bytes(bits)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    code = main(["check", str(path), "--only", "ticket-finite"])
    shown = capsys.readouterr()
    assert code == (2 if dtype in ("F4", "F6_E2M3") else 0), shown.out
    if code == 2:
        assert f"the tensor 'weights/b' has the type {dtype!r}" in shown.err and shown.err.count("\n") == 1
    else:
        redigest(path)
        assert str(Ticket.load(path).weights["b"].dtype).startswith("torch.float8")


def test_a_mask_of_nothing_is_a_ticket_of_sparsity_zero(path):
    nothing = {"a": torch.ones(3)}
    path = Ticket({}, nothing, nothing, 0.0, "dense", "tiny").save(path.parent / "nothing")
    assert check(str(path)).ok
    edit(path, facts=lambda facts: facts["sparsity"].update(counted=False))
    assert [row.id for row in check(str(path)).violations] == ["ticket-sparsity"]


def test_masks_of_several_layers_are_read_where_they_lie(tmp_path):
    chance = torch.Generator().manual_seed(2)
    initial = {f"{name}.weight": torch.randn(size, generator=chance) for name, size in (("a", 13), ("b", 50), ("c", 7))}
    mask = {name: torch.rand(value.shape, generator=chance) > 0.5 for name, value in initial.items()}
    weights = {name: value * mask[name] for name, value in initial.items()}
    gone, n = sum(int((~kept).sum()) for kept in mask.values()), sum(kept.numel() for kept in mask.values())
    path = Ticket(mask, weights, initial, gone / n, "omp", "tiny").save(tmp_path / "layers")
    report = check(str(path), only=["ticket-names", "ticket-zeros", "ticket-digest"])
    assert report.counts["passed"] == 3, str(report)
