"""Plots drawn with matplotlib: rooflines, predictions against measurements, memory, receptive fields, Pareto fronts."""
