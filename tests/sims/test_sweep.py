"""Sweeps that are killed, interrupted, doubled and damaged end with the records of an undisturbed one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unilth.errors import UserError
from unilth.sims import worker
from unilth.sims.campaign import Campaign, parse
from unilth.sims.lock import locked
from unilth.sims.pool import ATTEMPTS
from unilth.sims.records import dump, read_record
from unilth.sims.results import Store, run_name
from unilth.sims.spec import RunSpec
from unilth.sims.sweep import Summary, keep_campaign, plan, sweep
from unilth.sims.tally import Progress

HERE = Path(__file__).parent
TOML = """
claim = "killing a sweep changes no record"
[grid]
recipes = ["dense", "lth", "unilth"]
sparsities = [0.5, 0.9]
seeds = 6
"""
CAMPAIGN = parse(TOML, name="thirty", where="thirty.toml")
# The command line with the fake run in place of training, as a process of its own that can be killed.
DRIVER = """
import functools, sys
from unilth import cli
from unilth.commands import sweep
sweep.sweep = functools.partial(sweep.sweep, run="fake_runs:execute", check=None)
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def _fake_runs_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(HERE)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    sys.path.insert(0, str(HERE))
    try:
        summary = sweep(CAMPAIGN, folder / "out", workers=1, run="fake_runs:execute", check=None, data_dir=folder)
    finally:
        sys.path.remove(str(HERE))
    assert summary.ok and summary.done == len(CAMPAIGN.specs) == 30
    return contents(folder / "out")


def contents(out: Path) -> dict[str, bytes]:
    """Every file of every run, byte for byte, records without what stands under ``timing``."""
    files = {}
    for path in sorted(out.rglob("*")):
        if not path.is_file() or path.name == ".lock":
            continue
        content = path.read_bytes()
        if path.name == "record.json":
            record = read_record(path)
            assert dump(record).encode() == content  # so that leaving out one key hides nothing else
            del record["timing"]
            content = dump(record).encode()
        files[str(path.relative_to(out))] = content
    return files


def run_fake(campaign: Campaign, out: Path, data_dir: Path, **more: object) -> Summary:
    usual = {"run": "fake_runs:execute", "check": None, "data_dir": data_dir, "workers": 2}
    return sweep(campaign, out, **usual | more)


def of(*recipes: str) -> Campaign:
    return Campaign("some", "a claim", tuple(RunSpec(recipe, seed=seed) for seed, recipe in enumerate(recipes)), "")


def _interruptible() -> None:
    """A shell lets its background jobs ignore Ctrl-C, and what they start inherits that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(tmp_path: Path, data_dir: Path, out: Path, text: str = TOML) -> subprocess.Popen[str]:
    path = tmp_path / "thirty.toml"
    path.write_text(text)
    paths = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = ["sweep", str(path), "--out", str(out), "--workers", "2", "--data-dir", str(data_dir)]
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, *command], env=os.environ | {"PYTHONPATH": paths}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=_interruptible, start_new_session=True,
    )  # fmt: skip


def wait_for(true, seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.002)


def finished(out: Path) -> int:
    return len(list(out.glob("*-seed*/record.json")))


def pids(data_dir: Path) -> list[int]:
    return [int(path.name) for path in (data_dir / "pids").iterdir()] if (data_dir / "pids").is_dir() else []


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie waiting for whoever adopted it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


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


@pytest.mark.parametrize("damage", ["truncated", "of another run", "without its ticket"])
def test_a_damaged_run_is_set_aside_and_repeated(
    tmp_path: Path, data_dir: Path, undisturbed: dict[str, bytes], damage: str
) -> None:
    out = tmp_path / "out"
    run_fake(CAMPAIGN, out, data_dir)
    folder = Store(out).folder(CAMPAIGN.specs[5])
    record = folder / "record.json"
    if damage == "truncated":
        record.write_bytes(record.read_bytes()[:100])
    elif damage == "of another run":
        record.write_bytes((Store(out).folder(CAMPAIGN.specs[6]) / "record.json").read_bytes())
    else:
        (folder / "ticket.safetensors").unlink()
    assert plan(CAMPAIGN, out).damaged == (CAMPAIGN.specs[5],)
    summary = run_fake(CAMPAIGN, out, data_dir)
    assert summary.ok and (summary.skipped, summary.done) == (29, 1)
    assert summary.repeated == (folder.name,)
    assert len(list((out / "damaged").iterdir())) == 1
    (out / "damaged").rename(tmp_path / "damaged")
    assert contents(out) == undisturbed


def test_a_run_that_raises_is_reported_and_tried_by_the_next_sweep_only(tmp_path: Path, data_dir: Path) -> None:
    campaign, out = of("lth", "raises", "omp"), tmp_path / "out"
    summary = run_fake(campaign, out, data_dir)
    name = run_name(campaign.specs[1])
    assert not summary.ok and summary.done == 2
    assert summary.failed == ((name, "RuntimeError: the loss is no number"),)
    note = json.loads((out / "failed" / f"{name}.json").read_text())
    assert note["spec"]["recipe"] == "raises" and any("fake_runs" in line for line in note["traceback"])
    again = run_fake(campaign, out, data_dir)
    assert (again.skipped, again.done, len(again.failed)) == (2, 0, 1)
    (tmp_path / "fixed").mkdir()
    (tmp_path / "fixed" / "fixed_runs.py").write_text(
        "def execute(spec, *, data_dir, device, checkpoint, say):\n    return None, {'test': {'accuracy': 1.0}}\n"
    )
    sys.path.insert(0, str(tmp_path / "fixed"))
    try:
        assert run_fake(campaign, out, data_dir, run="fixed_runs:execute").ok
    finally:
        sys.path.remove(str(tmp_path / "fixed"))
    assert list((out / "failed").iterdir()) == []


def test_a_run_that_kills_its_workers_is_given_up_and_the_others_go_on(tmp_path: Path, data_dir: Path) -> None:
    campaign = of("lth", "dies", "omp", "l2")
    summary = run_fake(campaign, tmp_path / "out", data_dir)
    assert summary.done == 3 and len(summary.failed) == 1
    name, reason = summary.failed[0]
    assert name == run_name(campaign.specs[1])
    assert f"died {ATTEMPTS} times: killed by signal 9" in reason and "these are its last words" in reason


def test_what_a_run_says_comes_with_its_name(tmp_path: Path, data_dir: Path) -> None:
    said: list[str] = []
    campaign = of("says", "lth")
    summary = run_fake(campaign, tmp_path / "out", data_dir, say=said.append)
    spec = campaign.specs[0]
    assert summary.done == 2
    assert said == [f"{run_name(spec)}: the checkpoint {Store(tmp_path).checkpoint(spec).name} is damaged"]


def test_a_checkpoint_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    text = 'claim = "c"\n[grid]\nrecipes = ["omp"]\nsparsities = [0.9]\nseeds = 2\n[run]\nepochs = 2\n'
    campaign, said = parse(text, name="real", where="real.toml"), []
    store = Store(tmp_path / "out")
    store.create()
    path = store.checkpoint(campaign.specs[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"damaged")
    assert sweep(campaign, tmp_path / "out", workers=1, say=said.append).ok
    assert len(said) == 1 and "is damaged or not a checkpoint: the run starts from the beginning" in said[0]
    assert said[0].startswith(run_name(campaign.specs[1]))


def test_a_run_that_kills_its_worker_once_is_done_by_a_fresh_one(tmp_path: Path, data_dir: Path) -> None:
    assert run_fake(of("dies-once"), tmp_path / "out", data_dir, workers=1).ok
    assert len(pids(data_dir)) == 2


def test_what_a_run_prints_is_no_answer(tmp_path: Path, data_dir: Path) -> None:
    assert run_fake(of("prints", "prints"), tmp_path / "out", data_dir).done == 2
    assert finished(tmp_path / "out") == 2  # had the parent believed the print, it would have ended too early


def test_what_cannot_run_is_refused_before_the_first_run(tmp_path: Path, data_dir: Path) -> None:
    with pytest.raises(UserError, match="of 1 specs the first has an unknown recipe"):
        run_fake(of("lth"), tmp_path / "out", data_dir, check="fake_runs:refuses")
    with pytest.raises(UserError, match=r"end before they can work \(killed by signal 9"):
        run_fake(of("lth"), tmp_path / "out", data_dir, check="fake_runs:check_dies")
    with pytest.raises(ModuleNotFoundError, match="no_such_module") as caught:
        run_fake(of("lth"), tmp_path / "out", data_dir, run="no_such_module:execute")
    assert caught.value.name == "no_such_module"
    assert pids(data_dir) == []


def test_impossible_arguments_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="workers must be at least 1, not 0"):
        sweep(CAMPAIGN, tmp_path / "out", workers=0)
    with pytest.raises(UserError, match="is not a directory"):
        sweep(CAMPAIGN, tmp_path / "file")
    with pytest.raises(UserError, match="cannot be made"):
        sweep(CAMPAIGN, tmp_path / "file" / "below")


def test_progress_counts_and_is_honest_about_what_it_does_not_know(tmp_path: Path, data_dir: Path) -> None:
    heard: list[Progress] = []
    campaign = of("lth", "omp", "lth", "raises", "lth")
    run_fake(campaign, tmp_path / "out", data_dir, workers=1, progress=heard.append)
    first = heard[0]
    assert (first.total, first.done, first.seconds_left, first.untimed) == (5, 0, None, 5)
    assert first.current == (run_name(campaign.specs[0]),)
    after_one = next(progress for progress in heard if progress.done == 1)
    assert after_one.untimed == 2
    assert 4 * 0.03 < after_one.seconds_left < 4 * 10  # four runs, of 40 ms where nobody else computes
    last = heard[-1]
    assert (last.done, last.failed, last.seconds_left, last.current) == (4, 1, 0.0, ())


def test_175_finished_runs_are_skipped_fast_and_without_torch(tmp_path: Path) -> None:
    recipes = ("dense", "omp", "lth", "l2", "dlth", "unilth", "unidlth")
    text = f'claim = "c"\n[grid]\nrecipes = {list(recipes[1:])}\nsparsities = [0.5, 0.8, 0.9, 0.95, 0.98]\nseeds = 6\n'
    campaign, out = parse(text, name="many", where="many.toml"), tmp_path / "out"
    store = Store(out)
    store.create()
    epochs = [{"train_loss": 1 / (n + 1), "validation_accuracy": n / 200, "penalty": 0.0} for n in range(100)]
    for spec in campaign.specs[:175]:
        store.write(spec, {"epochs": epochs, "timing": {"seconds": 2.0}})
    (tmp_path / "many.toml").write_text(text)
    code = (
        "import sys; from unilth.sims.campaign import load; from unilth.sims.sweep import plan\n"
        f"found = plan(load({str(tmp_path / 'many.toml')!r}), {str(out)!r})\n"
        "sys.exit(1 if 'torch' in sys.modules else len(found.finished))"
    )
    began = time.monotonic()
    result = subprocess.run([sys.executable, "-c", code], check=False)
    assert result.returncode == 175
    assert time.monotonic() - began < 5.0


def test_a_worker_answers_every_request(tmp_path: Path, data_dir: Path) -> None:
    """The worker's own loop, in this process: what a subprocess does is not seen by coverage."""
    setup = {"run": "fake_runs:execute", "check": None, "out": str(tmp_path / "out"), "data_dir": str(data_dir)}
    setup |= {"device": "cpu", "number": 0}
    (tmp_path / "out").mkdir()
    specs = [json.loads(RunSpec(recipe).to_json()) for recipe in ("lth", "lth", "raises", "says")]
    heard: list[dict] = []
    requests = [setup | {"path": list(sys.path)}, {"check": specs}, *({"spec": spec} for spec in specs)]
    worker.serve(requests, heard.append)
    assert [message["event"] for message in heard] == ["ready", "checked", "done", "done", "failed", "said", "done"]
    assert heard[2]["seconds"] > 0.03 > heard[3]["seconds"]  # the second time it is there already
    assert heard[4]["reason"] == "RuntimeError: the loss is no number" and "is damaged" in heard[5]["sentence"]
    heard.clear()
    worker.serve([setup | {"path": list(sys.path), "run": "fake_runs:nothing"}], heard.append)
    assert heard[0]["event"] == "unusable" and "has no callable 'nothing'" in heard[0]["reason"]
    heard.clear()
    worker.serve([setup | {"path": list(sys.path), "device": "cuda:999"}], heard.append)
    assert [message["event"] for message in heard] == ["refused"] and "device 'cuda:999'" in heard[0]["reason"]
    heard.clear()
    worker.serve([setup | {"path": list(sys.path), "check": "fake_runs:refuses"}, {"check": specs}], heard.append)
    assert heard[1] == {"event": "refused", "reason": "of 4 specs the first has an unknown recipe"}


def test_real_training_killed_and_undisturbed_end_alike(tmp_path: Path) -> None:
    from unilth.sims.execute import execute

    text = 'claim = "c"\n[grid]\nrecipes = ["lth", "unilth"]\nsparsities = [0.9]\nseeds = 2\n[run]\nepochs = 6\n'
    campaign = parse(text, name="real", where="real.toml")
    undisturbed = Store(tmp_path / "undisturbed")
    undisturbed.create()
    keep_campaign(undisturbed, campaign)
    for spec in campaign.specs:  # one after the other, in this process
        ticket, record = execute(spec)
        undisturbed.write(spec, record, ticket.save)

    class Interrupted(Exception):
        pass

    def interrupt(progress: Progress) -> None:
        if progress.done == 1 and progress.current:
            raise Interrupted

    with pytest.raises(Interrupted):  # kills the worker, in the middle of its second run
        sweep(campaign, tmp_path / "killed", workers=1, progress=interrupt)
    assert finished(tmp_path / "killed") == 1
    summary = sweep(campaign, tmp_path / "killed", workers=1)
    assert (summary.skipped, summary.done) == (1, 3)
    assert contents(tmp_path / "killed") == contents(tmp_path / "undisturbed")
