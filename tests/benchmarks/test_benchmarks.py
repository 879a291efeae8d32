"""The programs that measure: what they count, on which device, and what they take as done before."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from unilth.sims.campaign import parse
from unilth.sims.shared_gpu import PIPES

TUNED = """
claim = "c"
[grid]
recipes = ["dense", "omp", "l2"]
sparsities = [0.5, 0.9]
seeds = 2
[run]
epochs = 2
"""


def of(name: str) -> pytest.MarkDecorator:
    """A test of this program."""
    return pytest.mark.parametrize("program", [name], indirect=True)


@of("on_gpu")
def test_a_step_counts_as_done_only_with_the_same_command_on_the_same_device(program: ModuleType) -> None:
    step = {"command": "-m pytest -m gpu", "device": "H200", "torch": "2"}
    done = step | {"exit_code": 0, "seconds": 1.0}
    assert program.same(done, step) and program.same(done | {"torch": "1"}, step)
    for other in ({"device": "cpu"}, {"command": "-m pytest"}, {"exit_code": 1}, {"exit_code": None}):
        assert not program.same(done | other, step)
    assert not program.same({}, step) and not program.same({"command": step["command"], "exit_code": 0}, step)


@of("on_gpu")
def test_a_trial_on_a_cpu_is_repeated_on_a_gpu(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(program, "run", lambda step, seconds, log: begun.append(step.name) or 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "H200")
    given = ["on_gpu.py", "--data-dir", str(tmp_path), "--out", str(tmp_path / "out"), "--only", "tests", "curvature"]
    for device, expected in (("cpu", 2), ("cpu", 0), ("cuda", 2), ("cuda", 0)):
        begun.clear()
        monkeypatch.setattr(sys, "argv", [*given, "--device", device])
        assert program.main() == 0 and len(begun) == expected, device
    assert capsys.readouterr().out.count("done before") == 4
    kept = json.loads((tmp_path / "out" / "summary.json").read_text())["steps"]
    assert {step["device"] for step in kept.values()} == {"H200"}


@of("on_gpu")
def test_a_gpu_compares_both_batches_side_by_side(program: ModuleType, tmp_path: Path) -> None:
    args = argparse.Namespace(device="cuda", data_dir=tmp_path, out=tmp_path, workers=8)
    batches = {step.name: step.argv[step.argv.index("--batch") + 1] for step in program.steps(args)
               if step.name.startswith("side-by-side")}  # fmt: skip
    assert batches == {"side-by-side-128": "128", "side-by-side-512": "512"}


def timing(process: int, began: float, ended: float) -> dict[str, float]:
    return {"process": process, "began": began, "ended": ended}


@of("packed_sweep")
def test_counting_waits_for_every_process(program: ModuleType) -> None:
    fast = [timing(1, 0, 2), timing(1, 2, 4), timing(1, 4, 8), timing(1, 8, 10)]
    slow = [timing(2, 0, 5), timing(2, 5, 9)]
    # From 5, when the slow one has finished its first: its second run, 3 of 4 parts of one, and a whole one.
    assert program.counted([*slow, *fast], 2) == (pytest.approx(2.75), 5)
    with pytest.raises(SystemExit, match="give more --runs-each or --epochs"):
        program.counted(fast, 2)
    with pytest.raises(SystemExit, match="give more --runs-each or --epochs"):
        program.counted([*fast, timing(2, 0, 12)], 2)


@of("packed_sweep")
def test_only_the_gpu_that_is_measured_is_asked(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two GPUs the one says 90 and the other 10, as nvidia-smi does."""
    script = tmp_path / "nvidia-smi"
    script.write_text('#!/bin/sh\ncase "$*" in *--id=GPU-b*) echo 90;; *) echo 90; echo 10;; esac\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid={"cuda:1": "b"}[device])
    )
    with program.Busy("cuda:1") as busy:
        busy.process.wait()
    assert busy.since(2) == 90
    with program.Busy("cpu") as busy:
        assert busy.process is None and busy.since(2) is None


@of("packed_sweep")
def test_a_small_sweep_is_measured(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = "--device cpu --data digits --network conv-small --precision float32 --epochs 2 --processes 1"
    monkeypatch.setattr(sys, "argv", ["packed_sweep.py", *small.split(), "--out", str(tmp_path / "packed.json")])
    program.main()
    row = json.loads((tmp_path / "packed.json").read_text())["rows"][0]
    assert row["runs"] == 2 and row["runs_counted"] == pytest.approx(1, abs=0.01) and row["gpu_busy_percent"] is None
    assert "1 processes: " in capsys.readouterr().out


@of("endpoints_curvature")
def test_memory_is_asked_of_the_device_that_is_measured(program: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, object]] = []

    def asks(name: str) -> Any:
        return lambda device=None: asked.append((name, device)) or 2**20

    for name in ("synchronize", "reset_peak_memory_stats", "max_memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, asks(name))
    monkeypatch.setattr(torch.Tensor, "to", lambda self, _: self)  # there is no such device here
    monkeypatch.setattr(program, "top_eigenpairs", lambda *_, **__: (np.array([2.0]), np.array([[1.0]])))
    model = SimpleNamespace(start=torch.zeros(1, dtype=torch.float64), hessian=lambda _: lambda v: 2 * v)
    row = program.timed("hessian", model, argparse.Namespace(pairs=1, tolerance=1e-4), "cuda:1")
    assert row["peak_memory_mib"] == 1 and row["residual"] == 0
    assert {name for name, _ in asked} == {"synchronize", "reset_peak_memory_stats", "max_memory_allocated"}
    assert {device for _, device in asked} == {"cuda:1"}


class Heard:
    """A process that answers at once, and keeps what environment it was given."""

    started: list[tuple[str, str | None]]

    def __init__(self, command: list[str], *, env: dict[str, str], **_: object) -> None:
        self.started.append((command[-1], env.get(PIPES)))
        self.stdin = SimpleNamespace(write=lambda _: None, flush=lambda: None)
        answers = iter(['"ready"', "[0, 1, 100]"])
        self.stdout = SimpleNamespace(readline=lambda: next(answers))

    def wait(self) -> int:
        return 0

    kill = wait


@of("side_by_side")
def test_the_standard_loop_is_no_client_of_the_service(program: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def service(_: bool) -> Iterator[dict[str, str]]:
        yield {PIPES: "the service's"}

    monkeypatch.delenv(PIPES, raising=False)
    monkeypatch.setattr(program, "side_by_side", service)
    monkeypatch.setattr(program.subprocess, "Popen", Heard)
    monkeypatch.setattr(Heard, "started", [], raising=False)
    monkeypatch.setattr(sys, "argv", ["side_by_side.py", "--device", "cpu", "--processes", "2", "--rounds", "1"])
    program.main()
    assert Heard.started == [("ours", "the service's"), ("ours", "the service's"), ("standard", None)]


@of("global_mask")
def test_first_calls_are_not_counted_and_the_masks_agree(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["global_mask.py", "--weights", "50_000", "--threads", "1"])
    calls = iter([100.0, 200.0, *[1.0, 10.0] * 3, 1.0, 1.0])  # ours and theirs in turn, then two more of ours
    measure = program.timed

    def timed(work: Any) -> float:
        measure(work)
        return next(calls)

    monkeypatch.setattr(program, "timed", timed)
    program.main()
    said = capsys.readouterr().out
    assert "1 threads" in said and "bits that differ 0" in said and "ratio 10.0" in said
    assert next(calls, None) is None and "fastest 1.000 s, median 1.000 s   [1.0, 1.0, 1.0, 1.0, 1.0]" in said


@of("tuning")
def test_tries_are_ranked_by_validation_accuracy_and_then_by_loss(program: ModuleType) -> None:
    runs = program.tries(parse(TUNED, name="c", where="c"), [0.5, 0.9], [100, 101], program.TRIES)
    assert {method for method, _ in runs.values()} == {"dense", "omp", "l2"} and len(runs) == 2 * (2 + 2 * (8 + 8))
    assert {spec.sparsity for spec in runs if spec.recipe == "dense"} == {0.0}
    ends = {0: (0.8, 0.1), 1: (0.9, 0.4), 2: (0.9, 0.3)}  # number of the try: validation accuracy, loss
    records = {
        spec: {"epochs": [{"validation_accuracy": 1.0, "validation_loss": 0.0},
                          {"validation_accuracy": ends.get(number, (0.1, 9))[0] + 0.1 * (spec.sparsity < 0.6)
                           - 0.02 * (spec.seed == 101), "validation_loss": ends.get(number, (0.1, 9))[1]}],
               "test": {"accuracy": 1.0 if number == 0 else 0.0}}
        for spec, (_, number) in runs.items()
    }  # fmt: skip
    found = program.ranked(records, runs, program.TRIES)
    assert [row["settings"] for row in found["l2"][:3]] == [program.TRIES["l2"][number] for number in (2, 1, 0)]
    assert found["l2"][0]["validation_accuracy_percent"] == pytest.approx(94) and found["l2"][0]["runs"] == 4
    del records[next(spec for spec, which in runs.items() if which == ("l2", 2))]
    last = program.ranked(records, runs, program.TRIES)["l2"][-1]
    assert last == {"settings": program.TRIES["l2"][2], "validation_accuracy_percent": None, "validation_loss": None,
                    "runs": 3}  # fmt: skip


@of("tuning")
def test_as_many_right_answers_are_as_good_whatever_the_last_bits_of_their_means(program: ModuleType) -> None:
    first, second = (100 * statistics.fmean(count / 360 for count in counts) for counts in ((331, 331), (332, 330)))
    assert first != second, "or this shows nothing"
    rows = [{"validation_accuracy_percent": mean, "validation_loss": loss}
            for mean, loss in ((max(first, second), 0.118), (min(first, second), 0.103))]  # fmt: skip
    assert sorted(rows, key=program.order) == rows[::-1]


@of("tuning")
def test_a_tuned_campaign_has_the_tries_that_it_had_before(program: ModuleType) -> None:
    tuned = TUNED + '[run.l2]\nscope = "layer"\nl2 = 0.1\nrewind = "none"\n[run.omp]\nrounds = 2\n'
    before, after = (
        program.tries(parse(text, name="c", where="c"), [0.5], [100], program.TRIES) for text in (TUNED, tuned)
    )
    assert before == after and len(after) == 1 * (2 + 8 + 8)
    bases = program.bases(parse(tuned, name="c", where="c"))
    assert bases == program.bases(parse(TUNED, name="c", where="c")) and bases["omp"].rounds is None
    assert bases["omp"].epochs == 2, "what is set for all stays"


@of("tuning")
def test_every_method_has_as_many_tries_half_of_them_with_weight_decay_in_fine_tuning(program: ModuleType) -> None:
    assert {method: len(settings) for method, settings in program.TRIES.items()} == dict.fromkeys(
        ("omp", "lth", "l2", "dlth", "unilth", "unidlth"), 8
    ) | {"dense": 2}
    for method, settings in program.TRIES.items():
        decays = [choice["tune_l2"] for choice in settings]
        assert decays.count(0.0) == decays.count(0.001) == len(settings) / 2
        if method != "dense":
            scopes = [choice["scope"] for choice in settings]
            assert all(scopes.count(scope) == 4 for scope in scopes) and len(set(scopes)) == 2
            assert len({tuple(choice.items()) for choice in settings}) == 8


@of("tuning")
def test_tuning_runs_what_is_missing_and_says_what_was_not_tried(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.toml").write_text(TUNED, encoding="utf-8")
    monkeypatch.setattr(program, "TRIES", {"l2": ({"l2": 1e20}, {"l2": 0.001})})
    given = ["tuning.py", str(tmp_path / "c.toml"), "--runs", str(tmp_path / "runs"), "--sparsities", "0.5"]
    monkeypatch.setattr(
        sys, "argv", [*given, "--seeds", "100", "100", "--workers", "1", "--out", str(tmp_path / "t.json")]
    )
    program.main()
    first = capsys.readouterr()
    assert "[run.l2]\nl2 = 0.001\n" in first.out and "# not all of its runs ended well: l2 1e+20" in first.out
    assert "# without any try: dense, omp" in first.out and "failed: " in first.err
    assert "1/2 runs, " in first.err and "\r" not in first.err
    found = json.loads((tmp_path / "t.json").read_text())
    assert [row["settings"] for row in found["tries"]["l2"]] == [{"l2": 0.001}, {"l2": 1e20}]
    assert found["untried"] == ["dense", "omp"] and found["seeds"] == [100] and found["device"] == "cpu"
    assert found["runs"]["l2"]["epochs"] == 2 and found["versions"]["torch"] == torch.__version__
    monkeypatch.setattr(sys, "argv", [*given, "--seeds", "100", "--workers", "1", "--l2", "0.001", "0.003"])
    program.main()
    last = capsys.readouterr()
    assert last.out.count("\n# ") == 9 and "scope layer, l2 0.001, tune_l2 0.0\n" in last.out
    monkeypatch.setattr(program, "TRIES", {"l2": ({"l2": 0.001},)})
    monkeypatch.setattr(sys, "argv", [*given, "--seeds", "100", "--workers", "1"])
    program.main()
    assert "runs" not in capsys.readouterr().err, "it was done before"
    for path in (tmp_path / "runs").glob("l2-*/record.json"):
        path.write_text(path.read_text().replace('"device": "cpu"', '"device": "H200"'))
    monkeypatch.setattr(sys, "argv", [*given, "--seeds", "100", "102", "--workers", "1"])
    refused(program, capsys, "several versions, devices or data: give --runs another folder")


def refused(program: ModuleType, capsys: pytest.CaptureFixture[str], words: str) -> None:
    """Exit code 2 with these words."""
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 2 and words in capsys.readouterr().err


@of("tuning")
def test_what_cannot_be_tuned_is_refused_before_any_run(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.toml"
    path.write_text(TUNED, encoding="utf-8")
    given = ["tuning.py", str(path), "--runs", str(tmp_path / "runs")]
    for options, words in (
        (["--seeds", "1"], "one of the campaign's own"),
        (["--out", str(tmp_path / "no" / "t.json")], "name a file in a folder that is there"),
        (["--out", str(tmp_path)], "name a file in a folder that is there"),
        (["--sparsities", "1.5"], "sparsity must be in [0, 1)"),
    ):
        monkeypatch.setattr(sys, "argv", [*given, *options])
        refused(program, capsys, words)
    for old, new, words in (
        ("[run]", 'networks = ["lenet-300-100", "conv-small"]\n[run]', "several networks or data sets"),
        ('"dense", "omp", "l2"', '"snip"', "no method of the campaign has settings to try"),
    ):
        path.write_text(TUNED.replace(old, new), encoding="utf-8")
        monkeypatch.setattr(sys, "argv", given)
        refused(program, capsys, words)
    assert not (tmp_path / "runs").exists()
