"""Section 7's end points against SciPy's ODE solver on the same problem: T7.1 to T7.4, T7.9, T7.10."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import erfi

from unilth.theory.models.growing_penalty import PenalisedQuadratic
from unilth.theory.models.trajectory import natural_scale
from unilth.theory.theorems.trajectory import peak_loss


def problem(seed: int, *, rank: int = 9, n: int = 6) -> PenalisedQuadratic:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(rank, n)) / np.sqrt(rank)
    return PenalisedQuadratic(
        root.T @ root + (0.3 * np.eye(n) if rank > n else 0), rng.normal(size=n), np.arange(n) < n // 2
    )


def run(p: PenalisedQuadratic, start, penalty, time: float, *, dense: bool = False):
    pressed = (~p.kept).astype(float)

    def rhs(t, w):
        return -p.hessian @ (w - p.minimiser) - penalty(t) * pressed * w

    solution = solve_ivp(rhs, (0, time), start, method="LSODA", rtol=1e-10, atol=1e-12)
    return solution.y.T if dense else solution.y[:, -1]


def free(t):
    return 0.0


@pytest.mark.parametrize("seed", range(4))
def test_tracking_bound_holds_and_two_starts_meet(seed):
    p = problem(seed)
    mu = np.linalg.eigvalsh(p.hessian)[0]
    rate, time = 0.5, 6.0
    spread = np.sqrt(1 + np.linalg.norm(p.coupling, 2) ** 2)
    lag = np.linalg.norm(np.linalg.solve(p.schur, p.minimiser[~p.kept]))
    ends = []
    for t1 in (0.0, 0.4, 5.0):
        stopped = run(p, np.zeros(6), free, t1) if t1 else np.zeros(6)
        end = run(p, stopped, lambda t: rate * t, time)
        bound = np.exp(-mu * time) * np.linalg.norm(stopped - p.minimiser)
        bound += rate / mu * (1 - np.exp(-mu * time)) * spread * lag
        assert np.linalg.norm(end - p.weights(rate * time)) <= bound
        ends.append((stopped, end))
    for stopped, end in ends[1:]:
        moved = np.linalg.norm(end - ends[0][1])
        assert moved <= np.exp(-mu * time) * np.linalg.norm(stopped - ends[0][0]) * (1 + 1e-7)


def test_a_slow_ramp_forgets_when_training_stopped_and_what_shape_it_had():
    p = problem(7)
    time = 150.0
    shapes = (lambda t: 4e3 * (t / time), lambda t: 4e3 * (t / time) ** 2, lambda t: 4e3 * (t / time) ** 3)
    ends = [run(p, run(p, np.zeros(6), free, t1), shape, time) for t1 in (0.1, 10.0) for shape in shapes]
    assert max(np.abs(end - p.limit).max() for end in ends) < 2e-2
    assert max(np.abs(end - ends[0]).max() for end in ends) < 2e-2
    assert np.abs(p.minimiser - p.limit).max() > 0.5  # the ramp did something


def test_a_singular_hessian_remembers_the_start_but_not_the_time():
    p = problem(3, rank=2)
    # weights 0..2 are kept, so N = ker H & ker P lives there
    values, vectors = np.linalg.eigh(p.hessian[:3, :3])
    flat = np.concatenate([vectors[:, 0], np.zeros(3)])
    assert values[0] < 1e-12
    assert np.abs(p.hessian @ flat).max() < 1e-7
    start = np.ones(6)
    ends = []
    for t1 in (0.2, 6.0):
        stopped = run(p, start, free, t1)
        null = np.linalg.svd(p.hessian)[2][2:]
        assert np.allclose(null @ stopped, null @ start, atol=1e-7)
        ends.append(run(p, stopped, lambda t: 2.0, 400.0))
    assert np.allclose(ends[0], ends[1], atol=1e-5)
    other = run(p, start + 0.5 * flat, lambda t: 2.0, 400.0)
    assert np.allclose(other - ends[0], 0.5 * flat, atol=1e-5)


def test_without_coupling_only_the_total_time_counts():
    h, target = np.array([1.0, 3.0, 0.5, 2.0]), np.array([1.0, -2.0, 0.5, 3.0])
    p = PenalisedQuadratic(np.diag(h), target, [True, False, True, False])
    expected = np.where(p.kept, (1 - np.exp(-3 * h)) * target, 0)
    early = run(p, run(p, np.zeros(4), free, 1.0), lambda t: 7 * t**2, 2.0)
    from_start = run(p, np.zeros(4), lambda t: 5.0, 3.0)
    never = run(p, np.zeros(4), free, 3.0)
    for end in (early, from_start, never):
        assert np.allclose(np.where(p.kept, end, 0), expected, atol=1e-8)


@pytest.mark.parametrize(
    ("h", "rate", "start", "target", "time"), [(1.0, 0.5, 0.0, 2.0, 3.0), (2.0, 5.0, -1.0, 1.0, 1.0)]
)
def test_the_erfi_formula(h, rate, start, target, time):
    root = np.sqrt(2 * rate)
    area = np.sqrt(np.pi / (2 * rate)) * np.exp(-(h**2) / (2 * rate))
    area *= erfi((h + rate * time) / root) - erfi(h / root)
    formula = np.exp(-h * time - rate * time**2 / 2) * (start + h * target * area)
    solved = solve_ivp(lambda t, w: -h * (w - target) - rate * t * w, (0, time), [start], rtol=1e-11, atol=1e-13)
    assert formula == pytest.approx(solved.y[0, -1], abs=1e-9)


@pytest.mark.parametrize("seed", [0, 5])
def test_the_hyperbolic_ramp_extrudes_within_its_bounds(seed):
    p = problem(seed)
    scale, time = natural_scale(p), 80.0
    states = run(p, p.minimiser, lambda t: scale * t / (time - t), time * (1 - 1e-6), dense=True)
    mu, top = np.linalg.eigvalsh(p.hessian)[[0, -1]]
    s = np.linalg.eigvalsh(p.schur)
    spread = np.sqrt(1 + np.linalg.norm(p.coupling, 2) ** 2)
    error = spread * np.sqrt(s[-1] / s[0]) * np.linalg.norm(p.minimiser[~p.kept]) / (mu * time)
    assert np.linalg.norm(states[-1] - p.limit) <= error * (1 + 1e-3)
    assert np.abs(states[-1][~p.kept]).max() < 1e-3
    peak = p.loss(states).max()
    assert np.sqrt(2 * peak) <= np.sqrt(2 * p.limit_loss) + np.sqrt(top) * error
    assert peak < p.plain_loss  # pruning at once starts there
    assert p.plain_loss / p.limit_loss <= (top / mu + 1) ** 2 / (4 * top / mu)


def test_masked_finetuning_reaches_the_same_point_at_the_interlaced_rate():
    p = problem(2)
    kept = np.where(p.kept, p.minimiser, 0.0)
    mu = np.linalg.eigvalsh(p.hessian)[0]
    inner = p.hessian[:3, :3]
    gap = np.linalg.norm(kept - p.limit)
    for time in (1.0, 5.0, 20.0):
        solved = solve_ivp(
            lambda t, w: -np.where(p.kept, p.hessian @ (w - p.minimiser), 0), (0, time), kept, rtol=1e-10, atol=1e-12
        ).y[:, -1]
        assert (
            np.linalg.norm(solved - p.limit) <= np.exp(-np.linalg.eigvalsh(inner)[0] * time) * gap * (1 + 1e-6) + 1e-9
        )
    assert np.linalg.eigvalsh(inner)[0] >= mu


def numbers(m) -> np.ndarray:
    return np.array([[int(x.p) / int(x.q) for x in row] for row in m.tolist()])


@pytest.mark.parametrize("instance", peak_loss.INSTANCES, ids=lambda r: r.problem.name)
def test_the_enclosures_of_the_hyperbolic_ramp(instance):
    """T7.10's power series against the solver."""
    exact, time, scale = instance.problem, float(instance.time.p) / float(instance.time.q), float(instance.scale.p)
    kept = np.isin(np.arange(3), exact.kept)
    p = PenalisedQuadratic(numbers(exact.hessian), numbers(exact.minimiser)[:, 0], kept)
    for t, w in peak_loss.ramped(instance):
        end = float(t.p) / float(t.q)
        solved = run(p, numbers(instance.begin)[:, 0], lambda t: scale * t / (time - t), end)
        assert np.allclose([float(x.mid()) for x in w], solved, atol=1e-7)
        assert max(float(x.rad()) for x in w) < 1e-9


def test_the_bound_of_the_hyperbolic_ramp_can_be_refuted(monkeypatch):
    """From w* it holds, from an early stop only with the added term; with a shorter target it does not."""
    claim, judge = peak_loss.THEOREM.claim, peak_loss.on_ramp
    stopped = peak_loss.INSTANCES[-1]
    assert judge(peak_loss.WIDE, claim, added=0)[0] is True
    assert judge(stopped, claim, added=1)[0] is True
    assert judge(stopped, claim, added=0)[0] is False
    norm = peak_loss.norm
    monkeypatch.setattr(peak_loss, "norm", lambda v: norm(v) / 20)
    assert judge(peak_loss.WIDE, claim, added=0)[0] is False
