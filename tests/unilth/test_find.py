"""`unilth find`: a ticket and its record in a folder; whatever cannot be used is one sentence and exit code 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from unilth.cli import main
from unilth.sims.spec import RunSpec
from unilth.sims.tickets import Ticket

QUICK = ["--epochs", "4", "--batch", "256"]


def find(*argv: object) -> int:
    return main(["find", *map(str, argv)])


def test_finds_saves_and_skips_what_is_finished(tmp_path, capsys):
    assert find("unilth", "--sparsity", 0.8, "--out", tmp_path / "a", *QUICK) == 0
    shown = capsys.readouterr()
    assert "0.800000 counted, 0.8 nominal" in shown.out and "fc2.weight" in shown.out and "saved in" in shown.out
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        ".lock", "record.json", "ticket.json", "ticket.safetensors",
    ]  # fmt: skip
    ticket, record = Ticket.load(tmp_path / "a"), json.loads((tmp_path / "a" / "record.json").read_text())
    assert ticket.digest() == record["ticket_digest"]
    assert ticket.spec == RunSpec("unilth", sparsity=0.8, epochs=4, batch=256)
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()}
    assert find("unilth", "--sparsity", 0.8, "--out", tmp_path / "a", *QUICK) == 0
    assert "found before" in capsys.readouterr().out
    assert times == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()}
    assert find("unilth", "--sparsity", 0.8, "--out", tmp_path / "b", *QUICK) == 0  # the same again, elsewhere
    for name in ("ticket.safetensors", "ticket.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    again = json.loads((tmp_path / "b" / "record.json").read_text())
    assert {**again, "timing": 0} == {**record, "timing": 0}


def test_the_dense_network_is_the_one_that_campaigns_train(tmp_path, capsys):
    for given in ([], ["--sparsity", "0"]):
        assert find("dense", "--out", tmp_path, *QUICK, *given) == 0
        assert "0.000000 counted, 0 nominal" in capsys.readouterr().out


def test_a_layer_that_the_mask_empties_is_said_and_recorded(tmp_path, capsys):
    (tmp_path / "last.py").write_text(
        "def first(sight):\n    return {n: w.abs() * (n != 'fc3.weight') for n, w in sight.weights.items()}\n"
    )
    argv = ["omp", "--score", f"{tmp_path / 'last.py'}:first", "--out", tmp_path / "a", *QUICK]
    for _ in range(2):  # when it is found, and when it was found before
        assert find(*argv) == 0
        warned = " ".join(capsys.readouterr().err.split())
        assert "warning: every weight of fc3.weight is pruned" in warned
    assert json.loads((tmp_path / "a" / "record.json").read_text())["sparsity"]["emptied"] == ["fc3.weight"]
    assert find("omp", "--out", tmp_path / "b", *QUICK) == 0
    assert "warning" not in capsys.readouterr().err


def test_never_over_another_ticket(tmp_path, capsys):
    assert find("omp", "--out", tmp_path, *QUICK) == 0
    (tmp_path / ".lock").unlink()  # nobody holds it, and it has the pid of the last who did
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for other in (["lth"], ["omp", "--seed", 1], ["omp", "--sparsity", 0.5]):
        assert find(*other, "--out", tmp_path, *QUICK) == 2
        assert "already holds a different ticket" in capsys.readouterr().err
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for damaged in ("record.json", "ticket.safetensors"):
        (tmp_path / damaged).write_bytes(before[damaged][:-40])
        assert find("omp", "--out", tmp_path, *QUICK) == 2  # not ours to overwrite
        (tmp_path / damaged).write_bytes(before[damaged])
    (tmp_path / "record.json").unlink()  # interrupted before the record: the same run goes on
    assert find("lth", "--out", tmp_path, *QUICK) == 2
    assert find("omp", "--out", tmp_path, *QUICK) == 0
    assert before.keys() | {".lock"} == {path.name for path in tmp_path.iterdir()}
    assert before["ticket.safetensors"] == (tmp_path / "ticket.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["omp", "--out", ""], "--out is empty: give a folder, . for this one"),
        (["unlth"], "did you mean 'unilth'"),
        (["omp", "--network", "lenet-300"], "did you mean 'lenet-300-100'"),
        (["omp", "--data", "digit"], "did you mean 'digits'"),
        (["omp", "--sparsity", "1.2"], "sparsity must be in [0, 1), not 1.2"),
        (["omp", "--sparsity", "nan"], "sparsity must be finite, not nan"),
        (["omp", "--data-dir", "no/such/folder"], "--data-dir no/such/folder is not a folder"),
        (["omp", "--score", "magnitud"], "did you mean 'magnitude'"),
        (["omp", "--score", "none.py:score"], "the score 'none.py:score': there is no file 'none.py'"),
        (["dense", "--score", "random"], "does not prune"),
        (["dense", "--sparsity", "0.5"], "the recipe 'dense' does not prune: leave --sparsity out"),
        (["omp", "--epochs", "0"], "epochs must be at least 1, not 0"),
        (["omp", "--seed", "-1"], "seed must be at least 0, not -1"),
        (["omp", "--patience", "3"], "does not stop early"),
        (["omp", "--scope", "row"], "scope must be 'global', 'layer', 'erk' or 'balanced'"),
        (["omp", "--rewind", "step"], "rewind"),
        (
            ["omp", "--rewind", "step:x"],
            "rewind must be 'initial', 'step:K' (K below 10^9), 'rate' or 'none', not step:x",
        ),
        (["omp", "--rewind", "step:" + "9" * 5000], "rewind must be 'initial', 'step:K' (K below 10^9)"),
        (["omp", "--lr", "10000", *QUICK], "lower lr"),
        (["omp", "--device", "cuda:999"], "device 'cuda:999': torch sees"),
        (["omp", "--precision", "float16"], "precision must be 'float32' or 'bfloat16', not 'float16'"),
        (["omp", "--augment", "standard"], "the data 'digits' have no standard augmentation"),
        (["omp", "--device", "gpu"], "device must be auto, cpu, cuda, cuda:N or mps, not 'gpu'"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, capsys, argv, said):
    assert find(*([] if "--out" in argv else ["--out", tmp_path / "new"]), *argv) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and "Traceback" not in error
    assert not (tmp_path / "new" / "ticket.json").exists()


@pytest.mark.parametrize(
    "argv", [["omp"], ["omp", "--out", "x", "--seed", "1.5"], ["omp", "--out", "x", "--sparsty", "1"]]
)
def test_bad_arguments_exit_with_two(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        find(*argv)
    assert stopped.value.code == 2


def test_folders_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert find("omp", "--out", tmp_path / "file", *QUICK) == 2
    assert find("omp", "--out", tmp_path / "file" / "below", *QUICK) == 2
    (tmp_path / "closed").mkdir(mode=0o500)
    if os.geteuid() != 0:  # root may write anywhere
        assert find("omp", "--out", tmp_path / "closed", *QUICK) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3 - (os.geteuid() == 0) and all("--out" in line for line in errors)


BLOCKED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"flint", "sympy", "matplotlib"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
from unilth.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_needs_neither_flint_nor_sympy(tmp_path):
    command = [sys.executable, "-c", BLOCKED, "find", "omp", "--out", str(tmp_path), *QUICK]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "record.json").exists()
    proof = subprocess.run(
        [sys.executable, "-c", BLOCKED.replace("from unilth.cli", "import flint\nfrom unilth.cli")], capture_output=True
    )
    assert proof.returncode != 0  # the block does block


def test_help_names_every_recipe(capsys):
    from unilth.sims.zoo import NAMES

    with pytest.raises(SystemExit) as stopped:
        find("--help")
    shown = capsys.readouterr().out
    assert stopped.value.code == 0 and "--sparsity" in shown
    listed = [line.split()[0] for line in shown.split("recipes:\n")[1].split("\n\n")[0].splitlines()]
    assert tuple(listed) == NAMES
    for some in ("resnet56-a", "cifar10", "synflow"):
        assert some in shown
