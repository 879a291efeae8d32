"""What lies in the folder of `unilth find` is never lost: one run at a time, and nothing of another run replaced."""

from __future__ import annotations

import errno
import json
import os
import shutil

import pytest

from unilth.cli import main
from unilth.sims import one_run
from unilth.sims.lock import locked
from unilth.sims.spec import RunSpec

QUICK = ["--epochs", "4", "--batch", "256"]


def find(*argv: object) -> int:
    return main(["find", *map(str, argv)])


def test_a_folder_has_one_run_at_a_time(tmp_path, capsys):
    with locked(tmp_path, name="here"):
        assert find("omp", "--out", tmp_path, *QUICK) == 2
    error = capsys.readouterr().err
    assert f"--out '{tmp_path}' is in use by another run (pid " in error and error.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {".lock"}
    assert find("omp", "--out", tmp_path, *QUICK) == 0


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.symlink_to(path.parent.parent / "thesis"), "a symbolic link"),
        (lambda path: path.symlink_to("nothing"), "a symbolic link"),
        (lambda path: os.mkfifo(path), "no regular file"),
        (lambda path: path.mkdir(), "a folder"),
        (lambda path: path.write_text("of something else"), "a file of something else"),
    ],
)
@pytest.mark.parametrize("command", ["find", "sweep"])
def test_what_is_no_lock_is_not_written_to(tmp_path, capsys, make, why, command):
    (tmp_path / "thesis").write_text("years of work")
    folder = tmp_path / "a"
    folder.mkdir()
    make(folder / ".lock")
    (tmp_path / "c.toml").write_text('claim = "c"\n[grid]\nrecipes = ["omp"]\nsparsities = [0.5]\nseeds = 1\n')
    argv = ["find", "omp", *QUICK] if command == "find" else ["sweep", str(tmp_path / "c.toml"), "--workers", "1"]
    assert main([*argv, "--out", str(folder)]) == 2
    error = capsys.readouterr().err
    assert f"'{folder}' cannot be locked: its .lock is {why}; move that away or name another" in error
    assert error.count("\n") == 1 and [path.name for path in folder.iterdir()] == [".lock"]
    assert (tmp_path / "thesis").read_text() == "years of work" and (
        why != "a file of something else" or (folder / ".lock").read_text() == "of something else"
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_what_came_into_the_folder_meanwhile_stays(tmp_path, capsys, monkeypatch, seed):
    """From a process without our lock: one on another machine, a copy."""
    assert find("omp", "--seed", seed, "--out", tmp_path / "other", *QUICK) == 0
    execute = one_run.execute

    def disturbed(*args, **options):
        found = execute(*args, **options)
        for name in ("ticket.safetensors", "ticket.json", "record.json"):
            (tmp_path / "a" / name).write_bytes((tmp_path / "other" / name).read_bytes())
        return found

    monkeypatch.setattr(one_run, "execute", disturbed)
    capsys.readouterr()
    assert find("omp", "--out", tmp_path / "a", *QUICK) == (0 if seed == 0 else 2)
    shown = capsys.readouterr()
    assert "found before" in shown.out if seed == 0 else "already holds a different ticket" in shown.err
    for name in ("ticket.safetensors", "record.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


class Killed(BaseException):
    """A kill, as far as a process can do that to itself."""


def interrupted(folder, spec):
    def progress(done, total, what):
        if done == 2:
            raise Killed

    with pytest.raises(Killed):
        one_run.find_into(spec, folder, progress=progress, every=0)
    return folder / "checkpoint.safetensors"


def test_the_checkpoint_of_another_run_is_not_given_up(tmp_path, capsys):
    path = interrupted(tmp_path, RunSpec("omp", epochs=4, batch=256))
    content = path.read_bytes()
    assert find("omp", "--seed", 1, "--out", tmp_path, *QUICK) == 2
    error = capsys.readouterr().err
    assert f"--out {tmp_path} holds the checkpoint of another run" in error and error.count("\n") == 1
    assert "give another folder" in error and f"remove {path}" in error
    assert path.read_bytes() == content and not (tmp_path / "ticket.json").exists()
    path.write_bytes(content[:-1])  # damaged: passed over, whoever's it was
    assert find("omp", "--seed", 1, "--out", tmp_path, *QUICK) == 0
    assert "is damaged or not a checkpoint: the run starts from the beginning" in capsys.readouterr().err
    assert not path.exists()


def test_a_checkpoint_under_other_code_is_passed_over(tmp_path, capsys, monkeypatch):
    path = interrupted(tmp_path, RunSpec("omp", epochs=4, batch=256))
    monkeypatch.setattr("unilth.sims.execute.code_digest", lambda: "0")
    assert find("omp", "--out", tmp_path, *QUICK) == 0
    assert "is of another run (other code): the run starts" in capsys.readouterr().err and not path.exists()


def test_a_finished_run_on_other_data_is_told_from_this_one(tmp_path, capsys, monkeypatch):
    argv = ["omp", "--out", tmp_path / "a", *QUICK]
    assert find(*argv) == 0
    path = tmp_path / "a" / "record.json"
    record = json.loads(path.read_text())
    assert find(*argv, "--data-dir", tmp_path) == 0
    path.write_text(json.dumps(record | {"data_digest": "0" * 64}))
    capsys.readouterr()
    assert find(*argv, "--data-dir", tmp_path) == 2
    error = capsys.readouterr().err
    assert f"--out {tmp_path / 'a'} holds this run on other data (digest 000000000000, now " in error
    assert "give another folder" in error and error.count("\n") == 1
    with monkeypatch.context() as patch:
        patch.setattr(one_run, "load", None)
        assert find(*argv) == 0  # without --data-dir nothing is loaded
    assert find(*argv, "--data-dir", tmp_path / "none") == 0
    assert ": the data are not compared with those of the finished run" in capsys.readouterr().err


DAMAGE = {
    "a cut record": (lambda f: cut(f / "record.json"), "record.json' is not JSON"),
    "an empty record": (lambda f: (f / "record.json").write_bytes(b""), "record.json' is not JSON"),
    "a record that is a list": (lambda f: (f / "record.json").write_text("[]"), "record.json' is not a JSON object"),
    "a spec with a misspelt key": (
        lambda f: (f / "record.json").write_text('{"spec": {"recipe": "omp", "zzz": 1}}'),
        "record.json': a run spec has no key 'zzz'",
    ),
    "cut facts": (lambda f: cut(f / "ticket.json"), "ticket.json' is not JSON"),
    "missing facts": (lambda f: (f / "ticket.json").unlink(), "ticket.json' cannot be read (No such file"),
    "cut tensors": (lambda f: cut(f / "ticket.safetensors"), "ticket.safetensors is not a safetensors file or is"),
    "no tensors": (lambda f: (f / "ticket.safetensors").unlink(), "ticket.safetensors is missing or no file"),
    "a flipped bit": (lambda f: flip(f / "ticket.safetensors"), "ticket.safetensors: 'fc1.weight' holds pruned"),
    "cut facts and no record": (
        lambda f: (cut(f / "ticket.json"), (f / "record.json").unlink()),
        "ticket.json' is not JSON",
    ),
}  # fmt: skip


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-len(content) // 3] ^= 1
    path.write_bytes(content)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("done")
    assert find("omp", "--out", folder, *QUICK) == 0
    return folder


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_damaged_is_said_with_its_reason(done, tmp_path, capsys, name):
    damage, reason = DAMAGE[name]
    folder = shutil.copytree(done, tmp_path / "a")
    damage(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    capsys.readouterr()
    assert find("omp", "--out", folder, *QUICK) == 2
    error = capsys.readouterr().err
    assert f"--out {folder} holds a damaged run (" in error and reason in error and error.count("\n") == 1
    assert "give another folder, or remove" in error and "different ticket" not in error
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


def without(*path):
    def edit(record):
        for key in path[:-1]:
            record = record[key]
        del record[path[-1]]

    return edit


def put(value, *path):
    def edit(record):
        for key in path[:-1]:
            record = record[key]
        record[path[-1]] = value

    return edit


EDITS = {
    "no test": (without("test"), "has no test.accuracy"),
    "test null": (put(None, "test"), "has no test.accuracy"),
    "accuracy 2": (put(2.0, "test", "accuracy"), "has a test.accuracy of 2.0, which is not from 0 to 1"),
    "accuracy text": (put("x", "test", "accuracy"), "has a test.accuracy of a wrong type"),
    "accuracy true": (put(True, "test", "accuracy"), "has a test.accuracy of a wrong type"),
    "no sparsity": (without("sparsity"), "has no sparsity.counted"),
    "no emptied": (without("sparsity", "emptied"), "has no sparsity.emptied"),
    "emptied numbers": (put([3], "sparsity", "emptied"), "sparsity.emptied that does not name layers"),
    "layers a list": (put([1], "sparsity", "layers"), "has a sparsity.layers of a wrong type"),
    "layers of texts": (put({"a": "b"}, "sparsity", "layers"), "sparsity.layers that are not all from 0 to 1"),
    "no recipe": (without("recipe"), "has no recipe and phases as a run writes them"),
    "recipe null": (put(None, "recipe"), "has no recipe and phases"),
    "phases null": (put(None, "phases"), "has no recipe and phases"),
    "phases texts": (put(["a"], "phases"), "has no recipe and phases"),
    "no timing": (without("timing"), "has no timing"),
    "seconds null": (put(None, "timing", "seconds"), "has a timing.seconds of a wrong type"),
    "seconds negative": (put(-1, "timing", "seconds"), "no time is negative"),
    "no stopping": (without("stopping_epoch"), "has no stopping_epoch"),
    "best text": (put("x", "best_epoch"), "has a best_epoch of a wrong type"),
    "schema 2": (put(2, "schema"), "has schema 2, and this version reads 1"),
    "no digest": (without("ticket_digest"), "has no ticket_digest"),
    "another spec digest": (put("0" * 64, "spec_digest"), "belongs to another run than its spec_digest says"),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_a_record_that_was_edited_by_hand_is_a_damaged_run(done, tmp_path, capsys, name):
    edit, reason = EDITS[name]
    folder = shutil.copytree(done, tmp_path / "a")
    record = json.loads((folder / "record.json").read_text())
    edit(record)
    (folder / "record.json").write_text(json.dumps(record))
    capsys.readouterr()
    assert find("omp", "--out", folder, *QUICK) == 2
    error = capsys.readouterr().err
    assert f"--out {folder} holds a damaged run ('{folder / 'record.json'}' " in error and reason in error
    assert "give another folder, or remove" in error and error.count("\n") == 1


def test_a_loss_that_was_not_finite_is_said(done, tmp_path, capsys):
    folder = shutil.copytree(done, tmp_path / "a")
    record = json.loads((folder / "record.json").read_text())
    put(None, "test", "loss")(record)
    (folder / "record.json").write_text(json.dumps(record))
    capsys.readouterr()
    assert find("omp", "--out", folder, *QUICK) == 0
    assert "not finite" in capsys.readouterr().out


def test_a_record_with_another_ticket_is_not_its_own(done, tmp_path, capsys):
    folder = shutil.copytree(done, tmp_path / "a")
    assert find("omp", "--seed", 1, "--out", tmp_path / "b", *QUICK) == 0
    for name in ("ticket.json", "ticket.safetensors"):
        shutil.copy(tmp_path / "b" / name, folder / name)
    assert find("omp", "--out", folder, *QUICK) == 2
    assert "already holds a different ticket" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "ticket.safetensors", "ticket.json", "record.json"])
def test_a_folder_where_a_file_goes_is_said_before_any_training(tmp_path, capsys, monkeypatch, name):
    (tmp_path / name / "below").mkdir(parents=True)
    monkeypatch.setattr(one_run, "execute", None)
    assert find("omp", "--out", tmp_path, *QUICK) == 2
    error = capsys.readouterr().err
    assert f"--out {tmp_path} holds a folder {name}, where a run has a file: give another folder" in error
    assert error.count("\n") == 1 and (tmp_path / name / "below").exists()


def test_tensors_of_nobody_knows_which_run_stay(done, tmp_path, capsys):
    folder = tmp_path / "a"
    folder.mkdir()
    path = folder / "ticket.safetensors"
    shutil.copy(done / path.name, path)
    for argv in (["omp"], ["omp", "--seed", 1]):
        assert find(*argv, "--out", folder, *QUICK) == 2
        error = capsys.readouterr().err
        assert f"--out {folder} holds a ticket.safetensors with no ticket.json that tells whose it is" in error
        assert "give another folder, or move it away" in error and error.count("\n") == 1
    assert path.read_bytes() == (done / path.name).read_bytes() and {p.name for p in folder.iterdir()} == {path.name}
    interrupted(tmp_path / "b", RunSpec("omp", epochs=4, batch=256)).rename(folder / "checkpoint.safetensors")
    path.write_bytes(b"as a kill leaves it, after the tensors and before ticket.json")
    assert find("omp", "--seed", 1, "--out", folder, *QUICK) == 2
    assert find("omp", "--out", folder, *QUICK) == 0
    assert path.read_bytes() == (done / path.name).read_bytes()


@pytest.mark.parametrize("raised", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("room", [True, False])
def test_a_short_run_that_cannot_be_saved_can_be_done_again(tmp_path, capsys, monkeypatch, raised, room):
    """Its checkpoint is left, which tells whose the tensors are; where there is no room for one, nothing is left."""
    rename = os.replace

    def stop(source, target):
        if os.fspath(target).endswith("checkpoint.safetensors") and not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        if os.fspath(target).endswith("ticket.json"):
            raise raised
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", stop)
        assert find("omp", "--out", tmp_path, *QUICK) == (2 if isinstance(raised, OSError) else 130)
    left = {"checkpoint.safetensors", "ticket.safetensors"} if room else set()
    assert {path.name for path in tmp_path.iterdir()} == {".lock"} | left
    assert find("omp", "--out", tmp_path, *QUICK) == 0


def test_a_kill_after_the_record_leaves_no_checkpoint_for_ever(tmp_path, capsys, monkeypatch):
    spec = RunSpec("omp", epochs=4, batch=256)
    path = interrupted(tmp_path, spec)
    content = path.read_bytes()
    assert find("omp", "--out", tmp_path, *QUICK) == 0 and not path.exists()
    path.write_bytes(content)
    with locked(tmp_path, name="here"):
        assert find("omp", "--out", tmp_path, *QUICK) == 0 and path.exists()  # somebody is at it
    assert find("omp", "--out", tmp_path, *QUICK) == 0 and not path.exists()
    path.write_bytes(interrupted(tmp_path / "b", RunSpec("omp", epochs=4, batch=256, seed=1)).read_bytes())
    assert find("omp", "--out", tmp_path, *QUICK) == 0 and path.exists()  # of another run


def test_looking_whether_a_folder_can_be_written_leaves_nothing(tmp_path, monkeypatch):
    """Whenever it is killed: every name that it makes is seen."""
    seen = []
    for name in ("replace", "rename", "link"):
        monkeypatch.setattr(os, name, lambda *args: seen.append(args))
    (tmp_path / ".probe").write_text("a file of the user's")
    one_run._make(tmp_path)
    assert seen == [] and (tmp_path / ".probe").read_text() == "a file of the user's"


def test_what_a_kill_left_half_written_goes_away(tmp_path):
    names = (
        "..probe.a1b2_3d4",
        ".checkpoint.safetensors.a1b2_3d4",
        ".ticket.safetensors.abcdefgh",
        ".ticket.json.abcdefgh",
    )
    for name in (*names, ".record.json.00000000", ".mine.json.abcdefgh", ".record.json.backup-of-mine"):
        (tmp_path / name).write_bytes(b"half")
    assert find("omp", "--out", tmp_path, *QUICK) == 0
    ours = {".lock", "record.json", "ticket.json", "ticket.safetensors"}
    assert {path.name for path in tmp_path.iterdir()} == ours | {".mine.json.abcdefgh", ".record.json.backup-of-mine"}


@pytest.mark.parametrize("name", ["ticket.safetensors", "ticket.json", "record.json"])
def test_a_full_disk_at_the_end_names_the_file(tmp_path, capsys, monkeypatch, name):
    rename = os.replace

    def full(source, target):
        if os.fspath(target).endswith(name):
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(source, target)

    path = interrupted(tmp_path, RunSpec("omp", epochs=4, batch=256))
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)
        assert find("omp", "--out", tmp_path, *QUICK) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path / name} cannot be written (No space left on device): make room and run" in error
    assert error.count("\n") == 1 and path.exists()
    assert find("omp", "--out", tmp_path, *QUICK) == 0 and not path.exists()
