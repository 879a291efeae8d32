"""Claims: every witness recomputes, and every witness can fail."""

import re

import pytest

from unilth.theory.claims import CLAIMS, Claim, recomputed
from unilth.theory.theorems import THEOREMS

# One change per witness that makes its statement false: (what is replaced, by what).
BROKEN = {
    "generalised-ridge": ("-7) - I", "-6) - I"),
    "close-to-ridge": ("0.2036321888", "0.2036331888"),
    "equal-to-ridge": ("[1., 2.]", "[1., 1.]"),
    "risk-of-ridge": ("1.685909058", "1.6862"),
    "always-better": ("2, 1/4 + 1/4", "2, 1/2 + 1/4"),
    "better-if-ordered": ("1.5/16", "1.6/16"),
    "never-much-worse": ("1.27743404373", "1.2"),
    "unboundedly-better": ("B, M, a = 1e8, 200", "B, M, a = 1e4, 200"),
    "out-of-sample": ("(1 + s)) @ S", "(1 + 0 * s)) @ S"),
    "on-top-of-ridge": ("s / (s + a) *", "1 *"),
    "patience": ("(.001, 100, 10)", "(.1, 100, 10)"),
    "beats-convergence": ("max(t.max(), 0)", "0 * t.max()"),
    "any-stop-beats-convergence": ("(1 + b / v) / 2", "(1 + b / v) / 3"),
    "protects-the-ticket": ("np.log(3)", "np.log(2)"),
    "extrusion": ("/ H[0, 0] / 2", "/ H[0, 0]"),
    "extrudes-everything": ("w[0] + H[0, 1]", "w[0] + 0 * H[0, 1]"),
    "every-weight-shrinks": ("np.array([1., 0])", "np.array([1., 1])"),
    "better-than-finetuning": ("1e9", "1"),
    "unidlth-beats-dlth": ("range(9000)", "range(700)"),
    "unidlth-finite-ramp": ("[-.5, -.5, .5]", "[.5, -.5, .5]"),
    "unilth-beats-lth": ("[.1]", "[1.]"),
    "mask-guarantee": ("4.29107", "4.3"),
    "better-than-regularised-mask": ("(h + 10)", "(h + 11)"),
    "magnitude": (".5, 0], [.5", "0, 0], [0"),
    "deep-networks": ("u = v = 0.0", "u = v = 1.0"),
    "sparsity-by-stopping": ("y * (y > 1)", "np.maximum(y - 1, 0)"),
}


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_witness_recomputes(claim: Claim) -> None:
    assert claim.recompute() is True
    assert len(claim.witness.splitlines()) == 3


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_witness_can_fail(claim: Claim) -> None:
    old, new = BROKEN[claim.id]
    assert old in claim.witness
    assert recomputed(claim.witness.replace(old, new)) is False


def test_ids_are_unique_and_all_have_a_broken_twin() -> None:
    ids = [claim.id for claim in CLAIMS]
    assert len(set(ids)) == len(ids)
    assert set(BROKEN) == set(ids)


def test_theorems_exist() -> None:
    known = {theorem.catalogue for theorem in THEOREMS}
    for claim in CLAIMS:
        assert bool(claim.theorems) == (claim.verdict != "open")
        assert set(claim.theorems) <= known, f"{claim.id} cites {sorted(set(claim.theorems) - known)}"


@pytest.mark.parametrize(
    ("words", "verdicts"),
    [
        ("acts analogously as regularization", {"holds", "holds if"}),
        ("particularly better point", {"holds", "holds if", "fails"}),
        ("validation loss does not decrease", {"fails"}),
        ("excessively skewed", {"holds", "holds if", "fails"}),
        ("extrudes information", {"holds if", "fails"}),
        ("more powerful subnetworks", {"holds if", "fails", "open"}),
    ],
)
def test_every_claim_of_the_abstract_is_taken_apart(words: str, verdicts: set[str]) -> None:
    assert {claim.verdict for claim in CLAIMS if words in claim.claim} == verdicts


def test_verdicts_are_checked() -> None:
    with pytest.raises(ValueError, match="holds if"):
        Claim("x", "y", "z", "true", (), "", lambda: True)


def test_catalogue_numbers_are_well_formed() -> None:
    assert all(re.fullmatch(r"T\d+\.\d+b?", number) for claim in CLAIMS for number in claim.theorems)
