"""Targets: what names a thing under check, and what is said when it cannot be used."""

import os
import shlex
import subprocess
import sys

import pytest

from unilth.errors import UserError
from unilth.sims.invariants import check, mask_rule, parametrize_with_invariants
from unilth.sims.invariants.ours import global_magnitude
from unilth.sims.invariants.ranking import ranked
from unilth.sims.invariants.targets import load

GOOD = """
from dataclasses import dataclass
from unilth.sims.invariants import mask_rule, penalty_schedule
from helper import HALF

@dataclass(frozen=True)
class Box:
    value: int

@penalty_schedule(ceiling=1.0, steps=10)
def ramp(step):
    return min(step / 10, 1.0) if HALF == 0.5 else 0.0

class Group:
    @staticmethod
    @penalty_schedule(ceiling=1.0, steps=10)
    def inner(step):
        return min(step / 10, 1.0)

def plain(scores, sparsity):
    return {}

def press(step):
    return 0.0

def search(network, data, sparsity, *, seed):
    return None

def nothing(x):
    return x

number = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(GOOD)
    (tmp_path / "helper.py").write_text("HALF = 0.5\n")
    (tmp_path / "syntax.py").write_text("def f(:\n")
    (tmp_path / "needs.py").write_text("import surely_not_installed\n")
    (tmp_path / "wants.py").write_text("import absent\n")
    (tmp_path / "breaks.py").write_text("1 / 0\n")
    (tmp_path / "exits.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "skips.py").write_text("import pytest\npytest.importorskip('surely_not_installed')\n")
    (tmp_path / "cancels.py").write_text("import asyncio\nraise asyncio.CancelledError\n")
    (tmp_path / "own.py").write_text("class Own(BaseException): pass\nraise Own('x\\ny')\n")
    (tmp_path / "stops_at_once.py").write_text("raise KeyboardInterrupt\n")
    (tmp_path / "binary.py").write_bytes(b"x = 1\0\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name in ("mine", "helper") or name.startswith("_unilth_target_")]:
        del sys.modules[name]


@pytest.mark.parametrize("text", ["mine.py:ramp", "mine:ramp", "mine.py:Group.inner", "mine:Group.inner"])
def test_files_and_modules(folder, text):
    path = list(sys.path)
    report = check(text, budget="quick")
    assert report.ok and report.target == text and report.kind == "penalty-schedule"
    assert sys.path == path


def test_a_file_in_another_folder_finds_its_neighbours(folder, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert check(f"{folder / 'mine.py'}:ramp", budget="quick").ok


def test_a_file_of_a_package_may_import_its_neighbours(folder, tmp_path_factory, monkeypatch):
    deep = folder / "outer" / "inner"
    deep.mkdir(parents=True)
    for part in (deep.parent, deep):
        (part / "__init__.py").write_text("")
    (deep.parent / "base.py").write_text("STEPS = 10\n")
    source = GOOD.replace("from helper import HALF", "from ..base import STEPS\nfrom . import part").replace(
        "HALF", "0.5"
    )
    (deep / "part.py").write_text("")
    (deep / "tickets.py").write_text(source)
    (deep / "lost.py").write_text("from .nowhere import x\n")
    assert check("outer/inner/tickets.py:ramp", budget="quick").ok
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert check(f"{deep / 'tickets.py'}:Group.inner", budget="quick").ok
    with pytest.raises(UserError, match="nowhere"):
        load(f"{deep / 'lost.py'}:f")
    # A package of another name in the way: the file that was named is the one that is checked.
    (folder / "other" / "outer").mkdir(parents=True)
    (folder / "other" / "outer" / "__init__.py").write_text("")
    (folder / "other" / "outer" / "base.py").write_text(GOOD.replace("from helper import HALF", "HALF = 0.0"))
    assert not check(f"{folder / 'other' / 'outer' / 'base.py'}:ramp", budget="quick").ok
    for name in [name for name in sys.modules if name.partition(".")[0] == "outer"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mine", "must look like"),
        (":ramp", "must look like"),
        ("mine.py:", "must look like"),
        ("nowhere.py:f", "no file"),
        ("nowhere:f", "no module 'nowhere'"),
        ("nowhere.at.all:f", "no module 'nowhere'"),
        ("mine.py:rampp", "has no 'rampp'; it declares ramp"),
        ("helper.py:f", "declares nothing that can be checked"),
        ("mine.py:plain", r"put @mask_rule\([^@]* above it"),
        ("mine.py:press", r"put @penalty_schedule\([^@]* above it"),
        ("mine.py:search", r"put @ticket_finder\([^@]* above it"),
        ("mine.py:nothing", "put @mask_rule.*@penalty_schedule.*@ticket_finder.* above it"),
        ("mine.py:number", "is of the type int, not a function"),
        ("syntax.py:f", "syntax error in line 1"),
        ("needs.py:f", "needs 'surely_not_installed'"),
        ("needs:f", "needs 'surely_not_installed'"),
        ("wants:f", "needs 'absent'"),
        ("breaks.py:f", "ZeroDivisionError"),
        ("breaks:f", "ZeroDivisionError"),
        ("exits.py:f", "SystemExit"),
        ("skips.py:f", "raised Skipped: could not import 'surely_not_installed'"),
        ("skips:f", "raised Skipped: could not import 'surely_not_installed'"),
        ("cancels.py:f", "raised CancelledError: CancelledError$"),
        ("cancels:f", "raised CancelledError: CancelledError$"),
        ("own.py:f", "raised Own: x$"),
        ("binary.py:f", "has a syntax error: .*null bytes"),
    ],
)
def test_a_target_that_cannot_be_used_is_one_sentence(folder, text, words):
    with pytest.raises(UserError, match=words) as caught:
        load(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["stops_at_once.py:f", "stops_at_once:f"])
def test_ctrl_c_ends_an_import(folder, text):
    with pytest.raises(KeyboardInterrupt):
        load(text)
    assert not [name for name in sys.modules if "stops_at_once" in name]


def test_objects_have_an_address_where_they_can_be_loaded_again():
    assert load(global_magnitude).address == "unilth.sims.invariants.ours:global_magnitude"

    @mask_rule(scope="layer", keeps="largest")
    def local(scores, sparsity, *, within=None, generator=None):
        return ranked(scores, sparsity, within)

    assert load(local).address is None
    found = check(local, only="mask-exact-count-layer").violations[0]
    assert found.replay.startswith("check(") and repr(found.case) in found.replay


@mask_rule(scope="layer", keeps="largest")
def module_level(scores, sparsity, *, within=None, generator=None):
    return ranked(scores, sparsity, within)


def test_an_object_of_a_test_file_has_an_address_that_loads():
    address = load(module_level).address
    assert address.endswith(":module_level") and load(address).claims == load(module_level).claims
    line = check(module_level, only="mask-exact-count-layer").violations[0].replay
    assert shlex.split(line)[:3] == ["unilth", "check", address]


def test_an_undecorated_object():
    with pytest.raises(UserError, match="@mask_rule"):
        load(ranked)


LATE = """
from unilth.sims.invariants import mask_rule

@mask_rule(scope="global", keeps="largest")
def rule(scores, sparsity, *, within=None, generator=None):
    from latecomer import global_magnitude
    return global_magnitude(scores, sparsity, within=within)
"""


@pytest.fixture
def late(tmp_path, monkeypatch):
    """A folder with a rule that imports its neighbour when it is called; the working directory is another one."""
    (tmp_path / "late.py").write_text(LATE)
    (tmp_path / "latecomer.py").write_text("from unilth.sims.invariants.ours import global_magnitude\n")
    (tmp_path / "lazily.py").write_text("def __getattr__(name):\n    import late\n    return getattr(late, name)\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    yield tmp_path
    for name in ("late", "latecomer", "lazily"):
        sys.modules.pop(name, None)


CASE = {"scores": {"a": [1, 2, 3, 4]}, "sparsity": 0.5}


@pytest.mark.parametrize("text", ["../late.py:rule", "../lazily.py:rule", "late:rule", "lazily:rule"])
@pytest.mark.parametrize("options", [{}, {"case": CASE}])
def test_a_neighbour_that_is_imported_when_it_is_needed_is_found(late, text, options, monkeypatch):
    if "/" not in text:
        monkeypatch.chdir(late)
    path = list(sys.path)
    report = check(text, budget="quick", only="mask-order", **options)
    assert report.ok and sys.path == path, str(report)


def test_a_neighbour_of_a_part_of_a_package_is_found_late(late):
    package = late / "whole"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text(LATE)
    assert check("../whole/part.py:rule", budget="quick", only="mask-order").ok
    for name in ("whole", "whole.part"):
        del sys.modules[name]


def test_a_neighbour_is_found_late_in_pytest(late):
    @parametrize_with_invariants(["../late.py:rule"])
    def test_late(target, invariant):
        invariant(target)

    (parameter,) = (each for each in test_late.pytestmark[0].args[1] if each.id.endswith("mask-names"))
    test_late(*parameter.values)


def test_the_command_finds_a_neighbour_late(late):
    words = [sys.executable, "-m", "unilth", "check", "../late.py:rule", "--only", "mask-order", "--budget", "quick"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


PROXY = """
from unilth.sims.invariants import penalty_schedule

class Proxy:
    def __getattr__(self, name):
        raise RuntimeError("outside of a request")

class Called(Proxy):
    def __call__(self, step):
        return 0.0

request, called = Proxy(), Called()

@penalty_schedule(ceiling=1.0, steps=10)
def ramp(step):
    return min(step / 10, 1.0)
"""


@pytest.mark.parametrize(
    ("source", "name", "words"),
    [
        (PROXY, "rampp", "has no 'rampp'; it declares ramp$"),
        (PROXY, "request", "is of the type Proxy, not a function"),
        (PROXY, "request.inner", "looking up 'inner' in .* raised RuntimeError: outside of a request"),
        (PROXY, "called", "declares nothing; put @mask_rule"),
        (
            "def __getattr__(name):\n    raise RuntimeError('lazy')\n",
            "x",
            "looking up 'x' in .* raised RuntimeError: lazy",
        ),
        (
            "def __getattr__(name):\n    import surely_not_installed\n",
            "x",
            "raised ModuleNotFoundError: No module named",
        ),
        ("import pytest\ndef __getattr__(name):\n    pytest.skip('no')\n", "x", "raised Skipped: no"),
        ("def __getattr__(name):\n    raise AttributeError(name)\n", "x", "has no 'x'; it declares nothing"),
    ],
)
def test_a_module_that_answers_when_it_is_asked_is_one_sentence(tmp_path, source, name, words):
    (tmp_path / "proxies.py").write_text(source)
    with pytest.raises(UserError, match=words) as caught:
        load(f"{tmp_path / 'proxies.py'}:{name}")
    assert "\n" not in str(caught.value)


def test_a_proxy_declares_nothing():
    space: dict = {}
    exec(PROXY, space)
    for name, words in (("request", "not a function"), ("called", "declares nothing")):
        with pytest.raises(UserError, match=words):
            check(space[name])


@pytest.mark.parametrize("text", [f"{'a' * 5000}.safetensors", f"{'a' * 5000}.py:f", "a\0.safetensors", "a\0.py:f"])
def test_a_name_that_no_file_can_have_is_one_sentence(text):
    with pytest.raises(UserError, match=r"there is no (such )?file"):
        load(text)


def test_a_file_name_that_is_no_text_loads(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.py")
    with open(path, "w") as file:
        file.write(PROXY)
    assert check(f"{path}:ramp", budget="quick", only="schedule-number").ok


SPAWNS = """
import multiprocessing
from unilth.sims.invariants import penalty_schedule

def double(step):
    return 2 * step

class Other:
    pass

done = []

@penalty_schedule(ceiling=1.0, steps=5)
def ramp(step):
    if step == 3 and not done:
        with multiprocessing.get_context("METHOD").Pool(1) as pool:
            assert pool.apply_async(double, (step,)).get(60) == 6
            assert type(pool.apply_async(Other).get(60)) is Other
        done.append(True)
    return min(step / 5, 1.0)
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_processes_that_a_file_starts_anew_find_what_is_in_it(tmp_path, method):
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "mine.py").write_text(SPAWNS.replace("METHOD", method))
    command = [sys.executable, "-m", "unilth", "check", "a folder/mine.py:ramp", "--only", "schedule-number"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0 and "ok: 1 passed" in done.stdout, done
