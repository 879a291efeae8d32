"""End points: how far the closed forms of the theory hold on models from a quadratic to a network."""
