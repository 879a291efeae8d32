"""Run folders: all or nothing, believed only after checks, and nothing from outside is trusted."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unilth.errors import UserError
from unilth.sims.records import DamagedRecord, dump, read_json, read_record
from unilth.sims.results import Store, run_name
from unilth.sims.spec import RunSpec

SPEC = RunSpec("lth", sparsity=0.9, seed=3)


def ticket(folder: Path) -> None:
    (folder / "ticket.json").write_text("{}\n")
    (folder / "ticket.safetensors").write_bytes(b"\0" * 100)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "runs")
    made.create()
    return made


def test_a_run_is_written_and_believed(store: Store) -> None:
    assert store.finished(SPEC) is None
    folder = store.write(SPEC, {"test_accuracy": 0.1, "timing": {"seconds": 1.5}}, ticket)
    assert folder.name == f"lth-lenet-300-100-digits-s0.9-seed3-{SPEC.digest()[:8]}"
    record = store.finished(SPEC)
    assert record["test_accuracy"] == 0.1 and record["timing"] == {"seconds": 1.5}
    assert record["spec_digest"] == SPEC.digest() and RunSpec.from_dict(record["spec"]) == SPEC
    assert record["files"] == {"ticket.json": 3, "ticket.safetensors": 100}
    assert store.records() == [record]
    assert sorted(path.name for path in store.root.iterdir()) == [folder.name]  # nothing temporary is left


def test_the_text_is_stable(store: Store) -> None:
    value = {"b": (1, 2.0), "a": {"z": 0.1 + 0.2, "y": float("nan")}, "c": float("-inf")}
    text = dump(value)
    assert text == dump(dict(reversed(value.items())))
    assert text.endswith("}\n") and "0.30000000000000004" in text
    assert json.loads(text) == {"a": {"y": None, "z": 0.1 + 0.2}, "b": [1, 2.0], "c": None}
    assert dump(json.loads(text)) == text


def test_a_run_that_fails_to_be_written_leaves_nothing(store: Store) -> None:
    def breaks(folder: Path) -> None:
        ticket(folder)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        store.write(SPEC, {}, breaks)
    with pytest.raises(TypeError):
        store.write(SPEC, {"weights": object()}, ticket)
    assert list(store.root.iterdir()) == [] and store.finished(SPEC) is None


def test_the_first_of_two_writers_stays(store: Store) -> None:
    first = store.write(SPEC, {"timing": {"seconds": 1}}, ticket)
    assert store.write(SPEC, {"timing": {"seconds": 2}}, ticket) == first
    assert store.finished(SPEC)["timing"] == {"seconds": 1}
    assert len(list(store.root.iterdir())) == 1


def damage_truncate(folder: Path) -> None:
    path = folder / "record.json"
    path.write_bytes(path.read_bytes()[:-20])


def damage_missing_ticket(folder: Path) -> None:
    (folder / "ticket.safetensors").unlink()


def damage_short_ticket(folder: Path) -> None:
    (folder / "ticket.safetensors").write_bytes(b"\0" * 99)


def damage_no_record(folder: Path) -> None:
    (folder / "record.json").unlink()


def damage_other_seed(folder: Path) -> None:
    path = folder / "record.json"
    path.write_text(path.read_text().replace('"seed": 3', '"seed": 4'))


def damage_other_digest(folder: Path) -> None:
    # The name's eight characters agree, the rest does not: only the full digest tells.
    path = folder / "record.json"
    digest = SPEC.digest()
    path.write_text(path.read_text().replace(digest, digest[:8] + digest[8:][::-1]))


def damage_a_file_instead(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("not a folder")


DAMAGES = (
    damage_truncate, damage_missing_ticket, damage_short_ticket, damage_no_record, damage_other_seed,
    damage_other_digest, damage_a_file_instead,
)  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_seen_and_the_run_can_be_repeated(store: Store, damage) -> None:
    folder = store.write(SPEC, {"n": 1}, ticket)
    damage(folder)
    with pytest.raises(DamagedRecord):
        store.finished(SPEC)
    assert store.write(SPEC, {"n": 2}, ticket) == folder
    assert store.finished(SPEC)["n"] == 2
    assert len(list((store.root / "damaged").iterdir())) == 1  # set aside, not deleted


def record_with(**changes: object) -> dict:
    record = {"schema": 1, "spec_digest": SPEC.digest(), "timing": {}, "files": {}, "spec": json.loads(SPEC.to_json())}
    return record | changes


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"a": NaN}', "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "not a JSON object"),
        (b'{"a": [1e999]}', r"not finite or no measurement \(1e999\)"),
        (b'{"a": -1e400}', "not finite"),
        (b'{"a": 1' + b"0" * 400 + b"}", "no measurement"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "no measurement"),
        (json.dumps(record_with(timing={"seconds": -5})).encode(), "timing.seconds of -5, and no time is negative"),
        (json.dumps(record_with(timing={"seconds": 1.7e308})).encode(), r"seconds of 1.7e\+308, and no run takes"),
        (json.dumps(record_with(timing={"seconds": 10**99})).encode(), "and no run takes"),
        (json.dumps(record_with(timing={"seconds": None})).encode(), "has a timing.seconds of a wrong type"),
        (json.dumps(record_with(timing={"seconds": "1"})).encode(), "has a timing.seconds of a wrong type"),
        (json.dumps(record_with(test=None)).encode(), "has no test.accuracy"),
        (json.dumps(record_with(test={"loss": 1})).encode(), "has no test.accuracy"),
        (json.dumps(record_with(test={"accuracy": None})).encode(), "has a test.accuracy of a wrong type"),
        (json.dumps(record_with(test={"accuracy": "0.9"})).encode(), "has a test.accuracy of a wrong type"),
        (json.dumps(record_with(test={"accuracy": True})).encode(), "has a test.accuracy of a wrong type"),
        (json.dumps(record_with(test={"accuracy": 1, "loss": "1"})).encode(), "has a test.loss of a wrong type"),
        (json.dumps(record_with(test={"accuracy": 1, "loss": [1]})).encode(), "has a test.loss of a wrong type"),
        (json.dumps(record_with(schema=2)).encode(), "has schema 2, and this version reads 1"),
        (json.dumps(record_with(spec_digest="../../etc")).encode(), "no spec_digest"),
        (json.dumps(record_with(timing=None)).encode(), "no timing"),
        (json.dumps(record_with(spec=[])).encode(), "no spec"),
        (json.dumps(record_with(spec={"recipe": "lth", "network": 3})).encode(), "no network"),
        (json.dumps(record_with(spec=json.loads(SPEC.to_json()) | {"seed": True})).encode(), "no whole seed"),
        (json.dumps(record_with(spec=json.loads(SPEC.to_json()) | {"sparsity": 1.2})).encode(), "no sparsity"),
        (json.dumps(record_with(spec_digest="0" * 64)).encode(), "another run than its spec_digest says"),
        (json.dumps(record_with(spec=json.loads(SPEC.to_json()) | {"zzz": 1})).encode(), "spec has no key 'zzz'"),
        (json.dumps(record_with(files=[])).encode(), "no list of files"),
        (json.dumps(record_with(files={"../../x": 1})).encode(), "impossible name"),
    ],
)
def test_a_foreign_record_is_refused_in_one_sentence(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(DamagedRecord, match=what) as caught:
        read_record(path)
    assert str(path) in str(caught.value) and "run the sweep again" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_record_of_these_refusals_is_itself_good(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    tests = ({"accuracy": 1, "loss": 0.5}, {"accuracy": 0.1, "loss": None}, {"accuracy": 0.5})  # null: it was a NaN
    for more in ({}, {"timing": {"seconds": 1e12}}, *({"test": test} for test in tests)):
        path.write_text(json.dumps(record_with(**more)))
        assert read_record(path) == record_with(**more)


def test_two_records_of_one_run_are_one_or_refused(store: Store) -> None:
    first = store.write(SPEC, {"test": {"accuracy": 0.9}, "timing": {"seconds": 1}}, ticket)
    for name in ("a-copy", "z-copy"):
        copy = shutil.copytree(first, store.root / name) / "record.json"
        copy.write_text(copy.read_text().replace('"seconds": 1', '"seconds": 2'))
        assert [record["test"] for record in store.records()] == [{"accuracy": 0.9}]
        copy.write_text(copy.read_text().replace('"accuracy": 0.9', '"accuracy": 0.1'))
        with pytest.raises(UserError) as caught:
            store.records()
        said = str(caught.value)
        assert f"'{first / 'record.json'}'" in said and f"'{copy}'" in said and "differ in test: move one" in said
        shutil.rmtree(store.root / name)


def test_the_record_of_find_counts_without_a_list_of_files(store: Store) -> None:
    first = store.write(SPEC, {"n": 1}, ticket)
    record = read_record(first / "record.json")
    first.rename(store.root / "mine")
    del record["files"]
    (store.root / "mine" / "record.json").write_text(dump(record))
    assert store.records() == [record] and store.finished(SPEC) is None
    (store.root / "mine").rename(first)  # where a sweep looks, sizes must be known
    with pytest.raises(DamagedRecord, match="no sweep wrote it: rename its folder"):
        store.finished(SPEC)


def test_size_pipes_and_missing_files_are_refused(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_text('"' + "a" * 100 + '"')
    assert read_json(large, largest=102) == "a" * 100
    with pytest.raises(UserError, match="102 bytes, more than the 101 allowed"):
        read_json(large, largest=101)
    with pytest.raises(UserError, match="cannot be read"):
        read_json(tmp_path / "missing")
    with pytest.raises(UserError, match="is not a file"):
        read_json(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="is not a file"):
        read_json(tmp_path / "pipe")


def test_a_damaged_record_stops_readers(store: Store) -> None:
    damage_truncate(store.write(SPEC, {}, ticket))
    with pytest.raises(DamagedRecord, match="run the sweep again"):
        store.records()


def test_places_that_are_no_directories_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is not a directory"):
        Store(tmp_path / "file")
    with pytest.raises(UserError, match="cannot be made"):
        Store(tmp_path / "file" / "below").create()
    with pytest.raises(UserError, match="there is no directory"):
        Store(tmp_path / "missing").records()


def test_only_the_temporaries_of_the_dead_are_cleaned(store: Store) -> None:
    code = (
        "import sys, time, pathlib; from unilth.sims.results import Store; from unilth.sims.spec import RunSpec\n"
        "def save(folder):\n    (folder / 'half').touch(); print('writing', flush=True); time.sleep(60)\n"
        "Store(pathlib.Path(sys.argv[1])).write(RunSpec('omp'), {}, save)"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(store.root)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout.readline() == "writing\n"
    assert store.records() == [] and store.finished(RunSpec("omp")) is None  # half-written runs are never read
    assert store.clean() == 0 and len(list(store.root.glob(".tmp-*/half"))) == 1
    writer.kill()  # and not waited for: a zombie is dead
    for _ in range(1000):
        if store.clean() == 1:
            break
        time.sleep(0.005)
    assert list(store.root.iterdir()) == []
    writer.communicate()


def test_where_folders_cannot_be_locked_age_decides(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    for name in ("new", "old"):
        (store.root / f".tmp-{name}").mkdir()
    before = time.time() - 2 * 86_400
    os.utime(store.root / ".tmp-old", (before, before))
    assert store.clean() == 1 and (store.root / ".tmp-new").exists()
    assert store.write(SPEC, {}, ticket).is_dir()


def test_names_stay_inside_the_folder() -> None:
    spec = RunSpec("../../x", network="my/module.py:Net", data="a b" * 40)
    name = run_name(spec)
    assert "/" not in name and not name.startswith(".") and len(name) < 160
    assert run_name(RunSpec("lth", seed=1)) != run_name(RunSpec("lth", seed=1, epochs=3))


def test_reading_results_needs_no_torch() -> None:
    code = "import sys, unilth.sims.results, unilth.sims.statistics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_half_written_checkpoints_are_cleaned(store: Store) -> None:
    whole, half = store.checkpoint(SPEC), store.checkpoint(SPEC).with_name(f".{store.checkpoint(SPEC).name}.ab_d3fgh")
    whole.parent.mkdir()
    for path in (whole, half):
        path.write_bytes(b"x")
    store.clean()
    assert whole.exists() and not half.exists()
