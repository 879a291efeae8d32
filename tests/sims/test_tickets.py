"""Tickets on disk: what is written comes back, and whatever was tampered with is refused in one sentence."""

from __future__ import annotations

import itertools
import json
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from unilth.errors import UserError
from unilth.sims import masks
from unilth.sims.invariants import check
from unilth.sims.spec import RunSpec
from unilth.sims.tickets import Ticket


def a_ticket() -> Ticket:
    generator = torch.Generator().manual_seed(0)
    initial = {
        "a.weight": torch.randn(5, 3, generator=generator), "a.bias": torch.zeros(5),
        "b.weight": torch.randn(2, 5, generator=generator).to(torch.bfloat16), "count": torch.tensor(7),
    }  # fmt: skip
    weights = {name: value + 1 for name, value in initial.items()}
    mask = masks.layer_random({n: weights[n] for n in ("b.weight", "a.weight")}, 0.5, generator=generator)
    spec = RunSpec("unilth", "mine", sparsity=0.5)
    return Ticket(mask, masks.apply(mask, weights), initial, 0.5, "unilth", "mine", spec)


@pytest.fixture
def saved(tmp_path):
    a_ticket().save(tmp_path)
    return tmp_path


def test_round_trip(saved):
    ticket, loaded = a_ticket(), Ticket.load(saved)
    assert loaded.digest() == ticket.digest() == Ticket.load(saved / "ticket.safetensors").digest()
    for part in ("mask", "weights", "initial"):
        first, second = getattr(ticket, part), getattr(loaded, part)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[n], second[n]) and first[n].dtype == second[n].dtype for n in first)
    assert (loaded.recipe, loaded.network, loaded.sparsity, loaded.spec) == ("unilth", "mine", 0.5, ticket.spec)
    facts = json.loads((saved / "ticket.json").read_text())
    assert facts["schema"] == 1 and facts["sparsity"] == {"nominal": 0.5, "counted": 12 / 25}
    assert load_file(saved / "ticket.safetensors")["mask"].numel() == 4  # 25 bits


def with_buffers(**buffers: tuple[torch.Tensor, torch.Tensor]) -> Ticket:
    """A ticket with buffers as they were before and after training."""
    ticket = a_ticket()
    ticket.initial.update({name: before for name, (before, _) in buffers.items()})
    ticket.weights.update({name: after for name, (_, after) in buffers.items()})
    return ticket


SMALL_FLOATS = (
    torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2, torch.float8_e5m2fnuz, torch.float8_e8m0fnu,
)  # fmt: skip


def test_buffers_of_every_kind_come_back(tmp_path):
    causal = torch.full((3, 3), -torch.inf).triu(1)
    unsigned = (torch.uint16, torch.uint32, torch.uint64)
    kinds = {str(kind)[6:]: torch.tensor([0, 3], dtype=kind) for kind in (*unsigned, torch.complex64)}
    kinds |= {str(kind)[6:]: torch.tensor([1.0, 2.0]).to(kind) for kind in SMALL_FLOATS}
    ticket = with_buffers(causal=(causal, causal.clone()), **{name: (value, value) for name, value in kinds.items()})
    ticket.save(tmp_path)
    loaded = Ticket.load(tmp_path)
    assert loaded.digest() == ticket.digest()
    assert torch.equal(loaded.weights["causal"], causal)
    assert all(loaded.weights[name].dtype == value.dtype for name, value in kinds.items())
    assert check(str(tmp_path / "ticket.safetensors"), only=["ticket-finite", "ticket-dtypes", "ticket-digest"]).ok


@pytest.mark.parametrize("kind", SMALL_FLOATS)
def test_small_floats_are_judged(tmp_path, kind):
    good, bad = torch.tensor([1.0]).to(kind), torch.tensor([torch.nan]).to(kind)
    with_buffers(buffer=(bad, good)).save(tmp_path)
    with pytest.raises(UserError, match="'buffer' holds values that are not finite"):
        Ticket.load(tmp_path)


INF, NAN = torch.tensor([0.0, torch.inf]), torch.tensor([1.0, torch.nan])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (torch.zeros(2), INF),  # it diverged
        (INF, torch.zeros(2)),
        (INF, torch.tensor([-0.0, torch.inf])),  # another bit
        (INF, -INF),
        (NAN, NAN),
        (torch.tensor([torch.inf, torch.nan]),) * 2,
    ],
)
def test_an_infinity_that_training_may_have_made_is_refused(tmp_path, before, after):
    with_buffers(buffer=(before, after)).save(tmp_path)
    with pytest.raises(UserError, match="'buffer' holds values that are not finite"):
        Ticket.load(tmp_path)
    report = check(str(tmp_path / "ticket.safetensors"), only=["ticket-finite"])
    assert [row.id for row in report.violations] == ["ticket-finite"]


def test_weights_under_a_mask_are_finite_whatever_they_were(tmp_path):
    ticket = a_ticket()
    for state in (ticket.weights, ticket.initial):
        state["a.weight"] = torch.where(ticket.mask["a.weight"], torch.inf, 0.0)
    ticket.save(tmp_path)
    with pytest.raises(UserError, match=r"'a\.weight' holds values that are not finite"):
        Ticket.load(tmp_path)
    report = check(str(tmp_path / "ticket.safetensors"), only=["ticket-finite"])
    assert [row.id for row in report.violations] == ["ticket-finite"]


def test_same_ticket_same_bytes_and_ordinary_permissions(saved, tmp_path):
    other = tmp_path / "deep" / "er"
    a_ticket().save(other)
    for name in ("ticket.safetensors", "ticket.json"):
        assert (other / name).read_bytes() == (saved / name).read_bytes()
        assert stat.S_IMODE(os.stat(other / name).st_mode) & 0o400
    assert sorted(path.name for path in other.iterdir()) == ["ticket.json", "ticket.safetensors"]  # nothing left over


def test_digest_sees_every_part():
    ticket = a_ticket()
    digests = {ticket.digest()}
    for part, name in (("weights", "a.bias"), ("initial", "a.bias"), ("initial", "count"), ("weights", "b.weight")):
        changed = a_ticket()
        tensor = getattr(changed, part)[name]
        tensor.reshape(-1)[-1:].add_(1)
        digests.add(changed.digest())
    flipped = a_ticket()
    flipped.mask["a.weight"][0, 0] ^= True
    assert len(digests | {flipped.digest()}) == 6


def facts_changed(folder, **changes):
    facts = json.loads((folder / "ticket.json").read_text())
    (folder / "ticket.json").write_text(json.dumps(facts | changes))


def tensors_changed(folder, change):
    path = folder / "ticket.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def header_changed(folder, change):
    path = folder / "ticket.safetensors"
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])


def put(name, value):
    return lambda tensors: tensors.__setitem__(name, value)


def flatten(tensors):
    for part in ("weights", "initial"):
        tensors[f"{part}/a.weight"] = tensors[f"{part}/a.weight"].flatten()


DAMAGE = {
    "truncated": lambda f: (f / "ticket.safetensors").write_bytes((f / "ticket.safetensors").read_bytes()[:-5]),
    "cut in the header": lambda f: (f / "ticket.safetensors").write_bytes((f / "ticket.safetensors").read_bytes()[:40]),
    "longer than it says": lambda f: (f / "ticket.safetensors").open("ab").write(b"\0" * 64),
    "empty": lambda f: (f / "ticket.safetensors").write_bytes(b""),
    "oversized header": lambda f: (f / "ticket.safetensors").write_bytes(b"\xff" * 8 + b"{}"),
    "a header that is a list": lambda f: (f / "ticket.safetensors").write_bytes((2).to_bytes(8, "little") + b"[]"),
    "a deep header": lambda f: (f / "ticket.safetensors").write_bytes((90_000).to_bytes(8, "little") + b"[" * 90_000),
    "pickle": lambda f: (f / "ticket.safetensors").write_bytes(b"\x80\x04\x95" + b"A" * 100),
    "a folder for a file": lambda f: ((f / "ticket.safetensors").unlink(), (f / "ticket.safetensors").mkdir()),
    "a pipe for the tensors": lambda f: ((f / "ticket.safetensors").unlink(), os.mkfifo(f / "ticket.safetensors")),
    "a device for the tensors": lambda f: (
        (f / "ticket.safetensors").unlink(), (f / "ticket.safetensors").symlink_to("/dev/zero")
    ),
    "a pipe for a file": lambda f: ((f / "ticket.json").unlink(), os.mkfifo(f / "ticket.json")),
    "missing tensors": lambda f: (f / "ticket.safetensors").unlink(),
    "missing facts": lambda f: (f / "ticket.json").unlink(),
    "facts are no JSON": lambda f: (f / "ticket.json").write_text("{"),
    "facts are binary": lambda f: (f / "ticket.json").write_bytes(b"\xff\xfe\x00"),
    "facts are deep": lambda f: (f / "ticket.json").write_text("[" * 100_000),
    "facts are a list": lambda f: (f / "ticket.json").write_text("[]"),
    "facts are huge": lambda f: os.truncate(f / "ticket.json", 1 << 30),
    "a later schema": lambda f: facts_changed(f, schema=2),
    "another digest": lambda f: facts_changed(f, digest="0" * 64),
    "a sparsity of 1.2": lambda f: facts_changed(f, sparsity={"nominal": 1.2}),
    "a sparsity in words": lambda f: facts_changed(f, sparsity={"nominal": "half"}),
    "a recipe that is a number": lambda f: facts_changed(f, recipe=3),
    "a sparsity counted wrong": lambda f: facts_changed(f, sparsity={"nominal": 0.5, "counted": 0.5}),
    "a sparsity that is not counted": lambda f: facts_changed(f, sparsity={"nominal": 0.5}),
    "another nominal sparsity than its spec": lambda f: facts_changed(f, sparsity={"nominal": 0.4, "counted": 0.48}),
    "another recipe than its spec": lambda f: facts_changed(f, recipe="omp"),
    "another network than its spec": lambda f: facts_changed(f, network="yours"),
    "a spec that is none": lambda f: facts_changed(f, spec={"a": [1]}),
    "a deep spec": lambda f: (f / "ticket.json").write_text(
        (f / "ticket.json").read_text().replace('"mine"', "[" * 900 + "]" * 900)
    ),
    "a spec with a misspelt key": lambda f: facts_changed(f, spec={"recipe": "omp", "sparsty": 1}),
    "a mask of another shape": lambda f: facts_changed(f, mask={"a.weight": [3, 5], "b.weight": [2, 5]}),
    "a mask of huge shape": lambda f: facts_changed(f, mask={"a.weight": [2**60, 2**60], "b.weight": [2, 5]}),
    "a mask of 2000 sizes": lambda f: facts_changed(f, mask={"a.weight": [2**39] * 2000, "b.weight": [2, 5]}),
    "a mask of nothing and of too much": lambda f: facts_changed(f, mask={"a.weight": [0, 2**39, 2**39]}),
    "a mask of negative shape": lambda f: facts_changed(f, mask={"a.weight": [-5, -3], "b.weight": [2, 5]}),
    "a mask without shape": lambda f: facts_changed(f, mask={"a.weight": 15, "b.weight": [2, 5]}),
    "a mask of nothing": lambda f: facts_changed(f, mask={}),
    "no mask": lambda f: tensors_changed(f, lambda t: t.pop("mask")),
    "a mask of floats": lambda f: tensors_changed(f, put("mask", torch.zeros(4))),
    "a mask in two rows": lambda f: tensors_changed(f, lambda t: t.update(mask=t["mask"][None])),
    "a mask that keeps all": lambda f: tensors_changed(f, put("mask", torch.tensor([255, 255, 255, 128]).byte())),
    "a flat weight": lambda f: tensors_changed(f, flatten),
    "a weight missing": lambda f: tensors_changed(f, lambda t: t.pop("weights/a.weight")),
    "an extra tensor": lambda f: tensors_changed(f, put("surprise", torch.zeros(1))),
    "an extra weight": lambda f: tensors_changed(f, put("weights/c", torch.zeros(1))),
    "another type": lambda f: tensors_changed(f, put("weights/a.bias", torch.zeros(5).double())),
    "NaN": lambda f: tensors_changed(f, put("weights/a.bias", torch.full((5,), float("nan")))),
    "infinity": lambda f: tensors_changed(f, put("initial/a.bias", torch.full((5,), float("inf")))),
    "a pruned weight that is not 0": lambda f: tensors_changed(f, put("weights/a.weight", torch.ones(5, 3))),
    "another bias": lambda f: tensors_changed(f, put("weights/a.bias", torch.ones(5) * 2)),
    "a name of 100,000 characters": lambda f: tensors_changed(f, put("\x1b" * 100_000, torch.zeros(1))),
    "a size of 4000 digits": lambda f: header_changed(f, lambda h: h["weights/a.bias"].update(shape=[10**4000])),
    "a type of 100,000 characters": lambda f: header_changed(f, lambda h: h["mask"].update(dtype="\n" * 100_000)),
    "a sparsity of 400 digits": lambda f: facts_changed(f, sparsity={"nominal": 0.5, "counted": 10**400}),
    "an unknown type": lambda f: header_changed(f, lambda h: h["weights/a.bias"].update(dtype="F99")),
    "a negative size": lambda f: header_changed(f, lambda h: h["weights/a.bias"].update(shape=[-5])),
    "a size that is no number": lambda f: header_changed(f, lambda h: h["weights/a.bias"].update(shape="5")),
    "an entry that is no object": lambda f: header_changed(f, lambda h: h.update({"weights/a.bias": 5})),
    "overlapping tensors": lambda f: header_changed(f, lambda h: h["weights/a.bias"].update(data_offsets=[0, 20])),
    "offsets outside": lambda f: header_changed(f, lambda h: h["weights/a.bias"].update(data_offsets=[9**9, 9**9])),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_tickets_are_refused(saved, damage):
    DAMAGE[damage](saved)
    with pytest.raises(UserError) as error:
        Ticket.load(saved)
    text = str(error.value)
    assert str(saved) in text and len(text) < 300 + len(str(saved)) and text.isprintable()


def test_what_is_no_regular_file_is_called_so(saved):
    DAMAGE["a device for the tensors"](saved)
    with pytest.raises(UserError, match=r"ticket\.safetensors is no regular file"):
        Ticket.load(saved)


def test_a_header_may_not_be_long(saved):
    """`unilth check` and `Ticket.load` read by one function."""
    path = saved / "ticket.safetensors"
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    path.write_bytes(
        (size + (30 << 20)).to_bytes(8, "little") + content[8 : 8 + size] + b" " * (30 << 20) + content[8 + size :]
    )
    for read in (Ticket.load, check):
        with pytest.raises(UserError, match="its header would have"):
            read(path)


def test_a_path_that_is_no_text_is_read(saved):
    folder = saved / os.fsdecode(b"\xff")
    a_ticket().save(folder)
    assert Ticket.load(folder).digest() == a_ticket().digest() and check(folder / "ticket.safetensors").ok


WHOLE = {"a": torch.tensor([0, 1])}
ODD = [
    (Ticket({}, {}, {}), "has no weights or no mask"),
    (Ticket({"a": WHOLE["a"] > 0}, WHOLE, WHOLE, 0.5), r"'a' is masked and of torch\.int64"),
]


@pytest.mark.parametrize(("ticket", "words"), ODD)
def test_what_is_no_ticket_is_refused_with_its_own_digest(tmp_path, ticket, words):
    ticket.save(tmp_path)
    with pytest.raises(UserError, match=words):
        Ticket.load(tmp_path)
    assert not check(tmp_path / "ticket.safetensors").ok


def test_a_network_without_prunable_weights_is_a_ticket_too(tmp_path):
    Ticket({}, {"a": torch.ones(2)}, {"a": torch.zeros(2)}).save(tmp_path)
    assert Ticket.load(tmp_path).mask == {}


def test_a_save_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="no"):
        a_ticket().save(tmp_path)
    assert list(tmp_path.iterdir()) == []


VALUES = (None, True, 0, -1, 0.1, 10**400, "", "\x1b\n", "lth", [], [0], [1] * 65, {}, {"a": 1})


def edits() -> Iterator[Callable[[Path], object]]:
    """A hundred and more: every fact, fact of a fact, and what the header says of two tensors, lost or another."""
    facts = {"spec": asdict(a_ticket().spec), "mask": ("a.weight", "b.weight")}
    keys = [(key,) for key in ("schema", "recipe", "network", "digest", "sparsity", "mask", "spec", "surplus")]
    keys += [("sparsity", key) for key in ("nominal", "counted")]
    keys += [(key, inner) for key in facts for inner in (*facts[key], "surplus")]
    for key in keys:
        yield from (partial(replaced, file="ticket.json", key=key, value=value) for value in (..., *VALUES))
    for key in itertools.product(("mask", "weights/a.weight"), ("dtype", "shape", "data_offsets")):
        yield from (partial(replaced, file="ticket.safetensors", key=key, value=value) for value in (..., *VALUES))


def replaced(folder: Path, file: str, key: tuple[str, ...], value: object) -> None:
    def change(held: dict) -> None:
        for name in key[:-1]:
            held = held[name]
        held.pop(key[-1], None)
        held.update({} if value is ... else {key[-1]: value})

    if file == "ticket.safetensors":
        header_changed(folder, change)
        return
    facts = json.loads((folder / file).read_text())
    change(facts)
    (folder / file).write_text(json.dumps(facts))


def test_check_and_load_agree_on_every_edit(saved):
    """But for how much a recipe prunes, which only `unilth check` asks."""
    good = {path: path.read_bytes() for path in saved.iterdir()}
    ends = Counter()
    for edit in edits():
        edit(saved)
        try:
            report = check(saved / "ticket.safetensors")
            found = {row.id for row in report.violations} - {"ticket-sparsity"} or {str(report.ok)}
            assert not report.counts["error"], (edit, str(report))
        except UserError as error:
            found = {str(error)}
        try:
            Ticket.load(saved)
            assert found & {"True", "False"}, (edit, found)
            ends["loaded"] += 1
        except UserError as error:
            assert "True" not in found, (edit, error)
            ends["refused"] += 1
        for path, content in good.items():
            path.write_bytes(content)
    assert ends["loaded"] > 50 and ends["refused"] > 300, ends
