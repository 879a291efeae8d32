"""The constants of the catalogue's section 0, by name: which theorem brackets each, and what it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Named:
    """One constant: its name, its meaning (LaTeX), and the theorem that brackets it under `key`."""

    name: str
    meaning: str
    theorem: str
    key: str


NAMED = (
    Named("A1", r"\sup_x|e^{-x}-\tfrac1{1+x}|", "uniform-gap", "A1"),
    Named("A1, where", r"e^x=(1+x)^2", "uniform-gap", "A1_AT"),
    Named("A2", r"\min_c\sup_x|e^{-x}-\tfrac c{x+c}|", "scalar-recalibration", "A2"),
    Named("A2, where", r"\text{the best }c", "scalar-recalibration", "A2_AT"),
    Named("K1", r"\sup_x(1-e^{-x})(1+x)/x", "descent-risk", "K1"),
    Named("K", r"K_1^2", "relative-risk", "K"),
    Named("KB", r"\sup_x(1+x)(e^{-2x}+(1-e^{-x})^2/x)", "isotropic-prior", "KB"),
    Named("KC", r"\text{best fixed calibration }\lambda=c/t\text{, all problems}", "best-calibration", "KC"),
    Named("c*", r"\text{that calibration}", "best-calibration", "CSTAR"),
    Named("KBC", r"\text{best fixed }t=c/\lambda^*\text{, isotropic prior}", "best-calibration", "KBC"),
    Named("VF", r"\sup\ \min_t\mathrm{ES}/\min_a\mathrm{ridge}", "tuned-against-tuned", "VF"),
    Named("VB", r"\text{the same, isotropic prior}", "tuned-against-tuned", "VB"),
    Named("C1", r"\sup_{0<u\le1}(1-(1-u)^k)(1+ku)/(ku),\ k=1", "descent-risk", "C1"),
    Named("C2", r"k=2", "descent-risk", "C2"),
    Named("C3", r"k=3", "descent-risk", "C3"),
    Named("D1", r"\sup_{0\le u\le1}|(1-u)^k-\tfrac1{1+ku}|,\ k=1", "uniform-gap", "D1"),
    Named("D2", r"k=2", "uniform-gap", "D2"),
    Named("D3", r"k=3", "uniform-gap", "D3"),
    Named("1/e", r"k\sup_{0\le x\le k}(e^{-x}-(1-\tfrac xk)^k),\ k=1", "euler-ladder", "GAP"),
    Named("Nesterov, least residual", r"\min_z2J_1(z)/z", "nesterov-flow", "MIN_RESIDUAL"),
    Named("Nesterov, where", r"j_{2,1}", "nesterov-flow", "MIN_AT"),
    Named("Nesterov, gap", r"\sup_x|r-\tfrac1{1+x}|,\ x=z^2/8", "nesterov-flow", "GAP"),
    Named("Nesterov, gap, where", r"\text{that }x", "nesterov-flow", "GAP_AT"),
    Named("Nesterov, peak", r"2\sup_z\sqrt z\,|J_1(z)|", "nesterov-flow", "PEAK"),
    Named("Y1", r"(1+y)\ln(1+y)=2y", "power-law-signals", "Y1"),
    Named("PHI", r"\max_y(1-e^{-y})/\sqrt y", "mask-guarantee", "PHI"),
    Named("PHI, where", r"e^y=1+2y", "mask-guarantee", "Y_STAR"),
    Named("SWITCH", r"\text{where the better one changes in T5.4's example}", "trichotomy", "SWITCH"),
    Named("MP", r"\text{Marchenko-Pastur, isotropic prior (simulated)}", "marchenko-pastur-ratio", "MP"),
)
