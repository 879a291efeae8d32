"""Same inputs, same bytes: whatever matplotlibrc the user has, in another process, another day."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest

from unilth.errors import UserError
from unilth.paper_figures.gallery import FIGURES, choose
from unilth.paper_figures.provenance import SUFFIXES, differences, render, source_of, write
from unilth.paper_figures.table import Table

NOWHERE = Path("nowhere")
(RISK,) = choose(("risk",))


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """The figure's files, rendered once; rendering must not touch the user's settings."""
    before = dict(matplotlib.rcParams)
    made = render(RISK, Path("somewhere"), NOWHERE)
    assert dict(matplotlib.rcParams) == before
    return made


def test_another_process_with_other_settings_writes_the_same_bytes(files: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("font.size: 20\nlines.linewidth: 9\nsavefig.dpi: 50\n")
    code = "from unilth.cli import run; run()"
    environment = {**os.environ, "MATPLOTLIBRC": str(tmp_path), "TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "1"}
    argv = [sys.executable, "-c", code, "figures", "risk", "--out", str(tmp_path / "there")]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for suffix in SUFFIXES:
        assert (tmp_path / "there" / f"risk{suffix}").read_bytes() == files[suffix], suffix


def test_figures_never_touch_pyplots_global_state(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from unilth.paper_figures.gallery import choose\n"
        "from unilth.paper_figures.provenance import render\n"
        "render(choose(('risk',))[0], Path('.'), Path('.')); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, timeout=120).returncode == 0


def test_files_carry_no_date_and_no_creator(files: dict[str, bytes]) -> None:
    for word in (b"CreationDate", b"ModDate", b"/Creator", b"/Producer"):
        assert word not in files[".pdf"]
    assert b"Software" not in files[".png"] and b"tIME" not in files[".png"]


def test_the_record_says_where_everything_came_from(files: dict[str, bytes]) -> None:
    record = json.loads(files[".json"])
    assert record["command"] == "unilth figures risk --out ." and record["n_per_point"].startswith("closed form")
    assert {row["module"]: row["sha256"] for row in record["inputs"]} == {
        name: hashlib.sha256(source_of(name).read_bytes()).hexdigest() for name in (RISK.module, *RISK.sources)
    }
    for suffix in (".pdf", ".png", ".csv"):
        assert record["files"][f"risk{suffix}"] == hashlib.sha256(files[suffix]).hexdigest()
    assert {"unilth", "python", "matplotlib", "numpy"} <= set(record["versions"])


def test_check_names_the_file_that_differs(tmp_path: Path) -> None:
    write(RISK, tmp_path, NOWHERE)
    path = tmp_path / "risk.csv"
    assert "0.875" in path.read_text()
    path.write_text(path.read_text().replace("0.875", "0.876", 1))
    (tmp_path / "risk.png").unlink()
    assert differences(RISK, tmp_path, NOWHERE) == ["risk.png is missing", "risk.csv differs"]


def test_writing_leaves_nothing_but_the_four_files(tmp_path: Path) -> None:
    write(RISK, tmp_path / "new" / "folder", NOWHERE)
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(
        f"risk{suffix}" for suffix in SUFFIXES
    )


def test_the_csv_reads_back_and_keeps_twelve_digits() -> None:
    table = Table(("name", "x"), (("a, “b”", 1 / 3), ("c", None), ("d", -0.0), ("e", 1e-300)))
    rows = list(csv.reader(io.StringIO(table.to_csv())))
    assert rows == [["name", "x"], ["a, “b”", "0.333333333333"], ["c", ""], ["d", "0"], ["e", "1e-300"]]


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="columns are name, x"):
        Table(("name", "x"), (("a",),))


def test_names_are_unique_and_unknown_ones_are_refused() -> None:
    assert len({spec.name for spec in FIGURES}) == len(FIGURES) and choose(()) == FIGURES
    with pytest.raises(UserError, match="there is no figure 'ridge'; the figures are"):
        choose(("ridge",))
