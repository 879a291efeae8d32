"""Sweeps that are damaged, or whose runs fail, end with the records of an undisturbed one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.sims.sweeps.sweeping import CAMPAIGN, contents, finished, of, pids, run_fake
from unilth.errors import UserError
from unilth.sims import worker
from unilth.sims.campaign import Campaign, parse
from unilth.sims.cluster import Cluster, sweep_on_slurm
from unilth.sims.data import digits
from unilth.sims.pool import ATTEMPTS
from unilth.sims.records import read_record
from unilth.sims.results import Store, run_name
from unilth.sims.spec import RunSpec
from unilth.sims.sweep import Summary, keep_campaign, plan, sweep
from unilth.sims.tally import Progress


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


def test_a_folder_in_place_of_a_checkpoint_is_said_before_any_run(tmp_path: Path, data_dir: Path) -> None:
    path = Store(tmp_path / "out").checkpoint(CAMPAIGN.specs[5])
    path.mkdir(parents=True)
    with pytest.raises(UserError, match=f"{path.name}' is a folder, where a checkpoint goes: move it away"):
        run_fake(CAMPAIGN, tmp_path / "out", data_dir)
    assert Store(tmp_path / "out").records() == []


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


def test_a_worker_that_lost_its_gpu_is_replaced(tmp_path: Path, data_dir: Path) -> None:
    campaign = of("loses-its-gpu", "lth", "omp")
    assert run_fake(campaign, tmp_path / "out", data_dir, workers=1).ok
    processes = [read_record(path)["timing"]["process"] for path in (tmp_path / "out").rglob("record.json")]
    first = {int(path.name) for path in (data_dir / "pids").iterdir()} - set(processes)
    assert len(first) == 1 and len(set(processes)) == 1, "it did none of the runs"


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
    with pytest.raises(
        UserError, match=r"^the check before the runs fails: AttributeError: .* no attribute 'training'$"
    ):
        run_fake(of("lth"), tmp_path / "out", data_dir, check="fake_runs:check_fails")
    with pytest.raises(
        UserError, match=r"before they can work \(exit code 7; its last words: nothing more can be done"
    ):
        run_fake(of("lth"), tmp_path / "out", data_dir, check="fake_runs:check_leaves")
    with pytest.raises(ModuleNotFoundError, match="no_such_module") as caught:
        run_fake(of("lth"), tmp_path / "out", data_dir, run="no_such_module:execute")
    assert caught.value.name == "no_such_module"
    assert pids(data_dir) == []


def test_a_sweep_does_not_go_on_with_other_data(tmp_path: Path, data_dir: Path) -> None:
    from unilth.sims.data import load

    campaign, check = of("lth", "omp", "dense"), "unilth.sims.preflight:usable"
    now, store = load("digits").digest(), Store(tmp_path / "out")
    store.create()
    store.write(campaign.specs[0], {"data_digest": "0" * 64})
    with pytest.raises(
        UserError, match=rf"'digits' are others than .* \(digest {now[:12]}, then 000000000000\): give another"
    ):
        run_fake(campaign, store.root, data_dir, check=check)
    assert plan(campaign, store.root).known == (("digits", None, "0" * 64),)
    assert pids(data_dir) == []
    store.set_aside(campaign.specs[0])
    store.write(campaign.specs[0], {"data_digest": now})
    summary = run_fake(campaign, store.root, data_dir, check=check)
    assert summary.ok and (summary.skipped, summary.done) == (1, 2)


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
    requests = [setup | {"path": list(sys.path)}, {"check": specs, "known": []}, *({"spec": spec} for spec in specs)]
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
    asked = {"check": specs, "known": []}
    worker.serve([setup | {"path": list(sys.path), "check": "fake_runs:refuses"}, asked], heard.append)
    assert heard[1] == {"event": "refused", "reason": "of 4 specs the first has an unknown recipe"}


@pytest.mark.parametrize("answers", [True, False])
def test_after_a_failure_the_gpu_is_asked_whether_it_is_lost(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    import torch

    asked: list[str] = []

    def synchronize(device: str) -> None:
        asked.append(device)
        if not answers and len(asked) > 1:
            raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    setup = {"run": "fake_runs:execute", "check": None, "out": str(tmp_path), "data_dir": str(data_dir)}
    setup |= {"device": "auto", "number": 1, "path": list(sys.path)}
    specs = [{"spec": json.loads(RunSpec(recipe).to_json())} for recipe in ("raises", "lth")]
    heard: list[dict] = []
    worker.serve([setup, *specs], heard.append)
    assert heard[0] == {"event": "ready", "device": "cuda:1"} and asked == ["cuda:1", "cuda:1"]
    assert [answer["event"] for answer in heard[1:]] == (["failed", "done"] if answers else ["lost"])
    assert heard[1]["reason"] == "RuntimeError: the loss is no number" and "fake_runs" in heard[1]["traceback"]


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


def held(out: Path, spec: RunSpec, digest: str) -> Campaign:
    """A campaign of one run that is finished, on data of this digest."""
    store = Store(out)
    store.create()
    store.write(spec, {"data_digest": digest})
    return Campaign("some", "a claim", (spec,), "")


def test_a_finished_sweep_is_compared_with_the_data_that_are_given_now(tmp_path: Path, data_dir: Path) -> None:
    said: list[str] = []
    same, other = tmp_path / "same", tmp_path / "other"
    campaign = held(same, RunSpec("omp"), digits().digest())
    assert sweep(campaign, same, data_dir=data_dir, say=said.append).skipped == 1 and not said
    campaign = held(other, RunSpec("omp"), "0" * 64)
    assert sweep(campaign, other).skipped == 1, "without a folder no other data are meant"
    with pytest.raises(UserError, match="the data 'digits' are others than when the finished runs were done"):
        sweep(campaign, other, data_dir=data_dir)


def on_slurm(campaign: Campaign, out: Path, **options: Any) -> Summary:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "which", lambda program: program)  # there is nothing to submit, so none of it is called
        return sweep_on_slurm(campaign, out, Cluster(), **options)


@pytest.mark.parametrize("swept", [sweep, on_slurm])
def test_data_that_are_gone_are_not_compared(tmp_path: Path, data_dir: Path, swept: Callable[..., Summary]) -> None:
    said: list[str] = []
    campaign = held(tmp_path / "out", RunSpec("omp", data="mnist"), "0" * 64)
    assert swept(campaign, tmp_path / "out", data_dir=data_dir, say=said.append).skipped == 1
    assert len(said) == 1 and said[0].endswith("the data are not compared with those of the finished runs")
