"""Torch: data, networks, masks, recipes, training, invariants, sweeps."""
