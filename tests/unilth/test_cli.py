"""The front door: help, version, one sentence and exit code 2 for what cannot be used."""

from __future__ import annotations

import shlex
import subprocess
import sys
import types
from pathlib import Path

import pytest

import unilth
from unilth import __version__, cli
from unilth.errors import UserError

ROOT = Path(__file__).parents[2]

# As where the modules are not installed. A None in sys.modules is not the same: SciPy looks whether torch is there.
BLOCKED = """
import ast, sys
block = ast.literal_eval(sys.argv.pop(1))
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in block:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from unilth.cli import run
run()
"""


def run(*argv: str, block: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run the command line in a fresh interpreter in which some modules cannot be found."""
    return subprocess.run(
        [sys.executable, "-c", BLOCKED, repr(block), *argv], capture_output=True, text=True, timeout=120
    )


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash."""
    return subprocess.run(["/bin/bash", "-c", line], capture_output=True, text=True, timeout=120, cwd=ROOT)


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"unilth {__version__}\n"
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(command.name in text and command.help in text for command in cli.COMMANDS)


def test_no_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "commands:" in capsys.readouterr().out


@pytest.mark.parametrize("name", [command.name for command in cli.COMMANDS])
def test_every_command_exists_and_explains_itself(name: str) -> None:
    done = run(name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"unilth {name}" in done.stdout and len(done.stdout.splitlines()) > 5


@pytest.mark.parametrize("name", [command.name for command in cli.COMMANDS])
def test_an_unknown_option_is_refused_without_a_traceback(name: str) -> None:
    done = run(name, "--no-such-option")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr and f"unilth {name} --help" in done.stderr


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["prov"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "'prov'" in error and "prove" in error


@pytest.mark.parametrize(
    ("raised", "code", "says"),
    [
        (UserError("sparsity is 1.2; give a number in [0, 1)"), 2, "sparsity is 1.2"),
        (PermissionError(13, "Permission denied", "/no/where"), 2, "/no/where"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 2, "pip install 'unilth[sims]'"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_expected_errors_are_one_sentence(
    raised: BaseException, code: int, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(argv: list[str]) -> int:
        raise raised

    monkeypatch.setattr(cli.importlib, "import_module", lambda name: types.SimpleNamespace(main=fail))
    assert cli.main(["prove"]) == code
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_an_error_does_not_act_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.complain("no\n recipe \x1b]0;PWN\x07é") == 2
    assert capsys.readouterr().err == "unilth: error: no recipe \\x1b]0;PWN\\x07é\n"


@pytest.mark.parametrize("name", [command.name for command in cli.COMMANDS])
def test_only_what_goes_on_says_so(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(argv: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.importlib, "import_module", lambda name: types.SimpleNamespace(main=stop))
    assert cli.main([name]) == 130
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert ("the same command goes on" in error) == (name in ("reproduce", "find", "sweep", "endpoints"))


def test_a_defect_of_ours_stays_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(argv: list[str]) -> int:
        raise ModuleNotFoundError("No module named 'unilth.nothing'", name="unilth.nothing")

    monkeypatch.setattr(cli.importlib, "import_module", lambda name: types.SimpleNamespace(main=fail))
    with pytest.raises(ModuleNotFoundError):
        cli.main(["prove"])


def test_prove_runs_without_torch() -> None:
    done = run("prove", "T3.1", block=("torch", "sklearn", "matplotlib", "safetensors", "hypothesis"))
    assert done.returncode == 0 and "relative" not in done.stderr, done.stderr


@pytest.mark.parametrize(("name", "module"), [("find", "torch"), ("figures", "matplotlib"), ("prove", "flint")])
def test_a_missing_extra_is_named(name: str, module: str) -> None:
    argv = {"find": ["dense", "--out", "/no/where"], "figures": ["filters", "--out", "/no/where"], "prove": []}[name]
    done = run(name, *argv, block=(module,))
    assert done.returncode == 2 and "pip install 'unilth[" in done.stderr and "Traceback" not in done.stderr


def test_find_starts_without_flint_and_sympy() -> None:
    done = run("find", "--help", block=("flint", "sympy", "matplotlib"))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", ["prove --list", "table results/sweeps/mnist", "--help"])
def test_a_reader_that_goes_away_is_no_violation(line):
    """141, as from a process that a closed pipe ended: 1 would say that something does not hold."""
    command = f"{sys.executable} -m unilth {line} | true; exit ${{PIPESTATUS[0]}}"
    done = shell(command)
    assert done.returncode == 141 and done.stderr == ""


@pytest.mark.parametrize(
    "line",
    [
        "--help > /dev/full",
        "--version > /dev/full",
        "check --help > /dev/full",
        "table results/sweeps/mnist > /dev/full",
    ],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_that_is_full_is_one_sentence(line: str, unbuffered: str) -> None:
    done = shell(f"PYTHONUNBUFFERED={unbuffered} {sys.executable} -m unilth {line}")
    assert done.returncode == 2 and done.stdout == ""
    assert "No space left on device" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("to", ["2> /dev/full", "> /dev/full 2>&1", "2> >(exec 0<&-)"])
@pytest.mark.parametrize("line", ["check nope:x", "prov", "table no/such/folder"])
def test_an_error_that_cannot_be_said_is_no_violation(line: str, to: str) -> None:
    done = shell(f"{sys.executable} -m unilth {line} {to}")
    assert done.returncode == 2 and done.stderr == done.stdout == ""


def test_a_wrong_option_that_cannot_be_said_is_no_violation() -> None:
    assert shell(f"{sys.executable} -m unilth check --nope 2> /dev/full").returncode == 2


def test_an_interrupt_that_cannot_be_said_is_an_interrupt() -> None:
    code = (
        "from unilth.cli import run\nimport sys, types\ndef main(argv):\n    raise KeyboardInterrupt\n"
        "sys.modules['unilth.commands.prove'] = types.SimpleNamespace(main=main)\nsys.argv = ['unilth', 'prove']\nrun()"
    )
    assert shell(f"{sys.executable} -c {shlex.quote(code)} 2> /dev/full").returncode == 130


def test_the_version_is_read_only_where_it_is_asked_for() -> None:
    """Reading it takes most of the time before Ctrl-C ends in a sentence."""
    code = "import sys, unilth.cli; print([name for name in sys.modules if name.startswith('importlib.metadata')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n"
    assert __version__ and not hasattr(unilth, "no_such_name")
