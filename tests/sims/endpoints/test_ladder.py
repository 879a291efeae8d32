"""The exact rungs hold to rounding, and the same checks fail on what is not exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from unilth.errors import UserError
from unilth.sims.endpoints.curvature import hutchinson_trace, top_eigenpairs
from unilth.sims.endpoints.ladder import diabetes, quadratic
from unilth.sims.endpoints.model import LinearisedModel, Model, linear_model, network_model
from unilth.sims.endpoints.shrinkage import measure
from unilth.sims.endpoints.winners import region, winners
from unilth.sims.streams import stream


def small_network() -> Model:
    generator = torch.Generator().manual_seed(3)
    network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    inputs = torch.randn(12, 4, generator=generator, dtype=torch.float64)
    return network_model("small", network, inputs, torch.arange(12) % 3, 3)


def errors(model: Model) -> list[float]:
    rung = measure(model, (2.0, 8.0), 6, 600)
    return [end[frame]["largest"] for end in rung["rows"] if end["centre"] != "zero" for frame in ("start", "end")]


@pytest.mark.parametrize("build", [quadratic, lambda: linear_model("diabetes", *diabetes())])
def test_closed_forms_hold_to_1e_6_on_quadratics(build) -> None:
    assert max(errors(build())) < 1e-6


def test_closed_forms_hold_to_1e_6_on_a_linearised_network_and_not_on_the_network() -> None:
    network = small_network()
    assert max(errors(LinearisedModel("tangent", network))) < 1e-6
    assert max(errors(network)) > 1e-2


def test_matrix_free_products_have_the_dense_matrices_eigenpairs() -> None:
    model = small_network()
    theta = model.start
    jacobian = torch.func.jacrev(model.predict)(theta).reshape(-1, len(theta))
    dense = torch.func.hessian(lambda w: 0.5 * (model.predict(w) - model.targets).square().sum() / 12)(theta)
    for product, matrix in ((model.gauss_newton(theta), jacobian.T @ jacobian / 12), (model.hessian(theta), dense)):
        values, vectors = top_eigenpairs(product, len(theta), 5)
        assert np.allclose(values, np.linalg.eigvalsh(matrix.numpy())[::-1][:5], atol=1e-9)
        assert np.allclose(matrix.numpy() @ vectors, vectors * values, atol=1e-7)
    shifted = model.gauss_newton(theta + 0.1)
    assert not np.allclose(top_eigenpairs(shifted, len(theta), 5)[0], values, atol=1e-3)


def test_pairs_are_right_where_an_eigenvalue_comes_several_times() -> None:
    diagonal = torch.cat([torch.full((10,), 2.0), torch.linspace(0, 1, 600)]).double()
    values, vectors = top_eigenpairs(lambda v: diagonal * v, 610, 6)
    assert values[0] == pytest.approx(2.0) and (np.diff(values) <= 1e-12).all()  # how many copies is left open
    assert np.allclose(diagonal.numpy()[:, None] * vectors, vectors * values, atol=1e-7)
    assert np.allclose(vectors.T @ vectors, np.eye(6), atol=1e-8)


def test_trace_of_a_diagonal_matrix_has_no_error_and_of_another_is_within_five() -> None:
    diagonal = torch.arange(9.0, dtype=torch.float64)
    exact = hutchinson_trace(lambda z: diagonal * z, 9, 4, stream(0, "probes"))
    assert (exact.value, exact.error) == (36.0, 0.0)
    full = torch.ones(9, 9, dtype=torch.float64)
    estimate = hutchinson_trace(lambda z: full @ z, 9, 400, stream(0, "probes"))
    assert estimate.error > 0 and abs(estimate.value - 9) < 5 * estimate.error
    with pytest.raises(UserError, match="probes is 1"):
        hutchinson_trace(lambda z: z, 9, 1, stream(0, "probes"))


def test_regions_are_those_of_the_crossing_theorem() -> None:
    eigenvalues = np.array([2.0, 1.0])  # the two signals of T5.3, and the gap between the regions
    for squares, expected in (((1.0, 1.0), "ridge"), ((1.5, 1.0), "stopping"), ((1.1, 1.0), "neither")):
        b = np.array(squares)
        assert region(np.sqrt(b), np.log1p(b * eigenvalues) / eigenvalues) == expected


def test_a_clean_signal_is_fitted_by_both_and_splits_differ() -> None:
    generator = np.random.default_rng(1)
    design = generator.standard_normal((100, 3))
    rows = winners("made up", design, design @ [1.0, 2.0, 3.0] + 0.01 * generator.standard_normal(100), 2)
    assert all(row["stopping"] < 1e-3 and row["ridge"] < 1e-3 for row in rows)
    assert rows[0]["stopping"] != rows[1]["stopping"]
