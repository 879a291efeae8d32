"""UniLTH and UniDLTH in all their variants, as a user reaches them: from the command line and from a campaign."""

from __future__ import annotations

import itertools
import json

import pytest

from unilth.cli import main
from unilth.sims import masks, zoo
from unilth.sims.campaign import parse
from unilth.sims.execute import execute
from unilth.sims.spec import RunSpec
from unilth.sims.tickets import Ticket

SCOPES, POWERS, REWINDS = ("global", "layer"), (1, 2, 3), ("initial", "rate")
VARIANTS = list(itertools.product(("unilth", "unidlth"), SCOPES, POWERS, REWINDS))
SIZES = {"fc1.weight": 19200, "fc2.weight": 30000, "fc3.weight": 1000}


@pytest.mark.parametrize(("name", "scope", "power", "rewind"), VARIANTS)
def test_every_variant_is_what_it_says(name, scope, power, rewind):
    recipe, usual = zoo.recipe(RunSpec(name, scope=scope, power=power, rewind=rewind)), zoo.row(name).recipe
    assert (recipe.mask.scope, recipe.penalty.power, recipe.rewind.to) == (scope, power, rewind)
    assert (recipe.stop, recipe.rounds, recipe.mask.score) == (usual.stop, usual.rounds, usual.mask.score)


def test_a_campaign_names_them_all_and_their_runs_differ():
    """One campaign for each variant's settings; every choice is seen to change the ticket that is found.

    But for one: UniDLTH's masks come from the seed alone, so when its weights go back to their initial values as well,
    nothing of the pressing is left, and the three powers end in the same ticket.
    """
    text = 'claim = "c"\n[grid]\nrecipes = ["unilth", "unidlth"]\nsparsities = [0.9]\nseeds = 1\n[run]\nepochs = 12\n'
    text += 'batch = 256\nscope = "{}"\npower = {}\nrewind = "{}"\n'
    tickets, drawn = {}, {}
    for scope, power, rewind in itertools.product(SCOPES, POWERS, REWINDS):
        for spec in parse(text.format(scope, power, rewind), name="c", where="c.toml").specs:
            _, record = execute(spec)
            tickets.setdefault(record["ticket_digest"], []).append((spec.recipe, scope, power, rewind))
            drawn[spec.recipe, scope, power, rewind] = record["mask_digest"]
            layers = record["sparsity"]["layers"]
            assert (len({round(share, 3) for share in layers.values()}) == 1) == (scope == "layer"), layers
    assert len(drawn) == len(VARIANTS)
    alike = sorted(sorted(same) for same in tickets.values() if len(same) > 1)
    assert alike == [[("unidlth", scope, power, "initial") for power in POWERS] for scope in SCOPES]
    for name, scope, power, _ in drawn:  # the last rewinding comes after the last choice
        assert drawn[name, scope, power, "initial"] == drawn[name, scope, power, "rate"]
    assert len({digest for (name, *_), digest in drawn.items() if name == "unidlth"}) == 2  # drawn by the seed alone


@pytest.mark.parametrize("name", ["unilth", "unidlth"])
def test_the_command_line_reaches_them(name, tmp_path):
    argv = [
        "find",
        name,
        "--scope",
        "global",
        "--power",
        "3",
        "--rewind",
        "initial",
        "--epochs",
        "12",
        "--batch",
        "256",
    ]
    assert main([*argv, "--out", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "record.json").read_text())
    recipe = record["recipe"]
    assert (recipe["mask"]["scope"], recipe["penalty"]["power"], recipe["rewind"]["to"]) == ("global", 3.0, "initial")
    pressed = [phase["penalty"]["power"] for phase in record["phases"] if phase["phase"] == "press"]
    assert pressed and set(pressed) == {3.0}
    ticket = Ticket.load(tmp_path)
    assert masks.pruned_of(ticket.mask) == masks.pruned_count(sum(SIZES.values()), 0.9)
