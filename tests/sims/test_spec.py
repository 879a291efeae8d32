"""RunSpec: canonical, checked, and readable without torch."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest

from unilth.errors import UserError
from unilth.sims.spec import RunSpec, closest


def test_json_round_trip_and_digest():
    spec = RunSpec("unilth", sparsity=0.95, seed=3, patience=7)
    assert RunSpec.from_json(spec.to_json()) == spec
    shuffled = json.dumps(dict(reversed(json.loads(spec.to_json()).items())))
    assert RunSpec.from_json(shuffled).digest() == spec.digest()
    assert len(spec.digest()) == 64 and hash(spec) == hash(RunSpec.from_json(spec.to_json()))


def test_every_field_moves_the_digest():
    spec = RunSpec("unilth")
    others = {
        "recipe": "lth", "network": "conv-small", "data": "other", "sparsity": 0.5, "seed": 1, "epochs": 2, "batch": 3,
        "lr": 0.2, "momentum": 0.1, "tune": 0.1, "threads": 2, "patience": 1, "power": 3.0, "ceiling": 0.5, "l2": 1.0,
        "rounds": 2, "scope": "global", "rewind": "initial", "l1": 0.1, "score": "snip", "spare": True,
        "control": "shuffled", "precision": "bfloat16", "augment": "none", "examples": 100,
        "tune_l2": 0.0, "stop": "last",
    }  # fmt: skip
    assert others.keys() == {field.name for field in dataclasses.fields(RunSpec)}
    digests = {dataclasses.replace(spec, **{name: value}).digest() for name, value in others.items()}
    assert len(digests | {spec.digest()}) == len(others) + 1


def test_a_choice_that_is_not_made_leaves_the_text_alone():
    text = json.loads(RunSpec("unilth", l2=None).to_json())
    assert "l2" not in text and "control" not in text and text["recipe"] == "unilth"
    assert RunSpec.from_json(RunSpec("unilth").to_json()) == RunSpec("unilth")
    with pytest.raises(UserError, match="control must be"):
        RunSpec("omp", control="shuffle")
    with pytest.raises(UserError, match="spare must be bool"):
        RunSpec("omp", spare=1)


@pytest.mark.parametrize(
    "choice", [{"threads": 10**8}, {"batch": 10**20}, {"epochs": 10**7}, {"lr": 1e300}, {"l2": 1e31}, {"ceiling": 1e31}]
)
def test_what_no_machine_can_do_is_refused(choice):
    (name,) = choice
    with pytest.raises(UserError, match=f"{name} must be .*at most"):
        RunSpec("omp", **choice)


def test_numbers_are_one_spelling():
    assert RunSpec("omp", sparsity=0, lr=1) == RunSpec("omp", sparsity=-0.0, lr=1.0)
    assert RunSpec("omp", sparsity=0).digest() == RunSpec("omp", sparsity=-0.0).digest()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"recipe": "a", "sparsty": 0.5}', "did you mean 'sparsity'"),
        ('{"recipe": "a", "zzz": 0.5}', "known are recipe, network"),
        ('{"sparsity": 0.5}', "needs the key 'recipe'"),
        ("[]", "object"), ("{", "JSON"), ("[" * 100_000, "JSON"),
        ('{"recipe": 3}', "recipe must be str"), ('{"recipe": "a", "seed": 1.0}', "seed must be int"),
        ('{"recipe": "a", "epochs": "60"}', "epochs must be int"), ('{"recipe": "a", "batch": true}', "batch must be"),
        ('{"recipe": "a", "seed": null}', "seed must be int"), ('{"recipe": "a", "lr": NaN}', "finite"),
        ('{"recipe": "a", "lr": 1' + "0" * 400 + "}", "finite"), ('{"recipe": "a", "sparsity": 1.2}', "sparsity"),
        ('{"recipe": "a", "seed": -1}', "seed"), ('{"recipe": "a", "seed": 9223372036854775808}', "seed"),
        ('{"recipe": "a", "epochs": 0}', "epochs"), ('{"recipe": "a", "lr": 0}', "lr"),
        ('{"recipe": "a", "momentum": 1}', "momentum"), ('{"recipe": "a", "rounds": 0}', "rounds"),
        ('{"recipe": "a", "tune": 1.0}', "tune"), ('{"recipe": "a", "power": -1}', "power"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(text, named):
    with pytest.raises(UserError, match=named):
        RunSpec.from_json(text)


def test_closest():
    assert closest("unlth", ["unilth", "omp"]) == " (did you mean 'unilth'?)"
    assert closest("lenet", ["resnet", "lenet-300-100"]) == " (did you mean 'lenet-300-100' or 'resnet'?)"
    assert closest("", ["unilth"]) == " (known are unilth)"
    assert closest("zzz", ["unilth", "omp"]) == " (known are unilth, omp)"


def test_needs_no_torch():
    code = "import sys, unilth.sims.spec; assert not {'torch', 'flint', 'sympy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
