"""Plots, drawn with matplotlib: rooflines, benchmarks, memory, receptive fields, Pareto fronts, laws and sweeps."""
