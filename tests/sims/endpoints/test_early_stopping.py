"""A record tells whether early stopping fired; where it did not, no verdict that rests on it is one."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from unilth.errors import UserError
from unilth.sims import networks
from unilth.sims.data import Dataset
from unilth.sims.endpoints.effects import CONTRADICTED
from unilth.sims.endpoints.ends import Bench, walk
from unilth.sims.endpoints.nearest import STOP_EARLY
from unilth.sims.endpoints.page import page
from unilth.sims.endpoints.plan import Plan
from unilth.sims.endpoints.records import read, write
from unilth.sims.endpoints.verdicts import on_networks, verdicts
from unilth.sims.streams import stream

COMMITTED = read(Path(__file__).parents[3] / "results" / "endpoints")
FIRED = {"fired": True, "epochs": 12, "best_epoch": 7, "most": 18}
NOT = {"fired": False, "epochs": 18, "best_epoch": 17, "most": 18}
ON_UNILTH = ("nearest", "nearest of the same sparsity", "UniLTH against LTH")
RESTING = (*ON_UNILTH, "UniDLTH against DLTH")


def contradicted(**told: list[dict[str, Any] | None]) -> dict[str, Any]:
    """LeNet's record, but that UniLTH and UniDLTH have twice everybody's test loss; what the runs of an end tell of
    early stopping, that it fired where nothing else is given."""
    found = next(record for record in COMMITTED if record["plan"]["network"] == "lenet-300-100")
    found = copy.deepcopy(found)
    for number, seed in enumerate(found["distances"]):
        for end in seed["ends"]:
            end["test_loss"] = 0.2 if end["name"] in ("unilth", "unidlth") else 0.1
            end.pop("early_stopping", None)
            one = told[end["name"]][number] if end["name"] in told else FIRED
            if end["name"] in STOP_EARLY and one:
                end["early_stopping"] = dict(one)
        for row in seed["matched"]:
            row["unilth"]["test_loss"], row["other"]["test_loss"] = 0.2, 0.1
    return found


def resting(record: dict[str, Any]) -> list[str]:
    return [one.verdict for one in verdicts(record) if one.id in RESTING]


@pytest.mark.parametrize(("name", "most"), [("unilth", 18), ("stopped", 60)])
def test_it_fires_where_the_validation_loss_only_grows(name: str, most: int) -> None:
    inputs = torch.randn(64, 6, generator=stream(5, "points"))
    labels = (inputs[:, 0] > 0).long()
    right = Dataset("points", 2, (inputs, labels), (inputs, labels), (inputs, labels))
    wrong = dataclasses.replace(right, validation=(inputs, 1 - labels))
    network = networks.build("lenet-300-100", right.shape, 2, stream(0, "initial"))
    found = walk(name, Plan(epochs=60), wrong, 0, Bench(network, wrong)).stopping
    assert found == {"fired": True, "epochs": 6, "best_epoch": 1, "most": most}


def test_where_it_fired_in_all_runs_the_verdict_is_a_verdict() -> None:
    record = contradicted()
    assert resting(record) == [CONTRADICTED] * 4
    fired = (
        "fired in 5 of 5 runs of UniLTH (free training took 12 to 12 of at most 18 epochs); in 5 of 5 runs of UniLTH, "
    )
    assert f"End points of 60 epochs. Early stopping {fired}other batches (" in page([record])


def test_where_it_did_not_fire_the_verdicts_on_it_are_undecided() -> None:
    short = "undecided: early stopping fired in 4 of 5 runs"
    record = contradicted(unilth=[FIRED, FIRED, NOT, FIRED, FIRED])
    assert resting(record) == [short] * 3 + [CONTRADICTED]
    told = page([record])
    assert "in 4 of 5 runs of UniLTH (free training took 12 to 18 of at most 18 epochs)" in told
    assert told.count(f"**{short}** (") == 3 and "in all runs of UniLTH)" in told and "in all runs of UniDLTH)" in told
    column = on_networks([record])
    assert all(short in said for said in column["always-better"]) and short in column["unilth-beats-lth"][1]
    assert "early stopping" not in str(column["unidlth-beats-dlth"])
    record = contradicted(unidlth=[NOT] * 5)
    assert resting(record) == [CONTRADICTED] * 3 + ["undecided: early stopping fired in 0 of 5 runs"]
    for other in ("stopped", "unilth-again"):  # in no verdict's numbers
        assert resting(contradicted(**{other: [NOT] * 5})) == [CONTRADICTED] * 4


def test_a_record_that_does_not_tell_is_read_and_settles_nothing_on_it(tmp_path: Path) -> None:
    old = contradicted(**{name: [None] * 5 for name in STOP_EARLY})
    write(old, tmp_path)
    assert read(tmp_path) == [old]
    silent = "undecided: whether early stopping fired is not recorded"
    assert resting(old) == [silent] * 4 and silent in str(on_networks([old])["always-better"])
    told = page([old])
    assert "Whether early stopping fired is not recorded for UniLTH; UniLTH, other batches; early-stopped" in told
    assert "Early stopping fired" not in told
    assert resting(contradicted(unilth=[FIRED, None, FIRED, FIRED, FIRED]))[0] == silent  # of all runs, or of none


@pytest.mark.parametrize(
    "bad",
    [
        None,
        True,
        {"fired": True},
        FIRED | {"fired": 1},
        FIRED | {"epochs": 12.0},
        FIRED | {"patience": 5},
        FIRED | {"epochs": 19},  # more than it could
        FIRED | {"best_epoch": 13},  # after the end
        FIRED | {"best_epoch": 12},  # no patience ran out
        FIRED | {"best_epoch": -1},
        NOT | {"epochs": 17},  # who ended it?
        NOT | {"epochs": 0, "best_epoch": 0, "most": 0},
    ],
)
def test_what_no_run_can_have_is_refused_in_one_sentence(bad: object, tmp_path: Path) -> None:
    record = contradicted()
    write(record, tmp_path)
    assert read(tmp_path) == [record]
    record["distances"][1]["ends"][0]["early_stopping"] = bad
    write(record, tmp_path)
    with pytest.raises(UserError, match=r"early_stopping for 'unilth' that .*: measure it again") as error:
        read(tmp_path)
    assert str(error.value).count("\n") == 0


def test_only_what_stops_early_tells_of_it(tmp_path: Path) -> None:
    record = contradicted()
    record["distances"][0]["ends"][-1]["early_stopping"] = FIRED
    path = write(record, tmp_path)
    with pytest.raises(UserError, match="for the end 'lth', which does not stop early"):
        read(tmp_path)
    for odd in (7, [7], [{"ends": [{"early_stopping": FIRED}]}]):
        path.write_text(json.dumps(record | {"distances": odd}))
        with pytest.raises(UserError, match="no list of seeds with named ends"):
            read(tmp_path)
