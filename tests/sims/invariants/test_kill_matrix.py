"""The kill matrix: every invariant catches a broken twin, every twin is caught by what it declares and no other."""

import json

import pytest

from unilth.sims.invariants import check
from unilth.sims.invariants.cases import second_device
from unilth.sims.invariants.catalogue import catalogue, find_invariant
from unilth.sims.invariants.ours import CHEAP
from unilth.sims.invariants.selfcheck import CHEAP_TWINS, killed_by, selfcheck

KINDS = ("mask-rule", "penalty-schedule")


def marks(twin):
    needs = pytest.mark.skipif(second_device() is None, reason="no second device")
    return (needs, pytest.mark.gpu) if twin.second_device else ()


@pytest.mark.parametrize("twin", [pytest.param(twin, id=twin.name, marks=marks(twin)) for twin in CHEAP_TWINS])
def test_a_twin_is_caught_by_exactly_what_it_declares(twin):
    assert sorted(killed_by(twin)) == sorted(twin.kills)


@pytest.mark.parametrize("kind", KINDS)
def test_every_invariant_has_a_twin(kind):
    caught = {id for twin in CHEAP_TWINS for id in twin.kills}
    assert {invariant.id for invariant in catalogue(kind)} <= caught


def test_every_invariant_says_what_and_why_and_needs_what_exists():
    for kind in KINDS:
        for invariant in catalogue(kind):
            assert invariant.statement.endswith(".") and len(invariant.why) > 20
            for id in invariant.needs:
                assert find_invariant(id, kind, "needs") is not invariant


def test_twins_have_names_of_their_own():
    names = [twin.name for twin in CHEAP_TWINS]
    assert len(set(names)) == len(names) >= 45


@pytest.mark.parametrize("target", CHEAP, ids=lambda target: target.__name__)
def test_our_own_variants_pass(target):  # under another seed than in the self-check below
    report = check(target, budget="quick", seed=1)
    assert report.ok, str(report)
    assert report.counts["passed"] + report.counts["not-applicable"] == len(catalogue(report.kind))


def test_selfcheck_notices_a_twin_that_gets_away(monkeypatch):
    from dataclasses import replace

    from unilth.sims.invariants import ours

    monkeypatch.setattr(ours, "CHEAP", ())
    assert selfcheck(twins=CHEAP_TWINS[-1:])["ok"]
    assert not selfcheck(twins=[replace(CHEAP_TWINS[-1], target=CHEAP[-1])])["ok"]


def test_selfcheck_is_plain_data():

    seen = []
    found = selfcheck(seed=3, twins=CHEAP_TWINS[-3:], progress=seen.append)
    assert seen[-1] == "broken twins" and len(found["targets"]) == len(CHEAP) == len(seen) - 1
    assert found["schema"] == 1 and found["ok"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert set(found["kill_matrix"]["killed"]) == {row["name"] for row in found["kill_matrix"]["twins"]}
