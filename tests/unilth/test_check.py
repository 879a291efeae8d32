"""`unilth check`: exit codes, the JSON contract, replay lines pasted into a shell, one sentence for bad input."""

import json
import os
import subprocess
import sys
from importlib import resources

import jsonschema
import pytest

from unilth.cli import main

TWINS = "unilth.sims.invariants.twins_mask"
SCHEMA = json.loads((resources.files("unilth.sims.invariants") / "report.schema.json").read_text())


def test_a_correct_rule(tmp_path, capsys):
    out, table = tmp_path / "report.json", tmp_path / "table.md"
    argv = ["check", "unilth.sims.invariants.ours:layer_magnitude", "--budget", "quick"]
    assert main([*argv, "--json", str(out), "--markdown", str(table)]) == 0
    data = json.loads(out.read_text())
    jsonschema.validate(data, SCHEMA)
    assert data["ok"] and data["counts"]["passed"] > 20
    assert "mask-order" in capsys.readouterr().out and "| mask-order |" in table.read_text()


def test_a_broken_rule_and_its_replay_line(tmp_path, capsys):
    out = tmp_path / "report.json"
    target = f"{TWINS}:keeps_strictly_above"
    assert main(["check", target, "--budget", "quick", "--json", str(out), "--seed", "7"]) == 1
    violated = next(row for row in json.loads(out.read_text())["invariants"] if row["status"] == "violated")
    assert violated["replay"] in capsys.readouterr().out.replace("\n", " ")
    line = violated["replay"].replace("unilth", f"{sys.executable} -m unilth", 1)
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 1 and violated["got"] in done.stdout, done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == [out], "the working directory is the user's"


LEADING = """
from unilth.sims.invariants import mask_rule
@mask_rule(scope="global", keeps="largest")
def everything(scores, sparsity, *, within=None, generator=None):
    {body}
    return {{name: value == value for name, value in scores.items()}}
"""


def run(line, folder, **more):
    """A line as a shell runs it, with `unilth` as it is installed here."""
    line = line.replace("unilth ", f"{sys.executable} -m unilth ", 1)
    return subprocess.run(line, shell=True, capture_output=True, text=True, timeout=60, cwd=folder, **more)


def test_the_replay_line_of_a_file_whose_name_begins_with_a_dash(tmp_path):
    (tmp_path / "-mine.py").write_text(LEADING.format(body=""))
    first = run("unilth check --only mask-exact-count-global --budget quick -- -mine.py:everything", tmp_path)
    (line,) = (text.split("replay")[1].strip() for text in first.stdout.splitlines() if text.startswith("  replay"))
    assert first.returncode == 1 and line.startswith(
        "unilth check ./-mine.py:everything --only mask-exact-count-global "
    )
    again = run(line, tmp_path)
    assert again.returncode == 1 and "violated mask-exact-count-global" in again.stdout, again.stderr


def test_a_reader_that_goes_away_takes_no_report_with_it(tmp_path):
    line = f"unilth check {TWINS}:revives --only mask-names --json report.json"
    done = run(line + " | true; echo ${PIPESTATUS[0]}", tmp_path, executable="/bin/bash")
    assert done.stdout == "141\n" and done.stderr == ""
    jsonschema.validate(json.loads((tmp_path / "report.json").read_text()), SCHEMA)


def test_ctrl_c_shows_and_writes_what_was_judged(tmp_path):
    stop = "if any(value.isnan().any() for value in scores.values()): raise KeyboardInterrupt"
    (tmp_path / "mine.py").write_text(LEADING.format(body=stop))
    done = run("unilth check mine.py:everything --budget quick --json report.json", tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    jsonschema.validate(report, SCHEMA)
    assert done.returncode == 130 and not report["ok"] and report["counts"]["passed"] >= 3
    assert f"interrupted: {report['counts']['blocked']} of {len(report['invariants'])} were not judged" in done.stdout


def test_two_reports_under_two_names_of_one_file(tmp_path, capsys):
    (tmp_path / "a.json").write_text("kept")
    (tmp_path / "b.md").hardlink_to(tmp_path / "a.json")
    argv = ["check", f"{TWINS}:revives", "--json", str(tmp_path / "a.json"), "--markdown", str(tmp_path / "b.md")]
    assert main(argv) == 2 and "would overwrite the other" in capsys.readouterr().err
    assert (tmp_path / "a.json").read_text() == "kept"


def test_expected_failures():
    target = f"{TWINS}:keeps_strictly_above"
    known = ["--expect-fail", "mask-exact-count-global:one: too many", "--expect-fail", "mask-sparsity-zero:the same"]
    assert main(["check", target, "--budget", "quick", *known]) == 0
    passes = ["--expect-fail", "mask-names:wrong"]
    assert main(["check", target, "--budget", "quick", *known, *passes]) == 1


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["nowhere:f"], "no module 'nowhere'"),
        ([f"{TWINS}:ranked"], "declares nothing"),
        (["unilth.sims.masks:global_magnitude"], "; unilth.sims.invariants.ours:global_magnitude is the same"),
        ([f"{TWINS}:flattens", "--only", "mask-shape"], "mask-shapes"),
        ([f"{TWINS}:flattens", "--only", "mask-shapes", "--case", "{}"], "(shapes is missing): copy it from a replay"),
        (
            [
                f"{TWINS}:flattens",
                "--only",
                "mask-within",
                "--case",
                '{"scores": {"a": [1]}, "sparsity": 0, "within": {"b": [1]}}',
            ],
            "(a is missing): give 0 and 1",
        ),
        ([f"{TWINS}:flattens", "--only", "mask-shapes", "--json", "."], "needs a file and . is a folder"),
        ([f"{TWINS}:flattens", "--case", "{}"], "--only"),
        ([f"{TWINS}:flattens", "--only", "mask-shapes", "--case", "{"], "no JSON object"),
        ([f"{TWINS}:flattens", "--expect-fail", "mask-shapes"], "ID:REASON"),
        (
            [f"{TWINS}:flattens", "--expect-fail", "mask-shapes:x", "--expect-fail", "mask-shapes:y"],
            "'mask-shapes' twice",
        ),
        ([f"{TWINS}:flattens", "--json", "-"], "--json needs the name of a file and - is none"),
        ([f"{TWINS}:flattens", "--markdown", "-"], "--markdown needs the name of a file and - is none"),
        ([f"{'a' * 300}.safetensors"], "there is no such file"),
        ([f"{TWINS}:flattens", "--seed", "-3"], "seed=-3"),
        ([f"{TWINS}:flattens", "--only", "mask-shapes", "--json", "no/such/folder/r.json"], "no/such/folder"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(argv, words, capsys):
    assert main(["check", *argv]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


@pytest.mark.parametrize("place", [".", "no/such/folder/r.json"])
def test_a_report_that_has_no_place_is_refused_before_anything_is_checked(place, monkeypatch, capsys):
    monkeypatch.setattr("unilth.sims.invariants.check", lambda *_, **__: pytest.fail("checked"))
    for option in ("--json", "--markdown"):
        assert main(["check", f"{TWINS}:flattens", option, place]) == 2
        assert place in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_shown_all_the_same_and_the_old_one_stays(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    (tmp_path / "r.json").write_text("old")
    argv = ["check", f"{TWINS}:flattens", "--only", "mask-shapes", "--budget", "quick"]
    assert main([*argv, "--json", str(tmp_path / "r.json")]) == 2
    shown = capsys.readouterr()
    assert "NOT ok: 1 violated" in shown.out and f"({tmp_path}/r.json): No space left" in shown.err
    assert shown.err.count("\n") == 1
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


SHORT = f"unilth check {TWINS}:flattens --only mask-shapes --budget quick"


@pytest.mark.parametrize(
    ("reports", "to"),
    [
        ("--json /dev/stdout", "| cat >> log"),
        ("--json /dev/stdout", ">> log"),
        ("--json >(cat >> log; echo > done)", "> table"),
        ("--markdown /dev/stderr", "2>&1 | cat >> log"),
        ("--json /dev/stdout --markdown /dev/stderr", ">> log 2>&1"),
    ],
)
def test_a_report_goes_where_an_open_stream_goes(tmp_path, reports, to):
    (tmp_path / "log").write_text("earlier\n")
    wait = "; while [ ! -e done ]; do sleep 0.05; done" if "done" in reports else ""
    done = run(f"{SHORT} {reports} {to}; echo ${{PIPESTATUS[0]}}{wait}", tmp_path, executable="/bin/bash")
    assert done.stdout == "1\n" and done.stderr == ""
    log = (tmp_path / "log").read_text()
    assert log.startswith("earlier\n")
    assert ("NOT ok: 1 violated" in log) == ("table" not in to)
    if "--json" in reports:
        report, _ = json.JSONDecoder().raw_decode(log[log.index("\n{") + 1 :])
        jsonschema.validate(report, SCHEMA)
    assert ("| mask-shapes |" in log) == ("--markdown" in reports)


@pytest.mark.parametrize(
    ("reports", "says"),
    [
        ("--json /dev/full --markdown k.md", "cannot read or write (/dev/full): No space left on device"),
        ("--markdown /dev/full --json k.md", "cannot read or write (/dev/full): No space left on device"),
        ("--json k.md --markdown m.md > /dev/full", "cannot read or write: No space left on device"),
        (
            "--json /dev/full --markdown k.md > /dev/full",
            "to standard output (No space left on device) nor to /dev/full (No space left on device)",
        ),
    ],
)
def test_an_output_that_fails_keeps_no_other_from_being_written(tmp_path, reports, says):
    done = run(f"{SHORT} {reports}", tmp_path)
    assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1
    assert "mask-shapes" in (tmp_path / "k.md").read_text()


@pytest.mark.parametrize("place", ["x" * 256, "loop", "away", "/dev/fd/77", "/proc/none"])
def test_a_report_that_cannot_be_written_is_refused_before_anything_is_checked(tmp_path, place):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "away").symlink_to("no/where")
    (tmp_path / "mine.py").write_text(LEADING.format(body="print('checked')"))
    before = sorted(tmp_path.iterdir())
    done = run(f"unilth check mine.py:everything --only mask-shapes --json {place} --markdown m.md", tmp_path)
    assert done.returncode == 2 and place in done.stderr and done.stderr.count("\n") == 1
    assert "checked" not in done.stdout and sorted(tmp_path.iterdir()) == before


LOUD = """
from unilth.sims.invariants import penalty_schedule

@penalty_schedule(ceiling=1.0, steps=10)
def loud(step):
    raise RuntimeError("caf\\u00e9 \\ud800")
"""


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_what_the_output_cannot_print_is_escaped(tmp_path, encoding):
    folder = os.fsencode(tmp_path) + b"/\xff\xc3\xa9"
    os.mkdir(folder)
    with open(folder + b"/loud.py", "w") as file:
        file.write(LOUD)
    argv = [
        sys.executable,
        "-m",
        "unilth",
        "check",
        folder + b"/loud.py:loud",
        "--budget",
        "quick",
        "--markdown",
        "m.md",
    ]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(argv, capture_output=True, env=environment, cwd=tmp_path, timeout=60)
    assert done.returncode == 1 and not done.stderr, done.stderr
    assert b"\\udcff" in done.stdout and b"\\ud800" in done.stdout
    assert "caf\u00e9 \\ud800" in (tmp_path / "m.md").read_text(encoding="utf-8")
    argv[4] = folder + b"/none.py:loud"
    done = subprocess.run(argv, capture_output=True, env=environment, cwd=tmp_path, timeout=60)
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1 and b"there is no file" in done.stderr


def test_several_invariants_are_reported_and_no_other(tmp_path, capsys):
    argv = ["check", f"{TWINS}:flattens", "--budget", "quick", "--json", str(tmp_path / "r.json")]
    assert main([*argv, "--only", "mask-shapes", "--only", "mask-names", "--only", "mask-shapes"]) == 1
    rows = json.loads((tmp_path / "r.json").read_text())["invariants"]
    assert [(row["id"], row["status"]) for row in rows] == [("mask-shapes", "violated"), ("mask-names", "passed")]
    assert main([*argv, "--only", "mask-shapes", "--only", "mask-nams"]) == 2
    assert "mask-names" in capsys.readouterr().err
    assert main([*argv, "--only", "mask-shapes", "--only", "mask-names", "--case", "{}"]) == 2
    assert "case replays one invariant" in capsys.readouterr().err


def test_a_misspelt_option_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["check", f"{TWINS}:flattens", "--budgett", "quick"])
    assert caught.value.code == 2


def test_help(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["check", "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "--expect-fail" in text and "ticket.safetensors" in text
