"""The ladder's experiment: stop gradient descent at times t, or minimise with an L2 penalty a, and measure how far each
eigen-direction of the Gauss-Newton matrix has gone.

On a quadratic the share gone is 1-(1-es)^k (1-exp(-ts) for a small step e) for descent and s/(s+a) for the penalty
centred at the start (T1.1, T1.3, T1.7). The theory is about that penalty; the one centred at 0 is measured beside it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from unilth.sims.endpoints.curvature import host, top_eigenpairs
from unilth.sims.endpoints.model import Model
from unilth.theory.filters import GRADIENT_FLOW, RIDGE, gradient_descent

Array = NDArray[np.float64]
STEP = 0.2  # step times the largest eigenvalue: well inside the stable range of T1.2
CALIBRATIONS = (1.0, 0.578999485798090720557841628)  # a = c/t: the usual one and c* of T3.6
CENTRES = ("start", "zero")


def descend(model: Model, step: float, counts: list[int]) -> dict[int, Tensor]:
    """Full-batch gradient descent from the start; the parameters after each of these numbers of steps."""
    theta, found = model.start.clone(), {}
    for k in range(1, max(counts) + 1):
        theta = theta - step * model.loss_gradient(theta)[1]
        if k in counts:
            found[k] = theta
    return found


def penalised(model: Model, penalty: float, centre: Tensor, most: int) -> tuple[Tensor, float]:
    """argmin L + a/2 ||theta - centre||^2 by L-BFGS from the start, and the norm of the gradient that was left."""

    device = model.start.device

    def objective(values: Array) -> tuple[float, Array]:
        theta = torch.from_numpy(values).to(device)
        loss, gradient = model.loss_gradient(theta)
        away = theta - centre
        return loss + 0.5 * penalty * float(away @ away), host(gradient + penalty * away)

    options = {"maxiter": most, "maxfun": 2 * most, "gtol": 1e-10, "ftol": 1e-16, "maxcor": 20}
    end = minimize(objective, host(model.start).copy(), jac=True, method="L-BFGS-B", options=options)
    return torch.from_numpy(end.x).to(device), float(np.linalg.norm(end.jac))


def measure(model: Model, scaled_times: tuple[float, ...], pairs: int, most: int) -> dict[str, Any]:
    """One rung: eigenvalues, and per stopping time x = t s_max the measured and predicted shares of the way.

    The frame "start" uses the Gauss-Newton matrix and gradient at the start; the frame "end" uses the matrix at the
    last stop T and shares relative to T's. ``weight`` is each direction's share of the loss that the quadratic model
    says can be gained.
    """
    k, device = min(pairs, len(model.start) - 1), model.start.device
    values, vectors = top_eigenpairs(model.gauss_newton(model.start), len(model.start), k, device=device)
    keep = values > 1e-9 * values[0]
    values, vectors = values[keep], vectors[:, keep]
    step = STEP / values[0]
    counts = [round(x / STEP) for x in scaled_times]
    stopped = descend(model, step, counts)
    last = stopped[counts[-1]]
    end_values, end_vectors = top_eigenpairs(model.gauss_newton(last), len(last), k, device=device)
    end_keep = end_values > 1e-9 * end_values[0]
    frames = {
        "start": (values, vectors, -(vectors.T @ host(model.loss_gradient(model.start)[1])) / values, None),
        "end": (end_values[end_keep], end_vectors[:, end_keep], None, step * counts[-1]),
    }
    rows = []
    for count in counts:
        t = step * count
        ends = {("stopped", "", t, 0.0): stopped[count]}
        for c in CALIBRATIONS:
            ends["ridge", "start", c / t, c] = penalised(model, c / t, model.start, most)[0]
        if bool(model.start.any()):  # otherwise the two centres are the same point
            ends["ridge", "zero", 1 / t, 1.0] = penalised(model, 1 / t, torch.zeros_like(model.start), most)[0]
        for (rule, centre, parameter, c), theta in ends.items():
            row: dict[str, Any] = {"rule": rule, "centre": centre, "parameter": parameter, "calibration": c, "time": t}
            moved = host(theta - model.start)
            for name, (s, q, way, horizon) in frames.items():
                row[name] = compared(rule, parameter, s, q, way, horizon, step, moved, host(last - model.start), count)
            row["loss"] = model.loss_gradient(theta)[0]
            row["weights_apart"] = relative(theta - stopped[count], stopped[count] - model.start)
            here, there, first = (model.outputs(w) for w in (theta, stopped[count], model.start))
            row["outputs_apart"] = relative(here - there, there - first)
            rows.append(row)
    return {
        "rung": model.name,
        "exact": model.exact,
        "parameters": len(model.start),
        "examples": len(model.targets),
        "eigenvalues": values.tolist(),
        "end_eigenvalues": frames["end"][0].tolist(),
        "step": step,
        "rows": rows,
    }


def compared(
    rule: str, parameter: float, s: Array, q: Array, way: Array | None, horizon: float | None, step: float,
    moved: Array, whole: Array, count: int,
) -> dict[str, Any]:  # fmt: skip
    """Measured and predicted shares per direction, and their weighted root mean square difference."""
    flow = GRADIENT_FLOW.gain(s, parameter) if rule == "stopped" else RIDGE.gain(s, parameter)
    discrete = gradient_descent(step).gain(s, count) if rule == "stopped" else flow
    if way is None:
        way = whole @ q
        steps = round((horizon or 0.0) / step)
        flow, discrete = (g / gradient_descent(step).gain(s, steps) for g in (flow, discrete))
    weight = s * way**2
    weight = weight / weight.sum()
    seen = weight > 1e-4  # a direction without signal has no share to measure
    with np.errstate(divide="ignore", invalid="ignore"):
        measured = np.where(seen, (moved @ q) / way, 0.0)

    def apart(predicted: Array) -> float:
        return math.sqrt(float((weight[seen] * (measured - predicted)[seen] ** 2).sum() / weight[seen].sum()))

    return {
        "measured": [float(m) if ok else None for m, ok in zip(measured, seen, strict=True)],
        "predicted": discrete.tolist(),
        "weight": weight.tolist(),
        "error": apart(discrete),
        "largest": float(np.abs(measured - discrete)[seen].max()),
        "flow_error": apart(flow),
    }


def relative(difference: Tensor, whole: Tensor) -> float:
    """Norm of one over norm of the other."""
    return float(difference.norm() / whole.norm())
