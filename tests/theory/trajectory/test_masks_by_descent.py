"""Section 7's masks and tickets against a plain gradient-descent loop: T7.5 to T7.8 and T7.11."""

from itertools import combinations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from unilth.theory.models.growing_penalty import PenalisedQuadratic
from unilth.theory.theorems.trajectory import mask_guarantee

RHO_ES = float(mask_guarantee.THEOREM.constants["RHO_ES"])
T_ES = float(mask_guarantee.THEOREM.constants["T_ES"])


def descend(h, target, start, time, *, kept=None, penalty=0.0, eta=1e-3):
    """Gradient descent for time/eta steps; only `kept` weights are pressed upon where kept is False."""
    w = np.array(start, float)
    pressed = np.zeros_like(w) if kept is None else (~kept).astype(float)
    for _ in range(round(time / eta)):
        w = w - eta * (h @ (w - target) + penalty * pressed * w)
    return w


def smallest(scores, count):
    return set(np.argsort(scores)[:count].tolist())


@pytest.mark.parametrize("count", [1, 3, 5])
def test_early_masks_stay_within_the_guarantee_and_late_masks_do_not(count):
    rng = np.random.default_rng(count)
    ratios = {"ES": [], "LTH": [], "OBD": []}
    for _ in range(400):
        h = np.exp(rng.uniform(0, np.log(100), 6))
        h[:2] = 1, 100
        target = np.exp(rng.normal(size=6)) / np.sqrt(h)  # true saliencies of one size: the hard case
        early = target * (1 - (1 - 1e-3 * h) ** round(T_ES / 1e-3))
        saliency = h * target**2 / 2
        best = np.sort(saliency)[:count].sum()
        for rule, score in (("ES", np.abs(early)), ("LTH", np.abs(target)), ("OBD", saliency)):
            ratios[rule].append(sum(saliency[i] for i in smallest(score, count)) / best)
    assert max(ratios["OBD"]) == pytest.approx(1)
    assert max(ratios["ES"]) <= RHO_ES * 1.02  # discrete steps of 1e-3 move the score by less than 2%
    if count == 1:
        assert max(ratios["LTH"]) > 2 * RHO_ES


def test_the_guarantee_of_early_stopping_is_approached_by_the_flow():
    top = float(mask_guarantee.THEOREM.constants["Y_STAR"])
    h = np.array([1.0, top / T_ES])
    score = 1 - np.exp(-h * T_ES)
    target = np.array([1 - 1e-9, score[0] / score[1]])
    stopped = solve_ivp(lambda t, w: -h * (w - target), (0, T_ES), np.zeros(2), rtol=1e-12, atol=1e-14).y[:, -1]
    assert stopped[0] < stopped[1]  # prunes the first, though the second is the cheap one
    loss = h * target**2 / 2
    assert loss[0] / loss[1] == pytest.approx(RHO_ES, rel=1e-6)


@pytest.mark.parametrize(
    ("target", "time", "early", "late"),
    [((1.0, 0.5), 0.1, 0.5, 12.5), ((5.0, 0.09), 1e-4, 12.5, 0.405), ((5.0, 0.09), 1.0, 0.405, 0.405)],
)
def test_early_masks_win_and_lose(target, time, early, late):
    h = np.diag([1.0, 100.0])

    def ticket(w):
        kept = np.ones(2, bool)
        kept[np.argmin(np.abs(w))] = False
        model = PenalisedQuadratic(h, target, kept)
        tuned = descend(h, np.array(target), np.where(kept, w, 0), 20.0, kept=kept, penalty=900.0, eta=1e-3)
        return float(model.loss(np.where(kept, tuned, 0)))

    assert ticket(descend(h, np.array(target), [0, 0], time, eta=1e-5)) == pytest.approx(early, rel=1e-6)
    assert ticket(np.array(target)) == pytest.approx(late, rel=1e-6)


@pytest.mark.parametrize("rho", [-0.9, -0.5, -0.2, 0.3, 0.8])
def test_the_sign_of_the_coupling_decides(rho):
    h, target = np.array([[1, rho], [rho, 1]]), np.ones(2)
    optimum = 1 + rho
    outcomes = []
    for t1 in (0.05, 0.7, 1.5, 3.0, 6.0):
        free = descend(h, target, [0, 0], t1)[0]
        w, budget = 0.0, t1  # forced: w_2 = 0 from the start
        for _ in range(round(budget / 1e-3)):
            w -= 1e-3 * (w - 1 - rho)
        critical = np.exp(-(1 + rho) * t1) + (1 + rho) * np.exp(-t1) - abs(rho)
        if abs(critical) > 1e-2:
            outcomes.append((abs(free - optimum) < abs(w - optimum), rho < 0 and critical > 0))
    assert len(outcomes) >= 4
    assert all(measured == claimed for measured, claimed in outcomes)


def test_exact_hit_and_critical_time_at_minus_one_half():
    h, target = np.array([[1, -0.5], [-0.5, 1]]), np.ones(2)

    def solved(t):
        return solve_ivp(lambda _, w: -h @ (w - target), (0, t), [0.0, 0.0], rtol=1e-11, atol=1e-13).y[0, -1]

    assert solved(2 * np.log(2)) == pytest.approx(0.5, abs=1e-9)
    t_c = 2 * np.log(1 + np.sqrt(2))
    assert abs(solved(t_c) - 0.5) == pytest.approx(0.5 * np.exp(-t_c), abs=1e-9)


def test_a_ramp_erases_the_regularisation():
    rng = np.random.default_rng(5)
    h, beta, v, t1, time = 2.0, 1.0, 4.0, 0.11, 3.0
    targets = beta + np.sqrt(v) * rng.normal(size=200_000)
    h2 = np.diag([h, 1.0])
    kept = np.array([True, False])
    # the flow is linear in w*, so one run of the unit target gives all
    stopped = descend(h2, np.ones(2), [0, 0], t1, eta=1e-4)
    ramped = descend(h2, np.ones(2), stopped, time, kept=kept, penalty=20.0, eta=1e-4)
    risk_stopped = np.mean((stopped[0] * targets - beta) ** 2)
    risk_after = np.mean((ramped[0] * targets - beta) ** 2)
    y = np.exp(-h * (t1 + time))
    noise = 6 * np.std((targets - beta) ** 2) / np.sqrt(len(targets))
    assert risk_after == pytest.approx(beta**2 * y**2 + v * (1 - y) ** 2, abs=noise)
    assert risk_after == pytest.approx(v, rel=0.02)
    assert risk_stopped < 0.25 * risk_after  # stopping near the best time was good: bv/(b+v) = 0.8


def test_after_an_adiabatic_round_the_next_one_does_not_move():
    rng = np.random.default_rng(8)
    root = rng.normal(size=(9, 5))
    h, target = root.T @ root / 9 + 0.4 * np.eye(5), rng.normal(size=5)
    kept = np.array([True, True, False, True, True])
    p = PenalisedQuadratic(h, target, kept)
    states = []
    for t1 in (0.3, 4.0):
        w = descend(h, target, np.zeros(5), t1)
        for penalty in np.linspace(0, 400, 200):
            w = descend(h, target, w, 0.2, kept=kept, penalty=penalty, eta=2e-3)
        w = np.where(kept, w, 0)
        assert np.abs(w - p.limit).max() < 1e-2
        for _ in range(3000):  # the second round's free phase, pruned weights held
            w = np.where(kept, w - 1e-3 * (h @ (w - target)), 0)
        states.append(w)
    assert np.abs(states[0] - states[1]).max() < 1e-3
    order = np.argsort(np.abs(np.where(kept, p.limit, np.inf)))
    gaps = np.diff(np.sort(np.abs(p.limit[kept])))
    assert gaps.min() > 1e-2
    for w in states:
        assert (np.argsort(np.abs(np.where(kept, w, np.inf))) == order).all()


def test_coupled_losses_stay_within_the_extended_guarantee():
    rng = np.random.default_rng(0)
    worst = 0.0
    for _ in range(60):
        a = rng.normal(size=(5, 5))
        c = a @ a.T + 2 * np.eye(5)
        c = c / np.sqrt(np.outer(np.diag(c), np.diag(c)))
        spectrum = np.linalg.eigvalsh(c)
        d = np.exp(rng.uniform(0, np.log(100), 5)) ** 0.5
        h, target = c * np.outer(d, d), rng.normal(size=5) / d
        for count in (1, 2, 3):
            losses = {
                mask: PenalisedQuadratic(h, target, ~np.isin(np.arange(5), mask))
                for mask in combinations(range(5), count)
            }
            chosen = tuple(sorted(smallest(d * np.abs(target), count)))
            for kind in ("plain_loss", "limit_loss"):
                ratio = getattr(losses[chosen], kind) / min(getattr(p, kind) for p in losses.values())
                worst = max(worst, ratio * spectrum[0] / spectrum[-1])
    assert 1e-3 < worst <= 1
