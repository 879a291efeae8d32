r"""Two stopping times always come within 1.2039 of the best ridge, and nothing less will do (catalogue T3.7).

Statement: for every problem and a > 0, min{Risk(ES(t1/a)), Risk(ES(t2/a))} <= VF Risk(ridge(a)); hence the supremum
    over all problems of min_t Risk(ES) / min_a Risk(ridge) is VF = 1.2038855298, exactly; under isotropic priors it
    is VB = 1.0748517290 (two other times). The reverse suprema are infinite (T5.6) and 1 (T3.4).
Assumptions: the eigenvalues are >= 0.
Source: not found in the literature (a sharp fixed-design analogue of Wu, Bartlett, Kakade, Lee and Yu 2025, who show
    that gradient descent dominates ridge).
Bound: tight.
Proof: scale a to 1. Risk ratios are means of bias and variance ratios over atoms x = s/a, so the supremum is the
    value of a zero-sum game: nature mixes atoms, the statistician mixes stopping times. Upper: the mix of t1 and t2
    is at most VF on every atom, and the smaller of two numbers is at most their mean. Lower: one mix of three atoms
    is at least VF for every t; equal eigenvalues realise any weights up to rounding. Tails: a bias ratio
    e^{-2tx}(1+x)^2 decreases for x > 1/t - 1; a variance ratio is at most t^2(1+x)^2 and at most (1+1/x)^2, and
    increases in t.
Evidence: both sides certified by balls; tails elementary; two explicit problems within 1e-4 of VF, 1e-5 of VB.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from flint import arb

from unilth.theory.balls import precision
from unilth.theory.certify import Result, ball, bounded, certified
from unilth.theory.evidence import Evidence, Level, Move, Statement, Theorem, Witness
from unilth.theory.theorems.risk.ratios import bayes, bias, game_value, mixed, variance
from unilth.theory.verdicts import judged

# The saddle point, from Newton's method on its stationarity equations; any numbers here would be checked just the same.
ATOMS = (  # (weight, x): one of bias, two of variance
    ("0.27306694312317435963", "1.3791887590152023679"),
    ("0.29851612885544753219", "2.5149764479508003091"),
    ("0.42841692802137810818", "4.8393769231063309014"),
)
BAYES_ATOMS = (
    ("0.32114437512608232533", "0.86367124988158157451"),
    ("0.67885562487391767467", "8.5955322701175395760"),
)
NEAR, FAR, LAST = "1/100", "200", "40"
SPECTRA = (("1", "2"), ("1/10", "3", "8"), ("-3", "2"))  # the last is outside: a negative eigenvalue


def statistician(statement: Statement, names: tuple[str, str, str]) -> list[tuple[arb, arb]]:
    """(probability, stopping time) twice, from the claimed constants."""
    p = statement.exact(names[2])
    return [(ball(p), ball(statement.exact(names[0]))), (ball(1 - p), ball(statement.exact(names[1])))]


def multiplicities(
    spectrum: tuple[str, ...], copies: tuple[int, ...], signal: tuple[int, ...], least: Fraction
) -> Result:
    """Whether min_t Risk(ES(t)) >= least Risk(ridge(1)) for these eigenvalues, each repeated, and sigma^2/n = 1.

    `signal` is b_i summed over the copies. Past t = LAST the variance part, which increases in t, is enough.
    """
    with precision():
        x, c, b = [ball(s) for s in spectrum], [ball(n) for n in copies], [ball(n) for n in signal]
        ridge = sum(((bi + ci * xi) / (1 + xi) ** 2 for xi, ci, bi in zip(x, c, b, strict=True)), arb(0))

        def noise(t: Any) -> Any:
            return sum((ci / (ridge * xi) * (1 - (-t * xi).exp()) ** 2 for xi, ci in zip(x, c, strict=True)), arb(0))

        def risk(t: Any) -> Any:
            return noise(t) + sum((bi / ridge * (-2 * t * xi).exp() for xi, bi in zip(x, b, strict=True)), arb(0))

        early = bounded(risk, 0, LAST, below=least)
        late = noise(ball(LAST))
        if early.holds is True and not late >= ball(least):
            return Result(None, f"the tail is only {late.str(12)}", early.boxes)
        return early


def realised(statement: Statement) -> list[Evidence]:
    """Two problems that anybody can write down and that come close to the game's values."""
    short, close = Fraction(1, 10**4), Fraction(1, 10**5)
    fixed = multiplicities(
        ("1.37919", "2.51498", "4.83938"), (1, 17000, 35000), (17921, 0, 0), statement.exact("VF") - short
    )
    prior = multiplicities(("0.86367", "8.59553"), (17, 185), (17, 185), statement.exact("VB") - close)
    return [
        certified("a problem within 1e-4 of VF", fixed, "eigenvalue multiplicities 1, 17000, 35000; every t >= 0"),
        certified("an isotropic problem within 1e-5 of VB", prior, "multiplicities 17, 185; every t >= 0"),
    ]


def fixed_signal(statement: Statement) -> list[Evidence]:
    """VF: both sides and the tails."""
    mix = statistician(statement, ("T1", "T2", "P"))
    (m0, x0), (m1, x1), (m2, x2) = [(ball(m), ball(x)) for m, x in ATOMS]
    sides = game_value(
        "VF",
        statement.value("VF"),
        [(mixed(bias, mix), "0", FAR), (mixed(variance, mix), NEAR, FAR)],
        lambda t: m0 * bias(t, x0) + m1 * variance(t, x1) + m2 * variance(t, x2),
        LAST,
    )
    value, near, far, last = ball(statement.value("VF")), ball(NEAR), ball(FAR), ball(LAST)
    small = sum((p * (t * (1 + near)) ** 2 for p, t in mix), arb(0))
    late = m1 * variance(last, x1) + m2 * variance(last, x2)
    good = [
        bool(1 / mix[0][1] - 1 < far),  # the bias ratio decreases from here on
        bool(mixed(bias, mix)(far) < value),
        bool(small < value),
        bool((1 + 1 / far) ** 2 < value),
        bool(late > value),
    ]
    return [*sides, certified("VF: the tails", True if all(good) else None, "x outside [1/100, 200], t > 40")]


def isotropic(statement: Statement) -> list[Evidence]:
    """VB: both sides and the tails."""
    mix = statistician(statement, ("T1B", "T2B", "PB"))
    (m0, x0), (m1, x1) = [(ball(m), ball(x)) for m, x in BAYES_ATOMS]
    sides = game_value(
        "VB",
        statement.value("VB"),
        [(mixed(bayes, mix), NEAR, FAR)],
        lambda t: m0 * bayes(t, x0) + m1 * bayes(t, x1),
        LAST,
    )
    value, near, far, last = ball(statement.value("VB")), ball(NEAR), ball(FAR), ball(LAST)
    top = max((t for _, t in mix), key=float)
    bottom = min((t for _, t in mix), key=float)
    late = [m * (1 + x) * (1 - (-last * x).exp()) ** 2 / x for m, x in ((m0, x0), (m1, x1))]
    good = [
        bool((1 + near) * (1 + top**2 * near) < value),  # bias <= 1, variance <= (tx)^2/x
        bool((1 + far) * ((-2 * bottom * far).exp() + 1 / far) < value),
        bool(1 / (2 * bottom) < 1 + far),  # (1+x)e^{-2tx} decreases from here on, and (1+x)/x does anyway
        bool(late[0] + late[1] > value),
    ]
    return [*sides, certified("VB: the tails", True if all(good) else None, "x outside [1/100, 200], t > 40")]


def two_times_suffice(spectrum: tuple[str, ...], statement: Statement) -> tuple[bool | None, str]:
    """Whether the two stopping times come within VF on pure noise and on pure signal over this spectrum, a = 1."""
    with precision():
        limit = ball(statement.exact("VF") + Fraction(1, 10**9))
        times = [t for _, t in statistician(statement, ("T1", "T2", "P"))]
        verdict: bool | None = True
        for curve in (bias, variance):
            for s in spectrum:
                ratios = [curve(t, ball(s)) for t in times]
                if all(r > limit for r in ratios):
                    return False, f"ratios {ratios[0].str(8)} and {ratios[1].str(8)} at s = {s}"
                verdict = verdict if any(r <= limit for r in ratios) else None
    return verdict, ""


HYPOTHESES = {"psd": lambda spectrum: all(Fraction(s) >= 0 for s in spectrum)}


def check(statement: Statement) -> Sequence[Evidence]:
    with precision():
        game = [*fixed_signal(statement), *isotropic(statement)]
    instances = judged(
        "two times on instances", statement, SPECTRA, HYPOTHESES, two_times_suffice, level=Level.CERTIFIED
    )
    return [*game, *realised(statement), instances]


THEOREM = Theorem(
    id="tuned-against-tuned",
    catalogue="T3.7",
    title="The best stopping time is within 1.2039 of the best ridge (1.0749 under isotropic priors), sharply",
    statement=r""
    r"\sup\frac{\min_t\mathrm{Risk}(\mathrm{ES}(t))}{\min_a\mathrm{Risk}(\mathrm{ridge}(a))}=V_F=1.20388\ldots,"
    r"\quad \min\{\mathrm{Risk}(\mathrm{ES}(t_1/a)),\mathrm{Risk}(\mathrm{ES}(t_2/a))\}\le "
    r"V_F\mathrm{Risk}(\mathrm{ridge}(a));"
    r"\quad \text{isotropic: } V_B=1.07485\ldots",
    source="not found in the literature (compare Wu, Bartlett, Kakade, Lee and Yu 2025)",
    bound="tight",
    proof="A zero-sum game: nature mixes atoms (bias or variance at x = s/a), the statistician mixes stopping "
    "times. The "
    "two-point mix of t1 and t2 is at most VF on every atom, the smaller of two risks is at most their "
    "mean; one mix of "
    "three atoms is at least VF at every t, and eigenvalue multiplicities realise its weights. Same for VB.",
    check=check,
    near_miss=Move("VF", "-1e-6"),
    witness=lambda: Witness("spectrum (1, 2)", {name: test(SPECTRA[0]) for name, test in HYPOTHESES.items()}),
    assumptions={"psd": "the eigenvalues s_i are >= 0"},
    constants={
        "VF": "1.203885529788",
        "T1": "0.36197467413175048657",
        "T2": "1.27743404373427959715",
        "P": "0.54045334609309337607",
        "VB": "1.074851728959",
        "T1B": "0.34605779264478260119",
        "T2B": "0.63487123851394577762",
        "PB": "0.41896636730276723250",
    },
    depends_on=("isotropic-prior", "unbounded-separation"),
)
