"""Files that users name: whole or as they were."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from unilth.cli import main
from unilth.sims.results import Store
from unilth.sims.spec import RunSpec
from unilth.sims.whole import put, refuse


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


@pytest.fixture
def guarded() -> Iterator[Path]:
    """A folder to which nothing can be added, with a file in it that can be written; for root, by another user."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "mine").write_bytes(b"a long old text")
        (folder / "mine").chmod(0o666)
        folder.chmod(0o555)
        root = os.geteuid() == 0
        try:
            if root:
                os.seteuid(65534)
            yield folder
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o755)


def test_a_file_that_can_be_written_is_where_its_folder_cannot(guarded: Path) -> None:
    with full_disk(1000), pytest.raises(OSError):
        put(guarded / "mine", b"new" * 1000)
    assert (guarded / "mine").read_bytes() == b"a long old text"
    refuse(guarded / "mine")
    for content in (b"new" * 1000, b"short", b""):
        put(guarded / "mine", content)
        assert (guarded / "mine").read_bytes() == content
    for write in (refuse, lambda path: put(path, b"new")):
        with pytest.raises(PermissionError) as caught:
            write(guarded / "none")
        assert caught.value.filename == str(guarded / "none")
    assert [found.name for found in guarded.iterdir()] == ["mine"]


def test_a_file_that_is_a_mount_is_written_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(os, "replace", busy)
    (tmp_path / "a").write_bytes(b"old")
    put(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new" and [found.name for found in tmp_path.iterdir()] == ["a"]
    with pytest.raises(OSError):
        put(tmp_path / "b", b"new")
    assert [found.name for found in tmp_path.iterdir()] == ["a"]


def test_a_file_that_is_not_writable_is_refused_and_stays(guarded: Path) -> None:
    with tempfile.TemporaryDirectory() as name:  # its folder is
        path = Path(name) / "a"
        path.write_bytes(b"old")
        path.chmod(0o444)
        for write in (refuse, lambda path: put(path, b"new")):
            with pytest.raises(PermissionError):
                write(path)
        assert path.read_bytes() == b"old"


def test_what_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "away").symlink_to("no/where")
    for name in ("no/a", "loop", "away", "x" * 256):
        with pytest.raises(OSError) as caught:
            refuse(tmp_path / name)
        assert caught.value.filename == str(tmp_path / name)
    (tmp_path / "to").symlink_to("new")
    refuse(tmp_path / "to")
    os.mkfifo(tmp_path / "pipe")
    refuse(tmp_path / "pipe")  # without waiting for a reader
    assert not (tmp_path / "new").exists()
    put(tmp_path / "to", b"new")
    assert (tmp_path / "new").read_bytes() == b"new"


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127 + "x", "x" * 246])
def test_the_longest_names(tmp_path: Path, name: str) -> None:
    for content in (b"old", b"new"):
        put(tmp_path / name, content)
        assert (tmp_path / name).read_bytes() == content
    assert [found.name for found in tmp_path.iterdir()] == [name]


WRITES = """
import os, sys
from pathlib import Path
from unilth.sims.whole import put, refuse
os.symlink(sys.argv[1], "link")
for name in (sys.argv[1], "link"):
    path = Path(name).absolute()
    refuse(path)
    print("printed")
    put(path, b"report\\n")
"""


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/proc/thread-self/fd/1"])
@pytest.mark.parametrize("shell", [">> log", "> log", "| cat >> log", "3> log | cat > other"])
def test_an_open_stream_is_written_to_and_never_replaced(tmp_path: Path, name: str, shell: str) -> None:
    (tmp_path / "log").write_text("earlier\n")
    (tmp_path / "writes.py").write_text(WRITES)
    if "3>" in shell:
        name = "/dev/fd/3" if name == "/dev/stdout" else name.replace("1", "3")
    line = f"{sys.executable} writes.py {name} {shell}"
    done = subprocess.run(["/bin/bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    text = "printed\nreport\n" * 2
    if "3>" in shell:
        assert (tmp_path / "log").read_text() == "report\n" * 2
    else:
        assert (tmp_path / "log").read_text() == ("earlier\n" + text if ">>" in shell else text)


@pytest.mark.parametrize("name", ["/dev/fd/0", "/dev/fd/77"])
def test_a_stream_that_is_closed_or_only_read_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "writes.py").write_text(WRITES)
    line = f"{sys.executable} writes.py {name} < writes.py"
    done = subprocess.run(["/bin/bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "printed" not in done.stdout and f"'{name}'" in done.stderr
    assert (tmp_path / "writes.py").read_text() == WRITES
