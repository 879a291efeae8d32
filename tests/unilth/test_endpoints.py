"""The page of end points and the committed records agree; bad input is refused; verdicts can go either way."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest

from unilth import cli
from unilth.errors import UserError
from unilth.sims.endpoints.page import page
from unilth.sims.endpoints.run import Plan, read, write
from unilth.sims.endpoints.verdicts import CONFIRMED, CONTRADICTED, UNDECIDED, forgetting, on_networks, verdicts
from unilth.theory.claims import CLAIMS

ROOT = Path(__file__).parents[2]
RECORDS = read(ROOT / "results" / "endpoints")


def test_the_page_is_what_the_records_say(tmp_path: Path) -> None:
    committed = (ROOT / "docs" / "endpoints.md").read_text(encoding="utf-8")
    assert committed == page(RECORDS)
    out = tmp_path / "page.md"
    assert cli.main(["endpoints", "--out", str(ROOT / "results" / "endpoints"), "--page", str(out)]) == 0
    assert out.read_text(encoding="utf-8") == committed
    changed = copy.deepcopy(RECORDS)
    for seed in changed[0]["section7"]:
        seed["masks"]["losses"][-1] *= 2
    assert page(changed) != committed
    assert "## resnet20 on cifar10\n\nNot measured." in committed


def test_a_written_record_is_read_back_and_others_are_refused(tmp_path: Path) -> None:
    write(RECORDS[0], tmp_path)
    assert read(tmp_path) == RECORDS[:1]
    (tmp_path / "other.json").write_text('{"schema": 1}')
    with pytest.raises(UserError, match="not a record of end points"):
        read(tmp_path)


def test_every_claim_of_the_column_exists_and_has_a_verdict() -> None:
    column = on_networks(RECORDS)
    assert column and set(column) <= {claim.id for claim in CLAIMS}
    assert on_networks([]) == {}


@pytest.mark.parametrize(
    ("left", "expected"),
    [((0.5, 0.01), CONFIRMED), ((0.5, 0.4), "confirmed in part"), ((0.1, 0.9), CONTRADICTED), ((0.5, 0.5), UNDECIDED)],
)
def test_forgetting_is_judged_by_its_rule(left: tuple[float, float], expected: str) -> None:
    seeds = [
        [{"apart": share * wobble**k, "start_apart": 1.0} for k, share in enumerate(left)]
        for wobble in (0.99, 1.0, 1.01)
    ]
    assert forgetting(seeds).verdict == expected


def test_an_exact_rung_that_is_off_is_contradicted() -> None:
    broken = copy.deepcopy(RECORDS[0])
    assert verdicts(broken)[0].verdict == CONFIRMED
    broken["ladder"][0]["rows"][0]["start"]["error"] = 2e-6
    assert verdicts(broken)[0].verdict == CONTRADICTED


def test_numbers_in_the_page_come_from_the_records() -> None:
    effects = {str(effect) for record in RECORDS for one in verdicts(record) for effect in one.effects}
    shown = re.findall(r"[^;\n]+: -?[\d.e-]+(?: \[[^]]+\])?, n = \d+", page(RECORDS))
    assert shown and {line.strip() for line in shown} <= effects


def test_a_plan_that_settles_nothing_is_refused() -> None:
    for bad in ({"seeds": 1}, {"ramps": (3,)}, {"mask_epochs": 2}):
        with pytest.raises(UserError):
            Plan(**bad)
