"""Measurements, independent of predictions: timers, this machine's ceilings, networks as a whole and by layer."""
