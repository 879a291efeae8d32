r"""What extruding information before pruning saves, exactly (catalogue T6.2).

Statement: loss(plain mask) - loss(growing penalty, limit) = 1/2 ||H_mm^{-1/2} H_mc w*_c||^2
    = 1/2 ||w_m(\infty) - w*_m||^2_{H_mm} >= 0, and it is 0 iff H_mc w*_c = 0. Pruning w(\lambda) at a finite
    penalty costs 1/2 ||H_mm^{-1/2} H_mc w_c(\lambda)||^2 over the limit, at most 1/2 ||H_mm^{-1/2} H_mc||^2 ||S
    w*_c||^2 / \lambda^2.
Assumptions: H symmetric; H positive definite.
Source: folklore; this form not found in the literature.
Bound: identity.
Proof: expand both losses in blocks and cancel; H_mm^{-1} is positive definite.
Evidence: symbolic for every block size (free algebra), and exact rational instances.
"""

from __future__ import annotations

from collections.abc import Sequence

from unilth.theory.blocks import (
    BLOCKS,
    CHAIN,
    INDEFINITE,
    SKEWED,
    SOUND,
    A,
    B,
    C,
    D,
    Problem,
    R,
    S,
    a,
    b,
    c,
    is_positive,
    is_symmetric,
    l,
)
from unilth.theory.evidence import Evidence, Move, Statement, Theorem
from unilth.theory.exact import form, rational
from unilth.theory.verdicts import Verdict, judged, shown, witnessed

EVERY = "blocks of every size, free algebra"
HYPOTHESES = {"symmetric": is_symmetric, "positive-definite": is_positive}


def identities(statement: Statement) -> list[Evidence]:
    """The statement reduced in the free algebra of the blocks."""
    t, eq = BLOCKS.transpose, BLOCKS.equal
    half2 = 2 * statement.exact("HALF")
    moved = a * B * c  # w_m(infinity) - w*_m
    w_c = R * S * c
    d_m = a * B * (c - w_c)  # w_m(lambda) - w*_m
    after_prune = t(d_m) * A * d_m - t(d_m) * B * c - C * b * d_m + C * D * c  # twice the loss of (w_m(lambda), 0)
    excess = t(w_c) * b * a * B * w_c
    return [
        shown(
            "plain minus limit", eq(C * D * c - C * S * c, half2 * (C * b * a * B * c)), EVERY, f"HALF = {half2 / 2}"
        ),
        shown(
            "it is the squared H_mm-distance the kept weights move", eq(t(moved) * A * moved, C * b * a * B * c), EVERY
        ),
        shown("excess of pruning at a finite penalty", eq(after_prune - C * S * c, half2 * excess), EVERY),
        shown("lambda w_c = S w*_c - S w_c, hence ||w_c|| <= ||S w*_c|| / lambda", eq(l * w_c, S * c - S * w_c), EVERY),
    ]


def on_instance(p: Problem, statement: Statement) -> Verdict:
    """Evaluate saving, sign and finite-penalty excess exactly on one problem."""
    half = rational(statement.exact("HALF"))
    try:
        pull = p.part("m", "c") * p.target
        saving = half * form(pull, p.part("m", "m").inv(), pull)
        limit = p.joined(p.target * 0)
        measured = p.loss(p.hard_pruned(p.minimiser)) - p.loss(limit)
    except ZeroDivisionError:
        return False, "H_mm is singular, its inverse undefined"
    if measured != saving:
        return False, f"plain loss - limit loss = {measured}, claimed {saving}"
    if measured < 0 or (measured == 0) != all(x == 0 for x in pull.entries()):
        return False, f"plain loss - limit loss = {measured}, which is negative or 0 although H_mc w*_c != 0"
    for penalty in (rational("1/2"), rational(2), rational(7)):
        w = p.weights(penalty)
        w_c = type(w)(len(p.pruned), 1, [w[i, 0] for i in p.pruned])
        pull_now = p.part("m", "c") * w_c
        excess = p.loss(p.hard_pruned(w)) - p.loss(limit)
        if excess != half * form(pull_now, p.part("m", "m").inv(), pull_now):
            return False, f"excess at lambda = {penalty} is {excess}"
        if penalty**2 * (w_c.transpose() * w_c)[0, 0] > ((p.schur * p.target).transpose() * p.schur * p.target)[0, 0]:
            return False, f"||w_c({penalty})|| exceeds ||S w*_c|| / lambda"
    return True, ""


def check(statement: Statement) -> Sequence[Evidence]:
    instances = (*SOUND, SKEWED, INDEFINITE)
    return [
        *identities(statement),
        judged("saving, sign and excess on instances", statement, instances, HYPOTHESES, on_instance),
    ]


THEOREM = Theorem(
    id="information-extrusion-identity",
    catalogue="T6.2",
    title="Extruding information before pruning saves exactly what the kept weights absorb",
    statement=r"L_{\text{plain}}-L_{\infty}=\tfrac12\|H_{mm}^{-1/2}H_{mc}w^*_c\|^2"
    r"=\tfrac12\|w_m(\infty)-w^*_m\|^2_{H_{mm}}\ge0,\; =0\iff H_{mc}w^*_c=0;\quad "
    r"\text{excess}(\lambda)=\tfrac12\|H_{mm}^{-1/2}H_{mc}w_c(\lambda)\|^2"
    r"\le\tfrac12\|H_{mm}^{-1/2}H_{mc}\|^2\|Sw^*_c\|^2/\lambda^2",
    source="folklore; this form not found in the literature",
    bound="identity",
    proof="Expand the losses of (w*_m, 0), (w_m(inf), 0) and (w_m(lambda), 0) in blocks and cancel; H_mm^{-1} is "
    "positive "
    "definite, so the difference is 0 only where H_mc w*_c is; S w_c >= 0 in S's eigenbasis bounds ||w_c||.",
    check=check,
    near_miss=Move("HALF", "1e-6"),
    witness=lambda: witnessed(CHAIN, HYPOTHESES),
    assumptions={"symmetric": "H = H'", "positive-definite": "x'Hx > 0 for every x != 0"},
    constants={"HALF": "1/2"},
    depends_on=("growing-penalty-is-schur-ridge",),
)
