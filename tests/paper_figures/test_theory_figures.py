"""The figures of closed forms: what they draw agrees with the theorems and with computations of another kind."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from unilth.errors import UserError
from unilth.paper_figures import certified, filters, mask_guarantee, risk
from unilth.theory import theorems
from unilth.theory.evidence import Evidence, Level


def test_the_drawn_gap_stays_below_the_certified_supremum_and_comes_close_to_it() -> None:
    table = filters.data()
    gap = table.where(curve=filters.FLOW)
    bound = table.where(curve=filters.SUPREMUM)
    lower, upper = float(bound.numbers("lower")[0]), float(bound.numbers("upper")[0])
    assert upper - lower < 1e-9 and lower <= 0.203632188794536875 <= upper
    assert gap.numbers("value").min() >= 0 and upper - 1e-4 < gap.numbers("value").max() <= upper
    # T1.4's constants for 1 and 2 steps
    assert table.where(curve="1 steps").numbers("value").max() == pytest.approx(0.5)
    assert table.where(curve="2 steps").numbers("value").max() == pytest.approx(3 * 3**0.5 / 2 - 9 / 4, abs=1e-3)


def test_the_risks_agree_with_a_direct_computation_and_the_best_ones_with_their_brackets() -> None:
    table = risk.data()
    for case, signal in zip(table.distinct("case"), ((1, 1.5), (1, 1)), strict=True):
        rows = table.where(case=case)
        time = rows.where(curve="early stopping").numbers("time")[:, None]
        s, b = np.array([1.0, 2.0]), np.array(signal)
        for name, residual in (("early stopping", np.exp(-time * s)), ("ridge", 1 / (1 + time * s))):
            expected = (b * residual**2 + (1 - residual) ** 2 / s).sum(1)
            assert rows.where(curve=name).numbers("risk") == pytest.approx(expected, rel=1e-12)
            best = rows.where(curve=f"best {name}")
            assert best.numbers("lower")[0] - 1e-12 <= best.numbers("risk")[0] <= best.numbers("upper")[0] + 1e-9
            assert best.numbers("risk")[0] <= expected.min()
        oracle = rows.where(curve="oracle").numbers("risk")[0]
        assert oracle == pytest.approx((b / (1 + b * s)).sum())
    stopped, ridge = (table.where(curve=f"best {name}").numbers("risk") for name in ("early stopping", "ridge"))
    assert stopped[0] < ridge[0] and ridge[1] < stopped[1]


@pytest.mark.parametrize("kappa", [1.0, 100.0, 1e4])
def test_the_guarantees_are_those_of_a_fine_grid_of_curvatures(kappa: float) -> None:
    table = mask_guarantee.data()
    at = table.where(kappa=next(value for value in table.distinct("kappa") if abs(value / kappa - 1) < 1e-9))
    h = np.geomspace(1, kappa, 20001)
    time = at.where(rule=mask_guarantee.STOPPED).numbers("parameter")[0]
    for rule, score in (
        (mask_guarantee.LTH, np.ones_like(h)),
        (mask_guarantee.SNIP, h),
        (mask_guarantee.STOPPED, 1 - np.exp(-h * time)),
        (mask_guarantee.RIDGED, h / (h + np.sqrt(kappa))),
        (mask_guarantee.OBD, np.sqrt(h)),
    ):
        ratio = score / np.sqrt(h)
        assert at.where(rule=rule).numbers("rho")[0] == pytest.approx((ratio.max() / ratio.min()) ** 2, rel=1e-6), rule
    # no other time does better
    for other in time * np.array([0.5, 0.9, 0.99, 1.01, 1.1, 2.0]):
        ratio = (1 - np.exp(-h * other)) / np.sqrt(h)
        assert (ratio.max() / ratio.min()) ** 2 >= at.where(rule=mask_guarantee.STOPPED).numbers("rho")[0] - 1e-9


def test_the_guarantees_at_100_are_the_certified_ones() -> None:
    table = mask_guarantee.data()
    for rule in (mask_guarantee.STOPPED, mask_guarantee.RIDGED):
        bracket = table.where(rule=f"certified: {rule}")
        drawn = table.where(rule=rule, kappa=table.distinct("kappa")[(mask_guarantee.POINTS - 1) // 2])
        assert bracket.numbers("lower")[0] - 1e-9 <= drawn.numbers("rho")[0] <= bracket.numbers("upper")[0] + 1e-9


@pytest.mark.parametrize("module", [filters, risk, mask_guarantee])
def test_every_figure_draws_from_its_table_alone(module: object) -> None:
    figure = module.draw(module.data())
    assert all(axes.has_data() for axes in figure.axes)


def test_a_constant_of_a_theorem_that_does_not_hold_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    real = next(theorem for theorem in theorems.THEOREMS if theorem.catalogue == "T5.3")
    broken = dataclasses.replace(real, check=lambda s: [Evidence("the bound", Level.CERTIFIED, None, "nothing")])
    monkeypatch.setattr(theorems, "THEOREMS", (broken,))
    with pytest.raises(UserError, match="does not hold"):
        certified.brackets("T5.3")
    with pytest.raises(UserError, match=r"T9\.9"):
        certified.brackets("T9.9")
