"""Devices: what a user writes, and how several processes share the GPUs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from unilth.errors import UserError
from unilth.sims import pool
from unilth.sims.devices import chosen, trouble, used


def gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def test_without_a_gpu(monkeypatch):
    gpus(monkeypatch, 0)
    assert chosen("auto") == chosen("auto", 3) == chosen("cpu") == "cpu"
    for name in ("cuda", "cuda:0"):
        with pytest.raises(UserError, match="torch sees no GPU here"):
            chosen(name)


def test_gpus_are_dealt_out_in_turn(monkeypatch):
    gpus(monkeypatch, 2)
    assert [chosen("auto", number) for number in range(4)] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert chosen("cuda", 5) == "cuda:1" == chosen("cuda:1", 4) and chosen("cpu", 1) == "cpu"
    with pytest.raises(UserError, match="the last is cuda:1"):
        chosen("cuda:2")


@pytest.mark.parametrize("here", [True, False])
def test_an_apple_gpu_is_taken_only_where_it_is_asked_for(monkeypatch, here):
    gpus(monkeypatch, 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: here)
    assert chosen("auto") == "cpu" and trouble("mps") == ""
    if here:
        assert chosen("mps", 3) == used("mps") == "mps"
    else:
        with pytest.raises(UserError, match="torch sees no Apple GPU here"):
            chosen("mps")


@pytest.mark.parametrize("name", ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "cuda:1:2", "CUDA", "cuda:²", "cpu:0"])
def test_other_words_are_refused(monkeypatch, name):
    gpus(monkeypatch, 1)
    with pytest.raises(UserError, match="auto, cpu, cuda, cuda:N or mps"):
        chosen(name)


def test_a_gpu_is_in_use_before_the_work_begins(monkeypatch):
    gpus(monkeypatch, 2)
    asked: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", asked.append)
    assert (used("auto", 1), used("cpu")) == ("cuda:1", "cpu") and asked == ["cuda:1"] and trouble("cuda:0") == ""


@pytest.mark.parametrize("error", [RuntimeError("CUDA error:\nserver not ready"), AssertionError("without CUDA")])
def test_a_gpu_that_cannot_be_used_is_refused(monkeypatch, error):
    def synchronize(device: str) -> None:
        raise error

    gpus(monkeypatch, 2)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    words = f"{type(error).__name__}: {' '.join(str(error).split())}"
    assert trouble("cuda:0") == words
    with pytest.raises(UserError, match=f"^device 'cuda:0' cannot be used: {words}$"):
        used("cuda")


def test_a_new_worker_takes_the_place_of_a_dead_one(monkeypatch, tmp_path):
    class Process:
        stdin = stdout = sys.stdout

    sent: list[dict] = []
    monkeypatch.setattr(pool.subprocess, "Popen", lambda *arguments, **options: Process())
    shift = pool._Shift(pool.Pool("run", None, Path(tmp_path), None, 3, "cuda"), pool.deque(), {})
    monkeypatch.setattr(shift.selector, "register", lambda *arguments: None)
    monkeypatch.setattr(shift, "_send", lambda worker, message: sent.append(message))
    for _ in range(3):
        shift._hire()
    del shift.workers[1]
    shift._hire()
    assert [message["number"] for message in sent] == [0, 1, 2, 1] and {m["device"] for m in sent} == {"cuda"}
    del shift.workers[:2]
    shift.early = 1  # the last one could not begin to work in the first of these places
    shift._hire()
    assert sent[-1]["number"] == 2
    shift.selector.close()
