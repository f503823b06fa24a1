"""Compares predicted with measured costs: the analyzer's Report and the benchmark's rows, joined by key."""
