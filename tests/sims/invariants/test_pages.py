"""The kit's pages say what the code says, and the kit is as large and as quick to import as promised."""

import subprocess
import sys
from pathlib import Path

import pytest

from unilth.sims.invariants.catalogue import CATALOGUE
from unilth.sims.invariants.pages import PAGES, write
from unilth.sims.invariants.selfcheck import TWINS

DOCS = Path(__file__).resolve().parents[3] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_up_to_date(name, tmp_path):
    write(tmp_path)
    assert (tmp_path / name).read_text() == (DOCS / name).read_text(), "run python -m unilth.sims.invariants.pages docs"


def test_the_catalogue_is_large_and_has_no_doubles():
    ids = [invariant.id for invariant in CATALOGUE]
    assert len(set(ids)) == len(ids) >= 79 and len(TWINS) >= 130


def test_importing_the_kit_imports_no_more_than_it_needs_and_checking_leaves_no_files(tmp_path):
    heavy = ("sklearn", "hypothesis", "pytest", "flint", "matplotlib", "scipy")
    code = f"import sys, unilth.sims.invariants as kit; print([m for m in {heavy} if m in sys.modules])"
    code += '; assert not kit.check("unilth.sims.invariants.twins_mask:revives", only="mask-within").ok'
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.stdout.strip() == "[]" and done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir()), "the working directory is the user's"
