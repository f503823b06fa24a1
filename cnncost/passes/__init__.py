"""Passes: one statistic a file, each a pure function of a Graph (and of other passes' results)."""
