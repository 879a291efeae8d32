"""Section 7 of the catalogue: UniLTH trajectories on quadratics."""

from unilth.theory.evidence import Theorem
from unilth.theory.theorems.trajectory import (
    adiabatic_tracking,
    both_directions,
    coupled_guarantee,
    coupling_sign,
    erased_regularisation,
    exact_endpoint,
    later_rounds,
    mask_guarantee,
    mask_ratio,
    peak_loss,
    scalar_ramp,
    singular_memory,
    uncoupled_identity,
)

THEOREMS: tuple[Theorem, ...] = (
    exact_endpoint.THEOREM,
    adiabatic_tracking.THEOREM,
    singular_memory.THEOREM,
    uncoupled_identity.THEOREM,
    mask_guarantee.THEOREM,
    mask_ratio.THEOREM,
    coupled_guarantee.THEOREM,
    both_directions.THEOREM,
    coupling_sign.THEOREM,
    erased_regularisation.THEOREM,
    scalar_ramp.THEOREM,
    peak_loss.THEOREM,
    later_rounds.THEOREM,
)
