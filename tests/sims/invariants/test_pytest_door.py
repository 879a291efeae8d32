"""The pytest door: one id for each invariant, used here on our own variants and, in a fresh pytest, on broken ones."""

import subprocess
import sys

import pytest

from unilth.errors import UserError
from unilth.sims.invariants import parametrize_with_invariants
from unilth.sims.invariants.catalogue import catalogue
from unilth.sims.invariants.ours import global_magnitude, quadratic_schedule


@parametrize_with_invariants([global_magnitude, quadratic_schedule])
def test_ours(target, invariant):
    invariant(target)


USER = """
from unilth.sims.invariants import parametrize_with_invariants
from unilth.sims.invariants.twins_mask import keeps_strictly_above
from unilth.sims.invariants.twins_schedule import ramp, DECLARED

EXPECTED = {"mask-exact-count-global": "one too many", "mask-names": "wrongly announced"}

@parametrize_with_invariants([keeps_strictly_above], expected_failures=EXPECTED)
def test_broken(target, invariant):
    invariant(target)

class TestMethods:
    @parametrize_with_invariants(["unilth.sims.invariants.ours:rst_schedule"])
    def test_inside_a_class(self, target, invariant):
        invariant(target)
"""


def test_a_users_pytest(tmp_path):
    (tmp_path / "test_user.py").write_text(USER)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-rA",
        "-q",
        "--junitxml=j.xml",
        "test_user.py",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    ids = [line for line in lines if line.startswith(("PASSED", "FAILED", "XFAIL"))]
    name = "unilth.sims.invariants.twins_mask:keeps_strictly_above"
    assert any(line.startswith("XFAIL") and f"{name}-mask-exact-count-global" in line for line in ids)
    failed = [line for line in ids if line.startswith("FAILED")]
    assert len(failed) == 2 and any("mask-sparsity-zero" in line for line in failed)
    assert any("mask-names" in line for line in failed), "an expected failure that passes is a failure"
    assert (
        "unilth check unilth.sims.invariants.twins_mask:keeps_strictly_above --only mask-sparsity-zero" in done.stdout
    )
    assert "needs mask-exact-count-global" in (tmp_path / "j.xml").read_text()
    assert sum("rst_schedule" in line for line in ids) == len(catalogue("penalty-schedule"))


def test_a_test_that_would_assert_nothing_is_refused():
    with pytest.raises(UserError, match="two arguments"):

        @parametrize_with_invariants([global_magnitude])
        def test_nothing():
            pass


@pytest.mark.parametrize("targets", ["rules.py:mine", global_magnitude, None])
def test_what_is_no_list_of_targets_is_refused(targets):
    with pytest.raises(UserError, match="must be a list of what is to be checked: put it in brackets"):
        parametrize_with_invariants(targets)


def test_an_invariant_is_bound_to_its_target():
    @parametrize_with_invariants([global_magnitude])
    def test_bound(target, invariant):
        pass

    invariant = test_bound.pytestmark[0].args[1][0].values[1]
    with pytest.raises(UserError, match="its own target"):
        invariant(quadratic_schedule)
