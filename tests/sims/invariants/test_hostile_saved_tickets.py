"""Hostile and damaged ticket files: refused in one sentence or judged, never a crash."""

import collections
import json
import os
import random
import shutil

import pytest

from tests.sims.invariants.tickets_to_break import edit, saved, specified
from unilth.cli import main
from unilth.errors import UserError
from unilth.sims.invariants import check
from unilth.sims.tickets import Ticket


@pytest.fixture
def path(tmp_path):
    return saved(tmp_path / "good")


def truncate(path, content):
    path.write_bytes(content[: len(content) // 2])


def huge_header(path, content):
    path.write_bytes((2**60).to_bytes(8, "little") + content[8:])


def no_header(path, content):
    path.write_bytes(b"\x10\0\0\0\0\0\0\0" + b"{" * 16)


def overlapping(path, content):
    header = {n: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for n in ("weights/a", "initial/a")}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))


def wrong_length(path, content):
    text = json.dumps({"mask": {"dtype": "U8", "shape": [2**40], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))


def pickled(path, content):
    path.write_bytes(b"\x80\x04\x95" + bytes(40))


@pytest.mark.parametrize("damage", [truncate, huge_header, no_header, overlapping, wrong_length, pickled])
def test_a_hostile_file_is_refused_in_one_sentence(path, damage, capsys):
    damage(path, path.read_bytes())
    assert main(["check", str(path)]) == 2
    error = capsys.readouterr().err
    assert "safetensors" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "facts",
    [
        lambda f: f.update(schema=99),
        lambda f: f.pop("mask"),
        lambda f: f.update(mask={"a.weight": "5x3"}),
        lambda f: f.update(mask={"a.weight": [-1]}),
        lambda f: f["sparsity"].update(nominal=7),
        lambda f: f.update(spec={"a": [1]}),
        lambda f: specified()(f) or f["spec"].update(sparsity="0.5"),
    ],
)
def test_facts_that_are_no_tickets_are_refused(path, facts, capsys):
    edit(path, facts=facts)
    assert main(["check", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    with pytest.raises(UserError) as refused:
        Ticket.load(path)
    assert error == f"unilth: error: {refused.value}\n"


def test_missing_files_are_one_sentence(path, tmp_path, capsys):
    assert main(["check", str(tmp_path / "none.safetensors")]) == 2
    lonely = tmp_path / "lonely"
    lonely.mkdir()
    shutil.copy(path, lonely / "ticket.safetensors")
    assert main(["check", str(lonely / "ticket.safetensors")]) == 2
    assert "ticket.json" in capsys.readouterr().err
    (tmp_path / "folder.safetensors").mkdir()
    assert main(["check", str(tmp_path / "folder.safetensors")]) == 2
    assert "is a folder" in capsys.readouterr().err
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "device.safetensors").symlink_to("/dev/zero")
    for name in ("pipe", "device"):
        assert main(["check", str(tmp_path / f"{name}.safetensors")]) == 2
        assert f"{name}.safetensors is no regular file" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ticket.safetensors", "ticket.json"])
def test_a_damaged_byte_is_refused_or_judged_and_never_a_crash(path, name):
    chance, ends = random.Random(7), collections.Counter()
    where = path.with_name(name)
    good = where.read_bytes()
    for _ in range(300):
        damaged = bytearray(good)
        for _ in range(chance.choice((1, 3))):
            damaged[chance.randrange(len(good))] = chance.randrange(256)
        where.write_bytes(damaged[: chance.choice((len(good), len(good), chance.randrange(len(good))))])
        try:
            report = check(str(path))
        except UserError as refused:
            assert "\n" not in str(refused) and str(path.parent) in str(refused)
            ends["refused"] += 1
        else:
            assert not report.counts["error"]
            ends["passed" if report.ok else "violated"] += 1
    assert ends["refused"] > 100 and ends["violated"] > 10, ends
