"""Parts of an interrupted study are taken up again, and only where they are the same study's."""

from __future__ import annotations

import dataclasses
import multiprocessing
from pathlib import Path

import pytest

from unilth.sims.endpoints import run
from unilth.sims.endpoints.kept import Kept
from unilth.sims.endpoints.parts import names
from unilth.sims.endpoints.plan import QUICK

FOUND = {"result": [{"x": 0.1 + 0.2}], "cpu_seconds": 1.5}


def test_a_part_is_read_back_by_the_same_study_only(tmp_path: Path) -> None:
    kept = Kept(tmp_path, QUICK, "data")
    assert kept.read("section 7, seed 0") is None
    kept.write("section 7, seed 0", FOUND)
    assert kept.read("section 7, seed 0") == FOUND and kept.read("section 7, seed 1") is None
    assert Kept(tmp_path, dataclasses.replace(QUICK, epochs=11), "data").read("section 7, seed 0") is None
    assert Kept(tmp_path, QUICK, "other data").read("section 7, seed 0") is None
    kept.path("section 7, seed 0").write_text("{")
    assert kept.read("section 7, seed 0") is None


def test_a_study_whose_parts_are_all_there_measures_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "measure_part", None)  # what is submitted to a process would fail
    kept = Kept(tmp_path, QUICK, run.load("digits").digest())
    for number, name in enumerate(names(QUICK)):
        kept.write(name, {"result": number, "cpu_seconds": 1.0})
    told: list[tuple[int, int, str]] = []
    record = run.study(QUICK, None, lambda *event: told.append(event), 1, tmp_path)
    assert record["ladder"] == [0, 1, 2, 3, 4, 5] and record["distances"] == [6, 7] and record["section7"] == [8, 9]
    assert record["timing"]["cpu_seconds"] == len(told) == 12
    kept.path("winners").unlink()
    with pytest.raises(TypeError):
        run.study(QUICK, None, lambda *_: None, 1, tmp_path)


@pytest.mark.slow
def test_an_interrupted_study_keeps_what_is_finished_and_leaves_no_process(tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = set(multiprocessing.active_children())
    with pytest.raises(KeyboardInterrupt):
        run.study(QUICK, None, interrupt, 2, tmp_path)
    for child in set(multiprocessing.active_children()) - before:
        child.join(10)
        assert not child.is_alive()
    kept = Kept(tmp_path, QUICK, run.load("digits").digest())
    assert sum(kept.read(name) is not None for name in names(QUICK)) == 1
