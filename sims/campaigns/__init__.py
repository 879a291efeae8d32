"""Campaigns: grids of runs, each opening with its claim in words."""
