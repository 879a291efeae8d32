"""The conformance kit: is my ticket variant correct?

Declare what a variant claims with one decorator, then check it from Python (:func:`check`), from a shell
(``unilth check my_module:my_rule``) or in pytest (:func:`parametrize_with_invariants`)::

    from unilth.sims.invariants import check, mask_rule

    @mask_rule(scope="global", keeps="largest")
    def rule(scores, sparsity, *, within=None, generator=None):
        ...

    print(check(rule))
"""

from unilth.sims.invariants.declarations import mask_rule, penalty_schedule, ticket_finder
from unilth.sims.invariants.pytest_door import parametrize_with_invariants
from unilth.sims.invariants.report import Report, Row
from unilth.sims.invariants.runner import check

__all__ = ["Report", "Row", "check", "mask_rule", "parametrize_with_invariants", "penalty_schedule", "ticket_finder"]
