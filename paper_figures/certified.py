"""Certified numbers for figures: taken from the theorem's own check at the moment of drawing, never copied by hand."""

from __future__ import annotations

from unilth.errors import UserError


def brackets(catalogue: str) -> dict[str, tuple[str, str]]:
    """Every constant that the theorem of this number (such as "T1.4") certifies: lower and upper decimal strings.

    Runs the theorem's check. Raises UserError if there is no such theorem or if its check does not hold.
    """
    from unilth.theory.theorems import THEOREMS

    theorem = next((one for one in THEOREMS if one.catalogue == catalogue), None)
    if theorem is None:
        raise UserError(f"theorem {catalogue} is not among the proved ones, so a figure that shows it cannot be drawn")
    found: dict[str, tuple[str, str]] = {}
    for evidence in theorem.check(theorem.claim):
        if evidence.holds is not True:
            raise UserError(f"theorem {catalogue} does not hold ({evidence.what}); see `unilth prove {theorem.id}`")
        found |= {name: (lower, upper) for name, (lower, upper) in evidence.constants.items()}
    return found
