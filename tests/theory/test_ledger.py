"""The ledger's verdicts on made-up theorems of every kind of failure, and its JSON contract."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from unilth.errors import UserError
from unilth.theory import certificates, certify
from unilth.theory.claims import Claim
from unilth.theory.evidence import Drop, Evidence, Level, Move, Statement, Theorem, Witness
from unilth.theory.ledger import Entry, prove, settle, write_text
from unilth.theory.rendering import html, markdown, overview, summary
from unilth.theory.theorems import THEOREMS


def one(statement: Statement) -> list[Evidence]:
    return [Evidence("1 is ONE", Level.SYMBOLIC, statement.exact("ONE") == 1, "one number")]


GOOD = Theorem(
    id="one", catalogue="T99.1", title="One is one", statement="1=1", source="folklore", bound="identity", proof="look",
    check=one, near_miss=Move("ONE"), witness=lambda: Witness("1", {"real": True}),
    assumptions={"real": "1 is real"}, constants={"ONE": "1"},
)  # fmt: skip


def die(*arguments: object) -> None:
    """What a worker runs that the system kills."""
    os.kill(os.getpid(), signal.SIGKILL)


def verdict(**changes) -> Entry:
    return settle(replace(GOOD, **changes))


def test_a_true_theorem_is_proved() -> None:
    entry = verdict()
    assert (entry.status, entry.near_miss, entry.reasons, entry.level) == ("proved", "rejected", (), Level.SYMBOLIC)


def test_a_refuted_theorem_fails() -> None:
    assert verdict(constants={"ONE": "2"}).status == "failed"


def test_a_check_that_cannot_fail_fails() -> None:
    entry = verdict(check=lambda s: [Evidence("always", Level.SYMBOLIC, True, "nothing")])
    assert entry.status == "failed" and entry.near_miss == "accepted"


def test_an_undecided_near_miss_is_not_a_refutation() -> None:
    def check(statement: Statement) -> list[Evidence]:
        return [Evidence("maybe", Level.CERTIFIED, True if statement.exact("ONE") == 1 else None, "nothing")]

    assert verdict(check=check).near_miss == "accepted"


def test_undecided_is_a_status_of_its_own() -> None:
    entry = verdict(check=lambda s: [*one(s), Evidence("open", Level.CERTIFIED, None, "nothing")])
    assert entry.status == "undecided" and entry.near_miss == "rejected"
    assert not prove(
        [replace(GOOD, check=lambda s: [*one(s), Evidence("open", Level.CERTIFIED, None, "-")])], claims=()
    ).ok


def test_the_weakest_piece_of_evidence_gives_the_level() -> None:
    entry = verdict(check=lambda s: [*one(s), Evidence("many cases", Level.PROPERTY, True, "100 cases")])
    assert (entry.status, entry.level) == ("supported", Level.PROPERTY)


def test_an_exception_fails_the_theorem_and_not_the_run() -> None:
    def check(statement: Statement) -> list[Evidence]:
        raise ZeroDivisionError("1/0")

    assert verdict(check=check).reasons == ("ZeroDivisionError: 1/0",)


def test_a_hypothesis_that_nothing_needs_is_found_where_mutations_run() -> None:
    assert verdict().status == "proved" and verdict(near_miss=Drop("real")).status == "failed"
    entry = settle(GOOD, mutations=True)
    assert entry.near_miss == "rejected" and entry.status == "failed"
    assert entry.reasons == (
        "the mutation (without the hypothesis 'real') is not refuted, so the check does not need it",
    )
    assert not prove([GOOD], claims=(), mutations=True).ok
    needed = replace(GOOD, assumptions={}, witness=lambda: Witness("1", {}))
    assert prove([needed], claims=(), mutations=True).ok


def test_a_worker_that_dies_fails_its_theorems_and_not_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unilth.theory.ledger._settle_listed", die)
    result = prove(THEOREMS[:4], claims=(), workers=2)
    assert [entry.status for entry in result.entries] == ["failed"] * 4 and not result.ok
    assert all("a worker process died" in entry.reasons[0] for entry in result.entries)


def test_no_evidence_fails() -> None:
    assert verdict(check=lambda s: [] if s.exact("ONE") == 1 else one(s)).status == "failed"


def test_a_witness_must_meet_every_hypothesis() -> None:
    assert verdict(witness=lambda: Witness("1", {})).status == "failed"
    assert verdict(witness=lambda: Witness("1", {"real": False})).status == "failed"


def test_dependencies_are_the_weakest_link(monkeypatch: pytest.MonkeyPatch) -> None:
    weak = replace(GOOD, id="weak", check=lambda s: [*one(s), Evidence("seen", Level.SIMULATED, True, "one run")])
    top = replace(GOOD, id="top", depends_on=("weak",))
    monkeypatch.setattr("unilth.theory.ledger.THEOREMS", (weak, top))
    entry = prove([top], claims=()).entries[0]
    assert (entry.status, entry.level, entry.own) == ("supported", Level.SIMULATED, Level.SYMBOLIC)
    broken = replace(weak, constants={"ONE": "2"})
    monkeypatch.setattr("unilth.theory.ledger.THEOREMS", (broken, top))
    assert prove([top], claims=()).entries[0].status == "failed"
    circular = replace(weak, depends_on=("top",))
    monkeypatch.setattr("unilth.theory.ledger.THEOREMS", (circular, top))
    assert prove([top], claims=()).entries[0].status == "failed"
    assert prove([replace(GOOD, depends_on=("nothing",))], claims=()).entries[0].status == "failed"


@pytest.mark.parametrize(
    ("theorems", "recomputed", "confirmed"),
    [(("T99.1",), True, True), (("T99.1",), False, False), (("T0.0",), True, False)],
)
def test_a_claim_needs_its_theorems_and_its_witness(
    theorems: tuple[str, ...], recomputed: bool, confirmed: bool
) -> None:
    claim = Claim("c", "one is one", "1 = 1", "holds", theorems, "shown = True", lambda: recomputed)
    ledger = prove([GOOD], claims=[claim])
    assert [row.ok for row in ledger.claims] == [confirmed] and ledger.ok is confirmed


def test_a_claim_of_a_theorem_that_fails_is_not_confirmed() -> None:
    claim = Claim("c", "one is one", "1 = 1", "holds", ("T99.1",), "shown = True", lambda: True)
    assert not prove([replace(GOOD, constants={"ONE": "2"})], claims=[claim]).claims[0].ok


def test_json_follows_the_contract() -> None:
    content = prove([GOOD], claims=()).to_json()
    assert content["schema"] == 1 and set(content) >= {"theorems", "claims", "counts"}
    row = content["theorems"][0]
    wanted = {"id", "catalogue", "title", "status", "level", "scope", "near_miss", "constants", "seconds"}
    assert wanted <= set(row) and row["catalogue"] == "T99.1" and row["near_miss"] == "rejected"
    counts = content["counts"]
    assert counts["proved"] + counts["supported"] + counts["undecided"] + counts["failed"] == counts["theorems"] == 1


def test_renderings_name_everything_and_escape_html() -> None:
    theorem = replace(GOOD, title="One <b>is</b> | one")
    ledger = prove([theorem], claims=())
    assert "&lt;b&gt;" in html(ledger, [theorem]) and "<b>is" not in html(ledger, [theorem])
    assert r"One \<b\>is\</b\> \| one" in markdown(ledger, [theorem]) and "1 proved" in summary(ledger)
    assert overview(ledger) is not None


def bounded_theorem(statement: Statement) -> list[Evidence]:
    result = certify.bounded(lambda x: x * (1 - x), 0, 1, above="0.2501")
    return [*one(statement), certify.certified("x(1-x) < 0.2501", result, "[0, 1]")]


def test_certificates_are_rechecked_and_tampering_is_noticed() -> None:
    theorem = replace(GOOD, check=bounded_theorem)
    tape = settle(theorem).certificate
    assert [entry["kind"] for entry in tape.entries] == ["bounded"]
    assert settle(theorem, tape.entries).status == "proved"
    cuts = tape.entries[0]["cuts"]
    for tampered in (cuts[:-1], cuts[1:], [cuts[0], cuts[-1]], [*cuts[:1], "1/2", *cuts[1:]][::-1]):
        assert settle(theorem, [{"kind": "bounded", "cuts": tampered}]).status != "proved"
    assert settle(theorem, []).status != "proved"
    assert settle(theorem, [*tape.entries, *tape.entries]).status == "failed"
    assert settle(theorem, [{"kind": "root", "lower": "0", "upper": "1"}]).status != "proved"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Certificates of one theorem that searched and of one that did not."""
    tapes = {"one": settle(replace(GOOD, check=bounded_theorem)).certificate, "idle": settle(GOOD).certificate}
    certificates.write(tmp_path, tapes)
    return tmp_path


def test_certificates_are_read_as_written_and_files_of_others_go(folder: Path) -> None:
    found = certificates.read(folder)
    assert set(found) == {"one", "idle"} and found["idle"] == [] and len(found["one"]) == 1
    certificates.write(folder, {"idle": settle(GOOD).certificate})
    assert certificates.read(folder) == {"idle": []} and not list(folder.glob("*.certificate.json"))


def test_certificate_files_are_untrusted(folder: Path) -> None:
    path = folder / "one.certificate.json"
    good = path.read_text()
    for bad in (
        "",
        "[]",
        "{",
        good.replace("one", "two"),
        good.replace('"0"', '"1e999999999"'),
        good.replace('"0"', "0"),
        json.dumps({"schema": 1, "theorem": "one", "certificates": []}),
    ):
        path.write_text(bad)
        with pytest.raises(UserError, match="write it again"):
            certificates.read(folder)


def test_a_lost_or_foreign_certificate_is_noticed(folder: Path) -> None:
    path = folder / "one.certificate.json"
    path.rename(folder / "two.certificate.json")
    with pytest.raises(UserError, match="'one' is missing"):
        certificates.read(folder)
    (folder / "two.certificate.json").rename(path)
    (folder / "two.certificate.json").write_text(path.read_text())
    with pytest.raises(UserError, match="'two' is not in its index"):
        certificates.read(folder)


@pytest.mark.parametrize(
    "index",
    ["{", "[]", '{"schema": 2, "theorems": {}}', '{"schema": 1, "theorems": {"../one": 1}}',
     '{"schema": 1, "theorems": {"one": -1}}', '{"schema": 1, "theorems": {"one": true}}'],
)  # fmt: skip
def test_the_index_is_untrusted(folder: Path, index: str) -> None:
    (folder / "index.json").write_text(index)
    with pytest.raises(UserError, match="write it again"):
        certificates.read(folder)


def test_a_folder_without_certificates_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no certificates"):
        certificates.read(tmp_path)
    with pytest.raises(UserError, match="no folder"):
        certificates.read(tmp_path / "absent")


def test_the_listed_theorems_name_their_near_miss() -> None:
    assert all(isinstance(theorem.near_miss, Move | Drop) for theorem in THEOREMS)


def test_writing_follows_links_and_leaves_devices_alone(tmp_path: Path) -> None:
    kept, link, pipe = tmp_path / "kept", tmp_path / "link", tmp_path / "pipe"
    kept.write_text("old")
    link.symlink_to(kept)
    write_text(link, "new")
    assert link.is_symlink() and kept.read_text() == "new"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "through")
    assert os.read(reader, 100) == b"through" and pipe.is_fifo()
    os.close(reader)
    assert {path.name for path in tmp_path.iterdir()} == {"kept", "link", "pipe"}
