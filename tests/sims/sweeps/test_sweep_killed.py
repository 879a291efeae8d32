"""Sweeps that are killed, interrupted or doubled end with the records of an undisturbed one."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.sims.sweeps.sweeping import CAMPAIGN, TOML, alive, contents, finished, pids, run_fake, start, wait_for
from unilth.errors import UserError
from unilth.sims.lock import locked
from unilth.sims.records import dump


def test_the_comparison_sees_a_changed_byte(tmp_path: Path, data_dir: Path, undisturbed: dict[str, bytes]) -> None:
    out = tmp_path / "out"
    run_fake(CAMPAIGN, out, data_dir)
    assert contents(out) == undisturbed
    path = next(out.glob("lth*/record.json"))
    record = json.loads(path.read_text())
    record["test"]["accuracy"] += 1e-16 + 1e-9
    path.write_text(dump(record))
    assert contents(out) != undisturbed


@pytest.mark.parametrize("after", [0, 1, 7, 13])
def test_a_killed_parent_leaves_no_orphans_and_can_go_on(
    tmp_path: Path, data_dir: Path, undisturbed: dict[str, bytes], after: int
) -> None:
    out = tmp_path / "out"
    driver = start(tmp_path, data_dir, out)
    # After 0: a run has begun and none is finished. A few milliseconds more or less are all moments of a run.
    wait_for(lambda: finished(out) >= after and pids(data_dir))
    time.sleep(after / 1000)
    driver.kill()
    driver.communicate()
    wait_for(lambda: not any(alive(pid) for pid in pids(data_dir)), 5.0)
    done = finished(out)
    assert after <= done < 30
    again = start(tmp_path, data_dir, out)
    stdout, stderr = again.communicate(timeout=60)
    assert again.returncode == 0, stderr
    assert f"30 runs: {done} were finished before, {30 - done} done now" in stdout
    assert contents(out) == undisturbed  # also: no temporary folder is left, nothing was set aside


def test_a_worker_ends_with_its_parent_in_the_middle_of_a_long_run(tmp_path: Path, data_dir: Path) -> None:
    driver = start(tmp_path, data_dir, tmp_path / "out", TOML.replace('"dense", "lth", "unilth"', '"sleeps"'))
    wait_for(lambda: len(pids(data_dir)) == 2)
    driver.kill()
    driver.communicate()
    wait_for(lambda: not any(alive(pid) for pid in pids(data_dir)), 5.0)  # the runs would take a minute


def test_a_parent_killed_again_and_again(tmp_path: Path, data_dir: Path, undisturbed: dict[str, bytes]) -> None:
    out = tmp_path / "out"
    for _ in range(4):
        before = finished(out)
        driver = start(tmp_path, data_dir, out)
        wait_for(lambda count=before: finished(out) > count + 1)
        driver.kill()  # and the next one starts while the orphans may still be ending
        driver.communicate()
    assert run_fake(CAMPAIGN, out, data_dir).ok
    assert contents(out) == undisturbed


def test_killed_workers_lose_their_current_run_only(
    tmp_path: Path, data_dir: Path, undisturbed: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    driver = start(tmp_path, data_dir, out)
    killed = 0
    for moment in (1, 9):  # once less than a run is tried, should the same one be hit every time
        wait_for(lambda count=moment: finished(out) >= count)
        living = [pid for pid in pids(data_dir) if alive(pid)]
        os.kill(living[-1], signal.SIGKILL)
        killed += 1
    stdout, stderr = driver.communicate(timeout=60)
    assert driver.returncode == 0, stderr
    assert "30 done now" in stdout and "0 failed" in stdout
    assert len(pids(data_dir)) <= 2 + killed  # at most one fresh worker for each
    assert contents(out) == undisturbed


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path, data_dir: Path, undisturbed: dict[str, bytes]) -> None:
    out = tmp_path / "out"
    driver = start(tmp_path, data_dir, out)
    wait_for(lambda: finished(out) >= 3)
    os.killpg(driver.pid, signal.SIGINT)  # as the terminal does: to the whole group
    _, stderr = driver.communicate(timeout=20)
    assert driver.returncode == 130
    assert "Traceback" not in stderr and stderr.rstrip().endswith("the same command goes on")
    assert not any(alive(pid) for pid in pids(data_dir))
    assert not list(out.glob(".tmp-*"))
    done = finished(out)
    assert 3 <= done < 30
    assert run_fake(CAMPAIGN, out, data_dir).skipped == done
    assert contents(out) == undisturbed


def test_two_sweeps_do_not_share_a_directory(tmp_path: Path, data_dir: Path, undisturbed: dict[str, bytes]) -> None:
    out = tmp_path / "out"
    first = start(tmp_path, data_dir, out)
    wait_for(lambda: finished(out) >= 1)
    os.kill(first.pid, signal.SIGSTOP)  # alive, and in the middle of its runs for as long as the second one needs
    second = start(tmp_path, data_dir, out)
    _, stderr = second.communicate(timeout=60)
    os.kill(first.pid, signal.SIGCONT)
    assert second.returncode == 2
    assert f"is in use by another sweep (pid {first.pid} on " in stderr and stderr.count("\n") == 1
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert contents(out) == undisturbed


def test_the_lock_of_a_dead_sweep_is_stale(tmp_path: Path) -> None:
    with (
        locked(tmp_path, name="here"),
        pytest.raises(UserError, match=rf"pid {os.getpid()} on"),
        locked(tmp_path, name="here"),
    ):
        pass
    assert str(os.getpid()) in (tmp_path / ".lock").read_text()  # the file stays, as after a kill
    with locked(tmp_path, name="here"):
        pass


def test_a_file_system_without_locks_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr("fcntl.flock", refuse)
    number = errno.ENOLCK
    with locked(tmp_path, name="here"):
        pass
    number = errno.EIO
    with pytest.raises(OSError, match="refused"), locked(tmp_path, name="here"):
        pass
