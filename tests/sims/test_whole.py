"""Files that users name: whole or as they were."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from unilth.cli import main
from unilth.sims.results import Store
from unilth.sims.spec import RunSpec
from unilth.sims.whole import put


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file may become larger than ``size`` bytes meanwhile."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_was_there_stays_where_there_is_no_room(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with full_disk(1000), pytest.raises(OSError) as caught:
        put(path, b"new" * 1000)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old" and [found.name for found in tmp_path.iterdir()] == ["a"]
    path.chmod(0o640)
    put(path, b"new" * 1000)
    assert path.read_bytes() == b"new" * 1000 and path.stat().st_mode & 0o777 == 0o640


def test_a_link_stays_and_a_pipe_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("file")
    put(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_bytes() == b"new"
    os.mkfifo(tmp_path / "pipe")
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    put(tmp_path / "pipe", b"through")
    reader.join(10)
    assert heard == [b"through"] and (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("option", ["keep", "csv", "markdown", "latex"])
def test_a_table_on_a_full_disk_costs_nothing(tmp_path: Path, capsys, option: str) -> None:
    for seed in range(40):
        noise = os.urandom(200).hex()  # so that the records do not become small
        Store(tmp_path / "runs").create()
        spec = RunSpec(f"recipe {seed}", sparsity=0.5, seed=seed)
        Store(tmp_path / "runs").write(spec, {"test": {"accuracy": 0.5}, "noise": noise})
    path = tmp_path / "kept"
    wanted = path / "records.jsonl.gz" if option == "keep" else path
    argv = ["table", str(path if option == "keep" else tmp_path / "runs"), f"--{option}", str(path)]
    assert main(["table", str(tmp_path / "runs"), f"--{option}", str(path)]) == 0
    before = wanted.read_bytes()
    capsys.readouterr()
    with full_disk(1000):
        assert main(argv) == 2
    error = capsys.readouterr().err
    assert f"cannot read or write ({wanted})" in error and error.count("\n") == 1
    assert wanted.read_bytes() == before and main(argv) == 0
