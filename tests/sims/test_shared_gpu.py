"""Processes side by side on a GPU: the service is started, asked for, and ended; a script stands in for NVIDIA's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from unilth.sims import pool, shared_gpu
from unilth.sims.shared_gpu import BUSY, CONTROL, LOGS, MOST, PIPES, VISIBLE, crowd, gpus, sharing, side_by_side
from unilth.sims.sweep import usual

SERVICE = """#!/bin/sh
said=""
[ "$1" = -d ] || said=$(cat)
there=no
[ -d "$CUDA_MPS_PIPE_DIRECTORY" ] && [ -d "$CUDA_MPS_LOG_DIRECTORY" ] && there=yes
echo "$*|$said|$CUDA_MPS_PIPE_DIRECTORY|$there" >> "$SERVICE_LOG"
[ "$1" = -d ] || exit 0
"""
QUIT = "quit -t 1"


class Service:
    """What was asked of the script: its arguments and its input, always about one folder, which then was there."""

    def __init__(self, folder: Path) -> None:
        self.log, self.control, self.settings = folder / "log", folder / "bin" / CONTROL, dict[str, str]()
        self.temporary = folder / "tmp"

    def does(self, command: str) -> None:
        """What the script does when it is to start the service."""
        self.control.parent.mkdir(exist_ok=True)
        self.control.write_text(f"{SERVICE}{command}\n")
        self.control.chmod(0o755)

    def asked(self) -> list[tuple[str, str]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        asked = [line.split("|") for line in lines]
        assert len({pipes for *_, pipes, _ in asked}) <= 1 and all(there == "yes" for *_, there in asked)
        return [(arguments, said) for arguments, said, *_ in asked]

    def left(self) -> list[Path]:
        return list(self.temporary.iterdir())


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    made = Service(tmp_path)
    made.does("exit 0")
    made.temporary.mkdir()
    monkeypatch.setattr(shared_gpu.tempfile, "tempdir", str(made.temporary))
    monkeypatch.setenv("PATH", f"{made.control.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SERVICE_LOG", str(made.log))
    for name in (PIPES, LOGS, VISIBLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(shared_gpu, "ASK", "")
    there_are(1, monkeypatch)
    return made


def there_are(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_gpu, "COUNT", f"print({count})")
    gpus.cache_clear()


STARTED, ENDED = ("-d", ""), ("", QUIT)


def test_the_service_runs_as_long_as_the_block(service: Service) -> None:
    with side_by_side(True) as settings:
        assert set(settings) == {PIPES, LOGS} and all(Path(place).is_dir() for place in settings.values())
        assert service.asked() == [STARTED] and PIPES not in os.environ
        assert settings[PIPES] in service.log.read_text()
    assert service.asked() == [STARTED, ENDED] and service.left() == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_it_is_ended_where_the_block_raises(service: Service, error: type[BaseException]) -> None:
    with pytest.raises(error), side_by_side(True):
        raise error
    assert service.asked() == [STARTED, ENDED] and service.left() == []


def test_a_process_that_is_killed_leaves_no_service_behind(service: Service) -> None:
    code = "import time\nfrom unilth.sims import shared_gpu\nshared_gpu.ASK = ''\n"
    code += "with shared_gpu.side_by_side(True) as settings:\n    print(len(settings), flush=True)\n    time.sleep(60)"
    environment = os.environ | {"TMPDIR": str(service.temporary)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None and process.stdout.readline() == b"2\n"
        process.send_signal(signal.SIGKILL)
    until = time.monotonic() + 20
    while (service.left() or ENDED not in service.asked()) and time.monotonic() < until:
        time.sleep(0.05)
    assert service.asked() == [STARTED, ENDED] and service.left() == []


def has_another(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PIPES, "/somewhere")


def has_no_tool(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    service.control.unlink()


def sees_other_numbers(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "0,2")


@pytest.mark.parametrize("has", [has_another, has_no_tool, sees_other_numbers])
def test_nothing_is_started_where_it_is_of_no_use(
    service: Service, monkeypatch: pytest.MonkeyPatch, has: Callable[[Service, pytest.MonkeyPatch], None]
) -> None:
    has(service, monkeypatch)
    with side_by_side(True) as settings:
        assert settings == {}
    assert service.asked() == [] and service.left() == []


def test_nothing_is_started_where_it_is_not_wanted(service: Service) -> None:
    with side_by_side(False) as settings:
        assert settings == {}
    assert service.asked() == [] and service.left() == []


@pytest.mark.parametrize("visible", ["", "0", "0,1", "0, 1", "GPU-5e1f,GPU-a0", "-1"])
def test_gpus_that_keep_their_names_are_shared(service: Service, monkeypatch: pytest.MonkeyPatch, visible: str) -> None:
    monkeypatch.setenv(VISIBLE, visible)
    with side_by_side(True) as settings:
        assert settings


@pytest.mark.parametrize("visible", ["1", "1,0", "0,2", "0, 2", "0,1,3"])
def test_gpus_that_would_get_other_numbers_are_not(
    service: Service, monkeypatch: pytest.MonkeyPatch, visible: str
) -> None:
    monkeypatch.setenv(VISIBLE, visible)
    with side_by_side(True) as settings:
        assert settings == {}


@pytest.mark.parametrize("start", ["exit 1", "exec sleep 60"])
def test_a_service_that_does_not_start_is_not_used(
    service: Service, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    service.does(start)
    monkeypatch.setattr(shared_gpu, "SECONDS", 2)
    with side_by_side(True) as settings:
        assert settings == {} and service.left() == []
    assert service.asked() == [STARTED, ENDED]


@pytest.mark.parametrize("ask", ["raise SystemExit(1)", "import time; time.sleep(60)"])
def test_a_service_that_does_not_serve_is_ended_at_once(
    service: Service, monkeypatch: pytest.MonkeyPatch, ask: str
) -> None:
    monkeypatch.setattr(shared_gpu, "ASK", ask)
    monkeypatch.setattr(shared_gpu, "SECONDS", 2)
    with side_by_side(True) as settings:
        assert settings == {} and service.asked() == [STARTED, ENDED] and service.left() == []
    assert service.asked() == [STARTED, ENDED]


def test_it_is_asked_with_the_settings(service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        shared_gpu, "ASK", f"import os; open({str(tmp_path / 'seen')!r}, 'w').write(os.environ[{PIPES!r}])"
    )
    with side_by_side(True) as settings:
        assert (tmp_path / "seen").read_text() == settings[PIPES]


def test_a_service_that_does_not_end_holds_nobody_up(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    service.control.write_text('#!/bin/sh\n[ "$1" = -d ] || exec sleep 4\n')
    monkeypatch.setattr(shared_gpu, "SECONDS", 1)
    with side_by_side(True) as settings:
        assert settings
        began = time.monotonic()
    assert time.monotonic() - began < 3


def environments(monkeypatch: pytest.MonkeyPatch, out: Path, workers: int, device: str) -> list[dict[str, str]]:
    """What the workers of a pool would be started with; they are not."""
    given: list[dict[str, str]] = []

    class Process:
        stdin = stdout = sys.stdout

    def started(*arguments: object, env: dict[str, str], **options: object) -> Process:
        given.append(env)
        return Process()

    class Started(Exception):
        """Enough was seen."""

    def assign(shift: pool._Shift) -> None:
        shift.workers.clear()
        raise Started

    class Subprocess:
        PIPE, Popen = subprocess.PIPE, staticmethod(started)

    monkeypatch.setattr(pool, "subprocess", Subprocess)
    monkeypatch.setattr(pool._Shift, "_send", lambda *arguments: None)
    monkeypatch.setattr(pool._Shift, "_assign", assign)
    monkeypatch.setattr(pool.selectors, "DefaultSelector", Selector)
    work = pool.Pool("run", None, out, None, workers, device).work(["a run"] * workers)  # type: ignore[list-item]
    with pytest.raises(Started):
        list(work)
    return given


class Selector:
    """Listens to nobody."""

    def register(self, *arguments: object) -> None: ...

    def close(self) -> None: ...


def test_the_workers_of_a_pool_get_the_settings(
    service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = environments(monkeypatch, tmp_path, 2, "cuda")
    assert len(given) == 2 and len({env[PIPES] for env in given}) == 1 and all(env[LOGS] for env in given)
    assert given[0][PIPES] in service.log.read_text() and service.asked() == [STARTED, ENDED]


@pytest.mark.parametrize(
    ("workers", "device", "count"),
    [(2, "cpu", 1), (1, "cuda", 1), (MOST + 1, "cuda", 1), (2, "cuda", 2), (2, "auto", 0)],
)
def test_a_pool_without_need_of_it_starts_no_service(
    service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, workers: int, device: str, count: int
) -> None:
    there_are(count, monkeypatch)
    given = environments(monkeypatch, tmp_path, workers, device)
    assert len(given) == workers and not any(PIPES in env for env in given) and service.asked() == []


def test_the_limit_is_one_for_each_gpu(service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    there_are(2, monkeypatch)
    given = environments(monkeypatch, tmp_path, MOST + 1, "cuda")
    assert all(PIPES in env for env in given) and service.asked() == [STARTED, ENDED]


@pytest.mark.parametrize(
    ("device", "count", "found"), [("cuda", 4, 4), ("auto", 2, 2), ("cuda:1", 2, 1), ("cuda:0", 0, 0), ("cpu", 4, 0)]
)
def test_gpus_are_counted(
    service: Service, monkeypatch: pytest.MonkeyPatch, device: str, count: int, found: int
) -> None:
    there_are(count, monkeypatch)
    assert gpus(device) == found
    assert [crowd(workers, device) for workers in (1, 5)] == ([1, -(-5 // found)] if found else [0, 0])


@pytest.mark.parametrize("code", ["raise SystemExit(1)", "print('many')", "import time; time.sleep(60)", "print(0)"])
def test_gpus_that_cannot_be_counted_are_none(service: Service, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(shared_gpu, "IMPORT", 1)
    monkeypatch.setattr(shared_gpu, "COUNT", code)
    gpus.cache_clear()
    assert gpus("cuda") == 0 == crowd(8, "cuda")


def test_gpus_are_counted_as_torch_counts_them() -> None:
    gpus.cache_clear()
    asked = "import torch; print(torch.cuda.device_count())"
    count = int(subprocess.run([sys.executable, "-c", asked], capture_output=True, check=True).stdout)
    assert gpus("auto") == count


@pytest.mark.parametrize(
    ("device", "count", "workers"),
    [("cuda", 1, BUSY), ("auto", 2, 2 * BUSY), ("cuda", 9, 64), ("cpu", 1, 64), ("auto", 0, 64)],
)
def test_by_default_no_more_workers_than_keep_the_gpus_busy(
    service: Service, monkeypatch: pytest.MonkeyPatch, device: str, count: int, workers: int
) -> None:
    there_are(count, monkeypatch)
    monkeypatch.setattr(sys.modules["unilth.sims.sweep"], "cores", lambda: 64)
    assert usual(device) == workers


def test_it_is_said_how_a_gpu_is_shared(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    there_are(2, monkeypatch)
    turns = "in turn: NVIDIA's multi-process service"
    assert sharing(8, "cuda", {PIPES: "/p"}) == "8 workers on 2 GPUs, those on one GPU side by side"
    assert sharing(8, "cuda:1", {}) == f"8 workers on 1 GPU, those on one GPU {turns} is not to be had here"
    assert sharing(97, "cuda", {}) == f"97 workers on 2 GPUs, those on one GPU {turns} takes 48 a GPU"
    assert sharing(2, "cuda", {}) == sharing(1, "auto", {}) == sharing(8, "cpu", {}) == ""
    monkeypatch.setenv(PIPES, "/somewhere")
    assert sharing(8, "cuda", {}) == f"8 workers on 2 GPUs, those on one GPU as {PIPES} says"
