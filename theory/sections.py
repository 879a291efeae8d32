"""The ten sections of the catalogue, as chapters: title, what is asked, what the answer is, and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unilth.theory.evidence import Theorem


@dataclass(frozen=True)
class Section:
    """One chapter. `introduction` is Markdown; `figure` is the name of one of `unilth figures`, "" for none."""

    number: int
    slug: str
    title: str
    introduction: str
    figure: str = ""
    caption: str = ""

    @property
    def page(self) -> str:
        """The page's file name."""
        return f"{self.number:02d}-{self.slug}.md"

    def of(self, theorems: Sequence[Theorem]) -> list[Theorem]:
        """The section's theorems, in the order given."""
        return [theorem for theorem in theorems if number(theorem) == self.number]


def number(theorem: Theorem) -> int:
    """The section that a theorem belongs to: T7.5 to 7."""
    return int(theorem.catalogue.removeprefix("T").partition(".")[0])


SECTIONS = (
    Section(
        1,
        "quadratic-model",
        "The quadratic model",
        r"""On a quadratic loss $`L(w)=\tfrac12(w-w^*)'H(w-w^*)`$ everything linear is a filter: in the eigenbasis
of the Hessian, an estimator goes a share $`1-r(\lambda)`$ of the way from the start to the minimiser.
Gradient descent leaves the residual $`r=(1-\varepsilon\lambda)^k`$, gradient flow stopped at time $`t`$
leaves $`e^{-t\lambda}`$, ridge with penalty $`a`$ leaves $`a/(\lambda+a)`$. The textbook says that the
first *is* the last with $`a=1/(\varepsilon k)`$. While $`\varepsilon\lambda<1`$ no penalty makes it so, unless
the nonzero eigenvalues along $`w^*-w_0`$ coincide (T1.3). But the flow and ridge with $`a=1/t`$ are never further
apart than
$`A_1<0.2037`$ of the way, $`k`$ steps with $`\varepsilon\lambda\le1`$ and ridge never further than $`D_k`$, which falls
from $`\tfrac12`$ to $`A_1`$ (T1.4).""",
        "filters",
        "Residuals of gradient flow and ridge at the matched penalty, and their gap, which never exceeds A1 (T1.4).",
    ),
    Section(
        2,
        "exact-equivalences",
        "Exact equivalences",
        r"""What early stopping *is*, exactly: ridge with a penalty matrix that depends on the spectrum, almost
nothing on stiff directions and $`1/\sum_j\varepsilon_j`$ on flat ones. Conversely ridge is early
stopping at a random time, and iterated Tikhonov leads from one to the other. On top of ridge with the
best penalty, early stopping never helps if the prior is isotropic.""",
    ),
    Section(
        3,
        "risk",
        "Risk: early stopping against ridge",
        r"""Least squares with noise: $`S=X'X/n`$ has eigenvalues $`s_i`$, the signal has the energy $`b_i`$ and the
noise the variance $`v_i=\sigma^2/(ns_i)`$ in direction $`i`$, and $`\mathrm{SNR}_i=b_i/v_i`$. A filter
with residual $`r`$ has the risk $`\sum_ib_ir_i^2+v_i(1-r_i)^2`$. How much can be lost by stopping early
instead of penalising, with the matched penalty, with the best calibration, with both tuned? All
constants are sharp; the last one, $`V_F`$, is the value of a zero-sum game between nature and the
statistician, certified from both sides.""",
    ),
    Section(
        4,
        "dynamics",
        "Other dynamics",
        r"""Discrete steps, mini-batches, momentum, acceleration, curvature that is bounded below: the same
questions for what one actually runs. Discrete descent costs at most $`C_k^2`$, which falls to the
flow's constant; Nesterov's flow is a filter made of a Bessel function, that overshoots and saturates.""",
    ),
    Section(
        5,
        "comparison",
        "Does early stopping reach a better point?",
        r"""Both tuned, who wins? In direction $`i`$ the oracle stops at $`t^*_i=\ln(1+\mathrm{SNR}_i)/s_i`$ and
penalises with $`a^*_i=\sigma^2/(nb_i)`$. Given noise, two distinct nonzero eigenvalues and signal along
one of these (otherwise it is a tie): if $`t^*_i`$ does not decrease with the eigenvalue, the best stopping
time strictly beats every ridge penalty; if $`|\beta_i|`$ does not increase with it, the best penalty strictly
beats every stopping time; in between either can happen. On a fixed design ridge is never more than
1.2039 times better (T3.7); early stopping can be better by any factor. And a rule that waits for the
validation loss to stop decreasing need not find the good point.""",
        "risk",
        "Exact risks for the two signals of T5.3: early stopping wins the first, ridge the second.",
    ),
    Section(
        6,
        "growing-penalty",
        "A growing penalty on the weights that are to go",
        r"""Let $`w(\lambda)`$ minimise the loss plus $`\tfrac\lambda2`$ times the squared norm of the weights
outside the mask $`m`$; $`c`$ is the complement and $`S=H_{cc}-H_{cm}H_{mm}^{-1}H_{mc}`$ the Schur
complement. As the penalty grows the kept weights move to the best point of their mask (optimal brain
surgeon), and what "information extrusion" saves compared with masking is an exact number.""",
    ),
    Section(
        7,
        "unilth-trajectories",
        "UniLTH trajectories",
        r"""The paper's recipe on a quadratic: $`\dot w=-H(w-w^*)-\lambda(t)Pw`$, free until $`t_1`$, then a ramp on
the weights that are to go, then $`w\circ m`$. A slow ramp forgets $`t_1`$ altogether, so that early
stopping can matter only through the choice of the mask and through a ramp in finite time. Through the
mask it does matter: the worst case of pruning by magnitude falls from $`\kappa`$ to $`O(\sqrt\kappa)`$
at the right time, though the right ridge penalty does better still.""",
        "mask_guarantee",
        "Sharp worst-case factor of the loss after pruning against the best mask's, for each rule (T7.5).",
    ),
    Section(
        8,
        "magnitude-pruning",
        "Magnitude pruning",
        r"""What pruning by magnitude does optimise (the change of the weights), what it does not (the loss, unless
the Hessian is a multiple of the identity), what it is invariant to, and what the integer rule of
iterative pruning really removes.""",
    ),
    Section(
        9,
        "diagonal-networks",
        "Diagonal linear networks",
        r"""The simplest network with products of weights, $`w=u\circ u-v\circ v`$ from $`u_0=v_0=\alpha\mathbf 1`$
on an orthogonal design. Early stopping here is a *hard* threshold in the limit of a small start; the
time average of the path is the soft one (the lasso).""",
    ),
    Section(
        10,
        "random-matrices",
        "Random matrices and linearised networks",
        r"""With random features the worst case of section 3 becomes a typical one, 1.0401 (simulated). A network
that is linear in its parameters obeys everything above with the eigenvalues of its kernel.""",
    ),
)
