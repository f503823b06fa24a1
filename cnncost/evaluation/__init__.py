"""Predicted beside measured: the analyzer's Report and the benchmark's rows, joined by key."""
