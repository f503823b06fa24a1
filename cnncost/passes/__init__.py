"""Passes: one statistic per file, each a pure function of a Graph (and of other passes' results)."""
