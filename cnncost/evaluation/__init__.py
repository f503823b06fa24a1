"""Compares predicted with measured times: the analyzer's Report and the benchmark's rows, joined by module call."""
