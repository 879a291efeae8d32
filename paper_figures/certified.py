"""Certified numbers for figures: taken from the theorem's own check at the moment of drawing, never copied by hand."""

from __future__ import annotations

from unilth.errors import UserError


def brackets(catalogue: str) -> dict[str, tuple[str, str]]:
    """Every constant that the theorems of this number (such as "T1.4") certify: lower and upper decimal strings.

    Runs the theorems' checks. Raises UserError if there is no such theorem or if its check does not hold.
    """
    from unilth.theory.theorems import THEOREMS

    theorems = [theorem for theorem in THEOREMS if theorem.catalogue == catalogue]
    if not theorems:
        raise UserError(f"no theorem here is {catalogue}, so a figure that shows its constants cannot be drawn")
    found: dict[str, tuple[str, str]] = {}
    for theorem in theorems:
        for evidence in theorem.check(theorem.claim):
            if evidence.holds is not True:
                raise UserError(f"theorem {catalogue} does not hold ({evidence.what}); see `unilth prove {theorem.id}`")
            found |= dict(evidence.constants)
    return found
