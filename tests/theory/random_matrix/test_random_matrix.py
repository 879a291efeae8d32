"""Section 10 against eigenvalues of drawn matrices, Bessel functions and a NumPy network trained step by step."""

import numpy as np
import pytest
from scipy.special import ive

from unilth.errors import UserError
from unilth.theory.filters import GRADIENT_FLOW, RIDGE, gradient_descent
from unilth.theory.models.linearised import LinearisedNetwork
from unilth.theory.theorems.random_matrix import marchenko_pastur


def test_quadrature_against_a_drawn_matrix() -> None:
    rng = np.random.default_rng(0)
    n, gamma = 600, 0.5
    x = rng.standard_normal((n, int(gamma * n)))
    s = np.linalg.eigvalsh(x.T @ x / n)
    nodes, weights = marchenko_pastur.marchenko_pastur(gamma)
    for t in (0.3, 1.0, 4.0):
        assert weights @ np.exp(-t * nodes) == pytest.approx(np.exp(-t * s).mean(), abs=5e-3)
    assert marchenko_pastur.ratio((s, np.full(s.size, 1 / s.size)), 0.1) == pytest.approx(
        marchenko_pastur.ratio((nodes, weights), 0.1), abs=2e-3
    )


def test_bessel_formula_against_quadrature() -> None:
    angle = (np.arange(2000) + 0.5) * np.pi / 4000
    for t in (0.1, 1.0, 5.0):
        integral = np.mean(np.exp(-4 * t * np.cos(angle) ** 2) * 2 * np.sin(angle) ** 2)
        assert integral == pytest.approx(ive(0, 2 * t) + ive(1, 2 * t), rel=1e-6)


class Network:
    """Two layers, tanh, scalar output; the Jacobian is written out by hand."""

    def __init__(self, width: int, inputs: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.width, self.inputs = width, inputs
        self.start = np.concatenate([rng.standard_normal(width * inputs), rng.standard_normal(width)])

    def split(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        cut = self.width * self.inputs
        return theta[:cut].reshape(self.width, self.inputs), theta[cut:]

    def predict(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        first, second = self.split(theta)
        return np.tanh(x @ first.T) @ second / np.sqrt(self.width)

    def jacobian(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        first, second = self.split(theta)
        hidden = np.tanh(x @ first.T)
        inner = ((1 - hidden**2) * second)[:, :, None] * x[:, None, :]
        return np.concatenate([inner.reshape(len(x), -1), hidden], axis=1) / np.sqrt(self.width)


@pytest.fixture(scope="module")
def problem() -> tuple[Network, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((6, 3))
    return Network(4000, 3, 2), x, np.sin(x[:, 0]) + x[:, 1]


def linearised(problem: tuple[Network, np.ndarray, np.ndarray]) -> LinearisedNetwork:
    network, x, y = problem
    return LinearisedNetwork(network.jacobian(network.start, x), network.predict(network.start, x), y)


def test_jacobian_by_finite_differences(problem: tuple[Network, np.ndarray, np.ndarray]) -> None:
    network, x, _ = problem
    direction = np.random.default_rng(3).standard_normal(network.start.size)
    ends = [network.predict(network.start + h * direction, x) for h in (1e-5, -1e-5)]
    np.testing.assert_allclose(
        network.jacobian(network.start, x) @ direction, (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=1e-7
    )


def test_closed_form_against_descent_on_the_linearised_network(
    problem: tuple[Network, np.ndarray, np.ndarray],
) -> None:
    model = linearised(problem)
    step, k = 0.1, 300
    theta = np.zeros(model.features.shape[1])
    for _ in range(k):
        theta = theta - step * model.features.T @ (model.initial + model.features @ theta - model.targets)
    descent = gradient_descent(step)
    np.testing.assert_allclose(model.parameters(descent, k), theta, atol=1e-9)
    np.testing.assert_allclose(model.predictions(descent, k), model.initial + model.features @ theta, atol=1e-9)
    np.testing.assert_allclose(
        model.predictions(RIDGE, 0.7),
        model.initial + model.kernel @ np.linalg.solve(model.kernel + 0.7 * np.eye(6), model.targets - model.initial),
        atol=1e-9,
    )


def test_wide_network_follows_its_linearisation(problem: tuple[Network, np.ndarray, np.ndarray]) -> None:
    network, x, y = problem
    model, theta, step = linearised(problem), network.start.copy(), 0.05
    for _ in range(100):
        theta -= step * network.jacobian(theta, x).T @ (network.predict(theta, x) - y)
    predicted = model.predictions(GRADIENT_FLOW, 5.0)
    moved = np.linalg.norm(predicted - model.initial)
    assert np.linalg.norm(network.predict(theta, x) - predicted) < 0.05 * moved


def test_stopping_is_within_a1_of_ridge(problem: tuple[Network, np.ndarray, np.ndarray]) -> None:
    model = linearised(problem)
    t = np.geomspace(1e-3, 1e3, 200)
    gap = np.linalg.norm(model.predictions(GRADIENT_FLOW, t) - model.predictions(RIDGE, 1 / t), axis=-1)
    distance = np.linalg.norm(model.targets - model.initial)
    assert 0.1 * distance < gap.max() < 0.2036321888 * distance


def test_degenerate_features_do_not_move_their_kernel() -> None:
    model = LinearisedNetwork(np.array([[1.0, 0.0], [2.0, 0.0]]), np.zeros(2), np.array([1.0, 2.0]))
    np.testing.assert_allclose(model.parameters(GRADIENT_FLOW, 1e9), [1.0, 0.0], atol=1e-12)


def test_bad_shapes_are_named() -> None:
    with pytest.raises(UserError, match="shapes"):
        LinearisedNetwork(np.zeros((2, 3)), np.zeros(3), np.zeros(2))
    with pytest.raises(UserError, match="not finite"):
        LinearisedNetwork(np.full((1, 1), np.nan), np.zeros(1), np.zeros(1))
