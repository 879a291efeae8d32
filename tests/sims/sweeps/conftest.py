"""Fixtures of the sweeps: an importable fake run, a data folder, the records of an undisturbed sweep."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.sims.sweeps.sweeping import CAMPAIGN, HERE, contents
from unilth.sims.sweep import sweep


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
