"""Every claim of the paper's abstract taken apart into precise statements, each with its verdict and a witness.

A claim is settled for the models of this package (quadratic losses, least squares with noise, diagonal linear networks)
by theorems, named by their number in the catalogue. The witness is a text of three lines of NumPy that anybody can
paste after `import numpy as np`; it ends by assigning `shown`. `recompute` runs exactly that text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

VERDICTS = ("holds", "holds if", "fails", "open")


@dataclass(frozen=True)
class Claim:
    """One precise form of a claim.

    `verdict` is "holds", "holds if" (under the condition that `form` names), "fails" (a counterexample is shown) or
    "open" (outside what the theorems speak about). `theorems` are catalogue numbers. `recompute` runs `witness`.
    """

    id: str
    claim: str
    form: str
    verdict: str
    theorems: tuple[str, ...]
    witness: str
    recompute: Callable[[], bool]

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"claim {self.id}: verdict is {self.verdict!r}; use one of {', '.join(VERDICTS)}")


def recomputed(witness: str) -> bool:
    """Run the witness as printed and return what it assigns to `shown`. The text is one of this module's constants."""
    names: dict[str, object] = {"np": np}
    exec(compile(witness, "<witness>", "exec"), names)
    return bool(names["shown"])


def _claim(id: str, claim: str, form: str, verdict: str, theorems: str, witness: str) -> Claim:
    """One row; the text of the witness is the computation, so that the two cannot drift apart."""
    text = "\n".join(line.strip() for line in witness.strip().splitlines())
    return Claim(id, claim, form, verdict, tuple(theorems.split()), text, partial(recomputed, text))


ANALOGOUS = "The early stopping mechanism acts analogously as regularization"
BETTER = "Early stopping can help the trajectory stop at a particularly better point in space than regularization"
PATIENCE = "Train until the validation loss does not decrease for several epochs: that point is the good one"
OVERFITTING = "Early stopping prevents the parameters from being excessively skewed to the training distribution"
EXTRUSION = "Increased regularization extrudes information from the weights that go into the weights that stay"
TICKETS = "The combination (train freely, stop early, then grow the penalty) obtains more powerful subnetworks"

CLAIMS: tuple[Claim, ...] = (
    _claim(
        "generalised-ridge",
        ANALOGOUS,
        "On a quadratic loss, k steps of gradient descent (every 0 < ελ < 1) minimise the loss plus a quadratic "
        "penalty ½(w-w0)'P(w-w0), P positive definite and diagonal in the Hessian's eigenbasis.",
        "holds",
        "T1.1 T2.1",
        """
        H, I, u, w = np.array([[2., 1], [1, 3]]), np.eye(2), np.array([1., -2]), np.zeros(2)  # seven steps from 0 to u
        for _ in range(7): w = w - .1 * H @ (w - u)
        P = H @ np.linalg.inv(np.linalg.matrix_power(I - .1 * H, -7) - I); shown = np.allclose(H @ (u - w), P @ w)
        """,
    ),
    _claim(
        "close-to-ridge",
        ANALOGOUS,
        "Stopping gradient flow at time t is within 0.20364 ‖w*-w0‖ of ridge with penalty 1/t centred at w0, for every "
        "quadratic loss; 0.203632... is sharp.",
        "holds",
        "T1.4 T1.7",
        """
        x = np.linspace(0, 50, 500001)
        gap = 1 / (1 + x) - np.exp(-x)
        shown = gap.min() >= 0 and abs(gap.max() - 0.2036321888) < 1e-9
        """,
    ),
    _claim(
        "equal-to-ridge",
        ANALOGOUS,
        "One L2 penalty a, centred at w0, reproduces the early-stopped weights (flow, or every ελ < 1): only if all "
        "nonzero eigenvalues with a component of w*-w0 coincide.",
        "holds if",
        "T1.3",
        """
        s, t = np.array([1., 2.]), 1.0
        a = s / np.expm1(t * s)  # the penalty that each eigenvalue would need: e^{-ts} = a/(s+a)
        shown = np.allclose(a / (s + a), np.exp(-t * s)) and abs(a[0] - a[1]) > .2
        """,
    ),
    _claim(
        "risk-of-ridge",
        ANALOGOUS,
        "Risk(stopping at t) <= 1.68591 Risk(ridge(1/t)) for every design, signal and noise; 1.685909... is sharp.",
        "holds",
        "T3.1",
        """
        x = np.geomspace(1e-4, 1e4, 1000001)
        variance, bias = ((1 - np.exp(-x)) * (1 + x) / x) ** 2, (np.exp(-x) * (1 + x)) ** 2
        shown = bias.max() <= 1 and abs(variance.max() - 1.685909058) < 1e-8
        """,
    ),
    _claim(
        "always-better",
        BETTER,
        "The best stopping time beats the best ridge penalty on every problem: false. Given noise, two distinct "
        "nonzero eigenvalues and signal along one, ridge strictly wins if |β_i| falls or stays. Here 5/6 < 0.8391.",
        "fails",
        "T5.2 T5.3 T3.4",
        """
        y = np.linspace(0, 1, 100001)  # eigenvalues (1, 2), β² = (1, 1), σ²/n = 1, y = e^{-t}
        stopped, ridge = y**2 + (1 - y)**2 + y**4 + (1 - y**2)**2 / 2, 1/4 + 1/4 + 1/9 + 4/9 / 2  # penalty 1
        shown = abs(ridge - 5/6) < 1e-12 and stopped.min() > ridge + .005
        """,
    ),
    _claim(
        "better-if-ordered",
        BETTER,
        "Given noise, two distinct nonzero eigenvalues and signal along one, the best stopping time strictly beats the "
        "best ridge penalty if ln(1+SNR_i)/s_i is nondecreasing in s_i. Here 7/8 < 0.8829.",
        "holds if",
        "T5.2 T5.3 T5.4 T5.7",
        """
        a = np.geomspace(1e-4, 1e4, 1000001)  # eigenvalues (1, 2), β² = (1, 3/2), σ²/n = 1
        ridge = (a**2 + 1) / (1 + a)**2 + (1.5 * a**2 + 2) / (2 + a)**2
        stopped = 1/4 + 1/4 + 1.5/16 + 9/16 / 2; shown = abs(stopped - 7/8) < 1e-12 and ridge.min() > stopped + .007
        """,
    ),
    _claim(
        "never-much-worse",
        BETTER,
        "With both tuned, early stopping is at most 1.20389 times worse than ridge on any fixed design: of the two "
        "times 0.36197/a and 1.27743/a one is good enough. (Witness: a lottery over the two.)",
        "holds",
        "T3.7",
        """
        x = np.geomspace(1e-3, 1e3, 100001); r = np.exp(-np.outer([.36197467413, 1.27743404373], x))  # two times
        bias, variance = ([.5404533423, .4595466577] @ (part * (1 + x))**2 for part in (r, (1 - r) / x))  # over ridge's
        shown = max(bias.max(), variance.max()) < 1.20389
        """,
    ),
    _claim(
        "unboundedly-better",
        BETTER,
        "Early stopping can be better than every ridge penalty by any factor. Here by more than 50.",
        "holds",
        "T5.6 T5.8",
        """
        B, M, a = 1e8, 200, np.geomspace(1e-9, 1e9, 1000001)  # s = 1 with β² = B; M eigenvalues 1/M without signal
        ridge, t = (B * a**2 + 1) / (1 + a)**2 + M**2 / (1 + a * M)**2, np.log(B) / 2
        shown = ridge.min() > 50 * (B * np.exp(-2 * t) + (1 - np.exp(-t))**2 + M**2 * (1 - np.exp(-t / M))**2)
        """,
    ),
    _claim(
        "out-of-sample",
        BETTER,
        "For a fixed target and an out-of-sample risk that does not share the design's eigenvectors there is no "
        "constant: here the best stopping time is more than 40 times worse than ridge.",
        "fails",
        "T3.3",
        """
        s, S, nu, t = np.array([.1, .2, .3]), np.eye(3) - 1/3, 1e-8, np.geomspace(1e-2, 1e5, 200001)[:, None]
        r = np.exp(-t * s); stopped = (((r * (1 + s)) @ S) * (r * (1 + s))).sum(1) + nu * ((1 - r)**2 / s).sum(1) * 2/3
        shown = stopped.min() > 40 * nu * (2/3 * s / (s + 1)**2).sum()  # ridge with penalty 1: its bias is 0 under S
        """,
    ),
    _claim(
        "on-top-of-ridge",
        BETTER,
        "Stopping early on a loss that already has the optimal L2 penalty improves further: false for an isotropic "
        "prior, where the Bayes risk decreases for ever.",
        "fails",
        "T2.4",
        """
        s, a, t = np.array([.2, 1., 3.]), 1.0, np.linspace(0, 8, 4001)[:, None]  # prior variance 1, σ²/n = 1, a* = 1
        g = s / (s + a) * (1 - np.exp(-(s + a) * t)); risk = ((1 - g)**2 + g**2 / s).sum(1)
        shown = (np.diff(risk) < 0).all()
        """,
    ),
    _claim(
        "patience",
        PATIENCE,
        "Stopping when the validation loss has not decreased for a while returns the best point: false even with an "
        "infinite validation set; here patience up to 7.5 time units stops at a risk 8.3 times the best one.",
        "fails",
        "T5.10",
        """
        t = np.linspace(0, 5000, 500001)  # 300 directions s=1 (β²=.01 each), one s=.001 (β²=100), σ²/n=.01
        risk = sum(b * np.exp(-2*s*t) + v * (1 - np.exp(-s*t))**2 for s, b, v in ((1, 3, 3), (.001, 100, 10)))
        k = np.argmax(np.diff(risk) > 0); shown = risk[k:k + 751].min() == risk[k] > 8.3 * risk.min()
        """,
    ),
    _claim(
        "beats-convergence",
        OVERFITTING,
        "With any noise the optimal stopping time is finite and its risk strictly below that of training to "
        "convergence, and so is the risk at every time later than max_i ln((1+SNR_i)/2)/s_i.",
        "holds",
        "T5.9",
        """
        s, b, v = np.array([.5, 1, 4]), np.array([9., 1, 5]), np.array([2., 1, .25])
        t = np.log((1 + b / v) / 2) / s; later = max(t.max(), 0) + np.linspace(1e-3, 10, 1001)[:, None]
        shown = (b * np.exp(-2 * later * s) + v * (1 - np.exp(-later * s))**2).sum(1).max() < v.sum()
        """,
    ),
    _claim(
        "any-stop-beats-convergence",
        OVERFITTING,
        "Stopping anywhere before convergence helps: only if not too early; per direction iff t > ln((1+SNR)/2)/s.",
        "holds if",
        "T5.9",
        """
        s, b, v = 1.0, 9.0, 1.0
        t = np.log((1 + b / v) / 2) / s + np.array([-.01, .01]); risk = b * np.exp(-2*t*s) + v * (1 - np.exp(-t*s))**2
        shown = risk[0] > v > risk[1]
        """,
    ),
    _claim(
        "protects-the-ticket",
        OVERFITTING,
        "The ticket that leaves the growing penalty still has the early-stopped weights' protection: false, a kept "
        "weight of a diagonal problem goes on training during the ramp and ends at the least-squares risk.",
        "fails",
        "T7.4 T7.8",
        """
        h, b, v, stop, ramp = 1.0, 2.0, 1.0, np.log(3), np.array([0., 1, 5, 20])  # stop at ln(1+SNR)/h
        risk = b * np.exp(-2 * h * (stop + ramp)) + v * (1 - np.exp(-h * (stop + ramp)))**2
        shown = (np.diff(risk) > 0).all() and abs(risk[0] - b * v / (b + v)) < 1e-12 and abs(risk[-1] - v) < 1e-6
        """,
    ),
    _claim(
        "extrusion",
        EXTRUSION,
        "Growing the penalty before pruning saves exactly ½‖H_mm^{-1/2} H_mc w*_c‖² of loss compared with masking; "
        "strictly positive iff H_mc w*_c != 0 (never for a diagonal Hessian).",
        "holds if",
        "T6.1 T6.2",
        """
        H, w = np.array([[2., 1], [1, 1]]), np.array([1., 1]); loss = lambda u: (u - w) @ H @ (u - w) / 2
        limit = np.linalg.solve(H + 1e9 * np.diag([0, 1]), H @ w) * np.array([1, 0])
        shown = abs(loss(w * np.array([1, 0])) - loss(limit) - H[0, 1]**2 * w[1]**2 / H[0, 0] / 2) < 1e-6
        """,
    ),
    _claim(
        "extrudes-everything",
        EXTRUSION,
        "No learning capacity is sacrificed: the loss ½ w*_c'(H/H_mm) w*_c remains, positive whenever H is positive "
        "definite and a pruned weight was not 0; the recovered share is bounded by canonical correlations.",
        "fails",
        "T6.1 T6.7",
        """
        H, w = np.array([[2., 1], [1, 1]]), np.array([1., 1])
        u = np.array([w[0] + H[0, 1] / H[0, 0] * w[1], 0.0])  # the best weights on the mask
        shown = (u - w) @ H @ (u - w) / 2 == (H[1, 1] - H[0, 1]**2 / H[0, 0]) * w[1]**2 / 2 > 0
        """,
    ),
    _claim(
        "every-weight-shrinks",
        EXTRUSION,
        "Every penalised weight shrinks monotonically as the penalty grows: false (their norm does); one can even grow "
        "from 0.",
        "fails",
        "T6.1 T6.3",
        """
        S, w = np.array([[2., 1], [1, 1]]), np.array([1., 0])
        path = np.array([np.linalg.solve(S + p * np.eye(2), S @ w) for p in (0, .5, 1, 2, 4)])
        shown = abs(path[2, 1] - .2) < 1e-12 and path[0, 1] < .01 and (np.diff(np.linalg.norm(path, axis=1)) < 0).all()
        """,
    ),
    _claim(
        "better-than-finetuning",
        EXTRUSION,
        "The growing penalty ends at a better point than pruning at once and fine-tuning: false, both end at the best "
        "weights of their mask; the ramp buys a lower peak of the loss, not a lower end.",
        "fails",
        "T6.1 T7.10",
        """
        H, w = np.array([[2., 1], [1, 1]]), np.array([1., 1])
        tuned, ramped = (H[0] @ w) / H[0, 0], np.linalg.solve(H + 1e9 * np.diag([0, 1]), H @ w)[0]
        shown = abs(tuned - ramped) < 1e-6 and H[1, 1] / 2 > (H[1, 1] - H[0, 1]**2 / H[0, 0]) / 2  # the peaks
        """,
    ),
    _claim(
        "unidlth-beats-dlth",
        TICKETS + " (UniDLTH against DLTH)",
        "With the same random mask and a slow ramp UniDLTH ends at a better point than DLTH: false, the end does not "
        "depend on the stopping time; for a diagonal Hessian it is the same at every finite total time.",
        "fails",
        "T7.2 T7.3 T7.4",
        """
        H, w, W, start = np.array([[2., 1], [1, 1]]), np.ones((2, 1)), np.zeros((2, 2)), np.array([0, 600])
        for k in range(9000): W = W - .01 * (H @ (W - w) + [[0], [1]] * np.clip(.02 * (k - start), 0, 99) * W)
        shown = np.abs(W[:, 0] - W[:, 1]).max() < 1e-9 and abs(W[0, 0] - 1.5) < .01
        """,
    ),
    _claim(
        "unidlth-finite-ramp",
        TICKETS + " (UniDLTH against DLTH)",
        "H = [[1, ρ], [ρ, 1]], |ρ| < 1, equal targets other than 0, start 0, an abrupt penalty, a finite budget: "
        "stopping first, at t > 0, ends closer to the best weights of the mask iff ρ < 0 and the stop is early enough.",
        "holds if",
        "T7.7",
        """
        rho, t = np.array([-.5, -.5, .5]), np.array([1., 2., 1.])  # kept weight, then w2 is forced to 0
        kept = 1 - np.exp(-(1 + rho) * t); end = np.abs((1 + rho - kept) * np.exp(-(6 - t)))
        shown = (end < np.abs(1 + rho) * np.exp(-6.)).tolist() == [True, False, False]
        """,
    ),
    _claim(
        "unilth-beats-lth",
        TICKETS + " (UniLTH against LTH)",
        "The mask of the early-stopped weights is better than that of the converged ones: either can be. h = (1, "
        "100), prune one: w* = (1, 1/2) favours stopping at 0.1 by 25 times, w* = (5, 0.09) punishes stopping near "
        "0 by 30 times.",
        "holds if",
        "T7.5 T7.6",
        """
        h, w = np.array([1., 100]), np.array([[1, .5], [5, .09]])  # one row per problem; the smaller score is pruned
        early, late = ((1 - np.exp(-h * np.array([[.1], [1e-6]]))) * w).argmin(1), w.argmin(1)
        shown = np.allclose([(h * w**2 / 2)[[0, 1], k] for k in (early, late)], [[.5, 12.5], [12.5, .405]])
        """,
    ),
    _claim(
        "mask-guarantee",
        TICKETS + " (UniLTH against LTH)",
        "In the worst case over weights (diagonal Hessian, condition number κ) pruning by early-stopped magnitude "
        "loses about 0.407 √κ times the optimum for large κ if stopped at the balanced time (4.2911 times at κ = 100), "
        "by converged magnitude κ times.",
        "holds if",
        "T7.5",
        """
        h, t = np.geomspace(1, 100, 501), np.geomspace(.05, .5, 4001)[:, None]  # κ = 100
        score = (1 - np.exp(-t * h)) / np.sqrt(h); early = (score.max(1) / score.min(1))**2
        shown = abs(early.min() - 4.29107) < 3e-3 and abs((h.max() / h.min()) - 100) < 1e-9  # converged: score 1/√h
        """,
    ),
    _claim(
        "better-than-regularised-mask",
        TICKETS + " (UniLTH against regularising from the start)",
        "The early-stopped mask has a better guarantee than the mask of L2-regularised weights: false, ridge with "
        "penalty √(μL) guarantees cosh²(¼ ln κ), better at every κ > 1 by a factor below 1.6291.",
        "fails",
        "T7.5",
        """
        h = np.geomspace(1, 100, 100001)  # κ = 100; the best early-stopped mask guarantees 4.29107 (mask-guarantee)
        score = np.sqrt(h) / (h + 10); ridge = (score.max() / score.min())**2
        shown = abs(ridge - np.cosh(np.log(100) / 4)**2) < 1e-6 and ridge < 4.29107
        """,
    ),
    _claim(
        "magnitude",
        TICKETS + " (iterative magnitude pruning)",
        "Removing the smallest weights removes the least important ones: for all weights only if H is a multiple "
        "of the identity (n >= 3).",
        "holds if",
        "T8.2",
        """
        H, w = np.array([[1, .5, 0], [.5, 1, 0], [0, 0, 1]]), np.array([1.1, -1, 1.05])
        loss = {k: (w * (np.arange(3) != k)) @ H @ (w * (np.arange(3) != k)) / 2 for k in range(3)}  # keep k, prune two
        shown = abs(loss[0] - 1.05125) < 1e-12 and abs(loss[2] - .555) < 1e-12
        """,
    ),
    _claim(
        "deep-networks",
        TICKETS + " (real networks)",
        "All of the above is about quadratic losses or a quadratic neighbourhood. A two-layer linear network "
        "already has a saddle at 0, so which basin is reached decides and no statement here settles it: see the "
        "recorded experiments.",
        "open",
        "",
        """
        u = v = 0.0  # loss ½(uv-1)²
        hessian = np.array([[v**2, 2*u*v - 1], [2*u*v - 1, u**2]])
        shown = np.linalg.eigvalsh(hessian).min() < 0
        """,
    ),
    _claim(
        "sparsity-by-stopping",
        "Early stopping of a network with products of weights acts like a sparsity penalty",
        "Diagonal linear network from a small start: the stopped point is a hard threshold (ℓ0), not the lasso; "
        "the time average of the path is the lasso.",
        "holds if",
        "T9.1 T9.2 T9.3",
        """
        y, A = np.array([2., 1.5, .7, .2]), 1e-60; t = np.linspace(0, -np.log(A) / 4, 4001)[:, None]  # A = α²
        q = (y / A - 1) / (1 + A / y) * np.exp(-4 * y * t); z = (y / A - q * A / y) / (1 + q); w = A * (z - 1 / z)
        shown = np.allclose(w[-1], y * (y > 1), atol=1e-6) and np.allclose(w.mean(0), np.maximum(y - 1, 0), atol=.02)
        """,
    ),
)
