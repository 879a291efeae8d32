"""What a sweep writes beside its runs: campaigns that can be done, notes of failures; whole, or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tests.sims.sweeps.sweeping import CAMPAIGN, of, run_fake
from unilth.errors import UserError
from unilth.sims import work
from unilth.sims.campaign import parse
from unilth.sims.results import Store
from unilth.sims.sweep import sweep

OTHER = parse(
    'claim = "c"\n[grid]\nrecipes = ["lth"]\nsparsities = [0.5]\nseeds = 1\n[run]\nepochs = 7\n',
    name="thirty",
    where="t",
)


def kept(out: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (out / "campaigns").glob("*")}


def test_a_sweep_that_is_refused_leaves_the_campaign_of_the_one_before(tmp_path: Path, data_dir: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match="unknown recipe"):
        run_fake(OTHER, out, data_dir, check="fake_runs:refuses")
    assert kept(out) == {}
    assert run_fake(CAMPAIGN, out, data_dir).ok and kept(out) == {"thirty.toml": CAMPAIGN.text}
    with pytest.raises(UserError, match="unknown recipe"):
        run_fake(OTHER, out, data_dir, check="fake_runs:refuses")
    with pytest.raises(UserError, match="device"):
        run_fake(OTHER, out, data_dir, device="cuda:999")
    with pytest.raises(ModuleNotFoundError):
        run_fake(OTHER, out, data_dir, run="nowhere_at_all:run")
    assert kept(out) == {"thirty.toml": CAMPAIGN.text}
    assert run_fake(OTHER, out, data_dir).ok and kept(out) == {"thirty.toml": OTHER.text}
    assert run_fake(CAMPAIGN, out, data_dir).skipped == 30 and kept(out) == {"thirty.toml": CAMPAIGN.text}


def test_a_failure_that_cannot_be_noted_is_told_all_the_same(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    original = work.write
    monkeypatch.setattr(
        work, "write", lambda path, content: (full if "failed" in str(path) else original)(path, content)
    )
    summary = run_fake(of("raises", "lth"), tmp_path, data_dir)
    assert summary.done == 1 and [name for name, _ in summary.failed] and not list((tmp_path / "failed").iterdir())


def test_a_full_disk_names_the_file_and_leaves_no_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(source: str, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.replace", replace)
    with pytest.raises(OSError, match="No space left") as caught:
        work.write_whole(tmp_path / "campaigns" / "a.toml", "text")
    assert caught.value.filename == str(tmp_path / "campaigns" / "a.toml")
    assert not list((tmp_path / "campaigns").iterdir())


def test_what_a_kill_left_half_written_goes_away(tmp_path: Path) -> None:
    for folder, name in (("campaigns", "a.toml"), ("failed", "run.json"), ("slurm", "jobs.json")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).touch()
        (tmp_path / folder / f".{name}.0123abcd").touch()
    Store(tmp_path).clean()
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["a.toml", "jobs.json", "run.json"]


def test_a_finished_sweep_on_other_data_does_not_replace_the_campaign(tmp_path: Path, data_dir: Path) -> None:
    from unilth.sims import sweep as module

    def other(*_: object) -> None:
        raise UserError("other data")

    assert run_fake(CAMPAIGN, tmp_path, data_dir).ok
    (tmp_path / "campaigns" / "thirty.toml").write_text("as it was")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(UserError, match="other data"):
        patch.setattr(module, "compare_data", other)
        sweep(CAMPAIGN, tmp_path, data_dir=data_dir)
    assert kept(tmp_path) == {"thirty.toml": "as it was"}
