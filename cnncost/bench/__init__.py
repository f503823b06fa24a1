"""Measuring: timers, this machine's ceilings, networks end to end and layer by layer. Independent of predictions."""
