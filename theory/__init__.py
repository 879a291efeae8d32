"""Closed forms and proofs: NumPy, SciPy, SymPy, python-flint; never torch.

Importing this package imports none of them: `unilth.sims` uses parts of it where python-flint is absent.
"""
